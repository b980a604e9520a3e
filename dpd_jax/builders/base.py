"""What the builders of this package share."""

import inspect

import numpy as np
import tensorflow_datasets as tfds

from dpd_jax.builders.archives import Archive


class ImageBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Labelled images of one size, built from archives that lie in the manual folder.

    A subclass gives the attributes below, `VERSION`, `_split_generators` and
    `_generate_examples`. It passes `skip_registration=True`, since TFDS keeps a
    registry by name and has builders of these names already.
    """

    ARCHIVES: tuple[Archive, ...]
    IMAGE_SHAPE: tuple[int, int, int]  # Height, width, channels.
    NUM_CLASSES: int
    HOMEPAGE: str

    MANUAL_DOWNLOAD_INSTRUCTIONS = "dpd_jax.builders.prepare brings the archives."
    # TFDS looks for a list of checksums beside the code, through a package
    # (importlib_resources) that it does not install. Without a path it looks for none.
    code_path = None

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Tensor(shape=self.IMAGE_SHAPE, dtype=np.uint8),
            "label": tfds.features.ClassLabel(num_classes=self.NUM_CLASSES),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=inspect.getdoc(type(self)),
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            homepage=self.HOMEPAGE,
        )

    def name_classes(self, names: list[str]) -> None:
        """Names the classes in the order of their labels."""
        self.info.features["label"].names = names
