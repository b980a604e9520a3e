"""Fashion-MNIST from the IDX files of its authors.

H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for
Benchmarking Machine Learning Algorithms", arXiv:1708.07747. An IDX file holds a
big-endian header (a magic number and the length of each axis, four bytes each)
and the bytes of the array. It is gzipped.
"""

import gzip
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from dpd_jax.datasets.builders.base import ImageBuilder

# fmt: off
_CLASS_NAMES = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
]
# fmt: on


class FashionMnist(ImageBuilder):
    """60,000 training and 10,000 test images of clothes in grey, 10 classes of equal size."""

    VERSION = tfds.core.Version("3.0.1")
    IMAGE_SHAPE = (28, 28, 1)
    NUM_CLASSES = 10
    HOMEPAGE = "https://github.com/zalandoresearch/fashion-mnist"
    PUBLISHER = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
    ARCHIVES = {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",  # noqa: E501
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",  # noqa: E501
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",  # noqa: E501
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",  # noqa: E501
    }

    def _split_generators(self, dl_manager):
        self.info.features["label"].names = _CLASS_NAMES
        arrays = [_read_idx(dl_manager.manual_dir / name) for name in self.ARCHIVES]
        return {
            split: self.count(split, len(images), self._generate_examples(images, labels))
            for split, (images, labels) in (("train", arrays[:2]), ("test", arrays[2:]))
        }

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray
    ) -> Iterator[tuple[int, dict]]:
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield number, {"image": image[:, :, None], "label": int(label)}


def _read_idx(path: pathlib.Path) -> np.ndarray:
    """Reads a gzipped IDX file of bytes; the last byte of the magic number counts the axes."""
    with gzip.open(path) as file:
        content = file.read()
    axes = content[3]
    shape = np.frombuffer(content, ">i4", count=axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
