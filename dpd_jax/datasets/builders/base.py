"""The base class of the builders."""

import inspect
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow_datasets as tfds

from dpd_jax.datasets.progress import Progress

_REPORT_EVERY = 500  # examples


# The keyword is TFDS's, which is not type-checked.
class ImageBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Builds labelled images of one size from archives in the manual folder.

    A subclass defines the attributes below, `VERSION`, `_split_generators` (which
    passes its examples through `count`) and `_generate_examples`.
    """

    PUBLISHER: str  # URL of the folder that serves the archives.
    ARCHIVES: dict[str, str]  # File name -> SHA-256.
    IMAGE_SHAPE: tuple[int, int, int]  # Height, width, channels.
    NUM_CLASSES: int
    HOMEPAGE: str

    MANUAL_DOWNLOAD_INSTRUCTIONS = "dpd_jax.datasets.builders.prepare downloads the archives."
    # With a path TFDS would look for a checksum file next to the code, through a package
    # (importlib_resources) that it does not install.
    code_path = None
    progress: Progress | None = None

    def __init_subclass__(cls) -> None:
        # Not registered with TFDS, which has builders of these names already.
        super().__init_subclass__(skip_registration=True)

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

    def count(self, split: str, total: int, examples: Iterable) -> Iterator:
        """Yields the examples of a split and reports how many of `total` are done."""
        for done, example in enumerate(examples, start=1):
            yield example
            if self.progress and (done % _REPORT_EVERY == 0 or done == total):
                self.progress(done / total, doing=f"preparing {self.name} {split}")
