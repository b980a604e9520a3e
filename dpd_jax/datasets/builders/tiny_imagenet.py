"""Tiny ImageNet from the zip file of Stanford's course CS231n.

Y. Le and X. Yang, "Tiny ImageNet Visual Recognition Challenge", 2015. Classes
are numbered in the sorted order of their WordNet ids, which are also their
names. A few images are grey; they get three equal channels. The test split of the
challenge has no labels and is not read.
"""

import io
import zipfile
from collections.abc import Iterator

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

from dpd_jax.datasets.builders.base import ImageBuilder

_ROOT = "tiny-imagenet-200"


class TinyImagenet(ImageBuilder):
    """100,000 training and 10,000 validation photographs, 200 classes of equal size."""

    VERSION = tfds.core.Version("1.0.0")
    IMAGE_SHAPE = (64, 64, 3)
    NUM_CLASSES = 200
    HOMEPAGE = "http://cs231n.stanford.edu"
    PUBLISHER = "http://cs231n.stanford.edu"
    ARCHIVES = {
        "tiny-imagenet-200.zip": "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821"
    }

    def _split_generators(self, dl_manager):
        archive = zipfile.ZipFile(dl_manager.manual_dir / next(iter(self.ARCHIVES)))
        class_ids = archive.read(f"{_ROOT}/wnids.txt").decode().split()
        self.info.features["label"].names = sorted(class_ids)
        train = {
            name: name.split("/")[2]
            for name in archive.namelist()
            if name.startswith(f"{_ROOT}/train/") and name.endswith(".JPEG")
        }
        # Each line: file name, class, then the box of the object.
        lines = archive.read(f"{_ROOT}/val/val_annotations.txt").decode().splitlines()
        validation = {
            f"{_ROOT}/val/images/{file}": class_id
            for file, class_id, *_ in (line.split() for line in lines)
        }
        return {
            split: self.count(split, len(class_of), self._generate_examples(archive, class_of))
            for split, class_of in (("train", train), ("validation", validation))
        }

    def _generate_examples(
        self, archive: zipfile.ZipFile, class_of: dict[str, str]
    ) -> Iterator[tuple[str, dict]]:
        for name, class_id in class_of.items():
            with PIL.Image.open(io.BytesIO(archive.read(name))) as image:
                yield name, {"image": np.asarray(image.convert("RGB")), "label": class_id}
