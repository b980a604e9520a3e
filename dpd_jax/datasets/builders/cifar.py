"""CIFAR-10 and CIFAR-100 from the binary archives of their authors.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
A record holds one or two label bytes, then 3,072 bytes of an image in channel,
row, column order. The Python archives are not used because reading them means
unpickling.
"""

import tarfile
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from dpd_jax.datasets.builders.base import ImageBuilder


class _Cifar(ImageBuilder):
    """The common part; both sets give values for the class attributes that lack one."""

    VERSION = tfds.core.Version("3.0.2")
    IMAGE_SHAPE = (32, 32, 3)
    HOMEPAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
    PUBLISHER = "https://www.cs.toronto.edu/~kriz"
    LABEL_BYTES: int  # The last of them is the class.
    CLASS_NAMES_FILE: str
    FILES: dict[str, tuple[str, ...]]  # By split.

    def _split_generators(self, dl_manager):
        files = {}
        with tarfile.open(dl_manager.manual_dir / next(iter(self.ARCHIVES))) as archive:
            for member in archive:
                if file := archive.extractfile(member):  # None for a folder.
                    files[member.name.rsplit("/", 1)[-1]] = file.read()
        self.info.features["label"].names = files[self.CLASS_NAMES_FILE].decode().split()
        splits = {}
        for split, names in self.FILES.items():
            content = np.frombuffer(b"".join(files[name] for name in names), np.uint8)
            records = content.reshape(-1, self.LABEL_BYTES + np.prod(self.IMAGE_SHAPE))
            splits[split] = self.count(split, len(records), self._generate_examples(records))
        return splits

    def _generate_examples(self, records: np.ndarray) -> Iterator[tuple[int, dict]]:
        for number, record in enumerate(records):
            image = record[self.LABEL_BYTES :].reshape(3, 32, 32).transpose(1, 2, 0)
            yield number, {"image": image, "label": int(record[self.LABEL_BYTES - 1])}


class Cifar10(_Cifar):
    """50,000 training and 10,000 test photographs, 10 classes of equal size."""

    ARCHIVES = {
        "cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
    }
    NUM_CLASSES = 10
    LABEL_BYTES = 1
    CLASS_NAMES_FILE = "batches.meta.txt"
    FILES = {
        "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        "test": ("test_batch.bin",),
    }


class Cifar100(_Cifar):
    """50,000 training and 10,000 test photographs, 100 (fine) classes of equal size."""

    ARCHIVES = {
        "cifar-100-binary.tar.gz": "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"  # noqa: E501
    }
    NUM_CLASSES = 100
    LABEL_BYTES = 2
    CLASS_NAMES_FILE = "fine_label_names.txt"
    FILES = {"train": ("train.bin",), "test": ("test.bin",)}
