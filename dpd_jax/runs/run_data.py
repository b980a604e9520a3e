"""Reads the data of an experiment and brings them into model space."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from dpd_jax.datasets import aligned, loading, model_images, own, whitening
from dpd_jax.datasets.labels import validation_part
from dpd_jax.datasets.loading import Dataset
from dpd_jax.datasets.model_images import DeviceImages, ModelImages
from dpd_jax.datasets.whitening import Preprocessing
from dpd_jax.errors import UserError
from dpd_jax.runs import console, keys
from dpd_jax.storage import atomic


@dataclasses.dataclass(frozen=True)
class RunData:
    """The data of an experiment.

    Attributes:
      dataset: raw images, uint8, after `data.train_per_class` and `data.test_images`, without
        those that `data.validation_share` holds out.
      fingerprint: a short hash of the training images and labels.
      preprocessing: fitted on the training split.
      validation_images: raw images that are held out of the training images; none by default.
      validation_labels: int32 [v].
    """

    dataset: Dataset
    fingerprint: str
    preprocessing: Preprocessing
    validation_images: np.ndarray
    validation_labels: np.ndarray

    @functools.cached_property
    def train(self) -> ModelImages:
        """The training images [n, h, w, c], brought into model space as they are read."""
        return ModelImages(self.preprocessing, self.dataset.train_images)

    def on_device(self, config: ConfigDict) -> tuple[jax.Array | DeviceImages, jax.Array]:
        """The training images, as `data.device_images` says, and their labels, on the device."""
        images = model_images.on_device(self.train, config.data.device_images)
        return images, jnp.asarray(self.dataset.train_labels)

    @functools.cached_property
    def test(self) -> np.ndarray:
        """The test images in model space, float32 [m, h, w, c], kept from the first use on."""
        return whitening.transform(self.preprocessing, self.dataset.test_images)

    @functools.cached_property
    def validation(self) -> np.ndarray:
        """The validation images in model space, as `test`."""
        return whitening.transform(self.preprocessing, self.validation_images)


def read(config: ConfigDict, data_dir: str | os.PathLike | None) -> Dataset:
    """Reads the images that the config asks for; raises UserError if they do not fit it."""
    wanted, dataset = config.data, read_whole(config, data_dir)
    sizes = np.bincount(dataset.train_labels)
    if short := int(np.sum(sizes < wanted.train_per_class)):
        console.say(
            f"{short} of {len(sizes)} classes have fewer than data.train_per_class = "
            f"{wanted.train_per_class} training images; all of theirs are kept."
        )
    dataset = loading.subset(
        dataset,
        train_per_class=wanted.train_per_class,
        test_images=wanted.test_images,
        seed=wanted.seed,
    )
    if wanted.classes:
        dataset = loading.of_classes(dataset, wanted.classes)
    _check(dataset, config)
    return dataset


def read_whole(config: ConfigDict, data_dir: str | os.PathLike | None) -> Dataset:
    """Reads all images of the config's data set, whether they fit the config or not."""
    wanted = config.data
    with console.Bar("data", 1.0) as bar:
        return loading.load(
            wanted.name,
            source=wanted.source,
            train_split=wanted.train_split,
            test_split=wanted.test_split,
            image_key=wanted.image_key,
            label_key=wanted.label_key,
            data_dir=data_dir,
            image_shape=tuple(config.image_shape),
            test_share=wanted.test_share,
            seed=wanted.seed,
            progress=lambda fraction, *, doing: bar.to(fraction, now=doing),
        )


def where(config: ConfigDict, data_dir: str | os.PathLike | None) -> own.Where:
    """Where the user's own images are, for the source "images"."""
    wanted = config.data
    return own.Where(
        data_dir,
        (wanted.train_split, wanted.test_split),
        (wanted.image_key, wanted.label_key),
        wanted.test_share,
        wanted.seed,
    )


def load(config: ConfigDict, data_dir: str | None, cache: pathlib.Path) -> RunData:
    """As `read`, and brings the images into model space; `cache` keeps whitening matrices."""
    return prepare(config, read(config, data_dir), cache)


def prepare(config: ConfigDict, dataset: Dataset, cache: pathlib.Path) -> RunData:
    """Holds out the validation images of `read`, and brings all images into model space.

    `cache` keeps whitening matrices.
    """
    dataset, (held, held_labels) = hold_out(dataset, config)
    check_ipc(dataset, config)
    fingerprint = loading.fingerprint(dataset)
    preprocessing = _preprocessing(config, dataset, fingerprint, cache)
    return RunData(dataset, fingerprint, preprocessing, held, held_labels)


def hold_out(dataset: Dataset, config: ConfigDict) -> tuple[Dataset, tuple[np.ndarray, np.ndarray]]:
    """The data set without its validation images, and these with their labels.

    They depend on `data.seed`, so that runs of other seeds share experts.
    """
    images, labels = dataset.train_images, dataset.train_labels
    if not config.data.validation_share:
        return dataset, (images[:0], labels[:0])
    key = jax.random.fold_in(jax.random.key(config.data.seed), keys.VALIDATION)
    held = validation_part(labels, config.data.validation_share, key)
    kept = aligned.chosen(images, ~held)
    rest = dataset._replace(train_images=kept, train_labels=labels[~held])
    return rest, (images[held], labels[held])


def check_ipc(dataset: Dataset, config: ConfigDict) -> None:
    """Raises UserError if a class has fewer training images than the baseline draws from it."""
    sizes = np.bincount(dataset.train_labels, minlength=config.num_classes)
    check_sizes(sizes, dataset.class_names, config)


def check_sizes(sizes: np.ndarray, class_names: Sequence[str], config: ConfigDict) -> None:
    """As `check_ipc`, for the numbers of training images of the classes."""
    smallest = int(sizes.argmin())
    if config.ipc > sizes[smallest]:
        raise UserError(
            f"ipc = {config.ipc} is more than the smallest class of {config.data.name}, "
            f'"{class_names[smallest]}", has ({sizes[smallest]} training images). Lower ipc.'
        )


def _check(dataset: Dataset, config: ConfigDict) -> None:
    shape = dataset.train_images.shape[1:]
    if shape != tuple(config.image_shape):
        raise UserError(
            f"{config.data.name} has images of shape {shape}, but the config says image_shape = "
            f"{tuple(config.image_shape)}. Set image_shape, or leave it to the data, (), or name "
            "another data set."
        )
    if len(dataset.class_names) != config.num_classes:
        raise UserError(
            f"{config.data.name} has {len(dataset.class_names)} classes, but the config says "
            f"num_classes = {config.num_classes}. Set num_classes, or leave it to the data, 0, or "
            "name another data set."
        )


def _preprocessing(
    config: ConfigDict, dataset: Dataset, fingerprint: str, cache: pathlib.Path
) -> Preprocessing:
    if config.data.preprocessing == "per_channel":
        if not config.data.mean and not config.data.std:
            return whitening.fit_per_channel(dataset.train_images)
        return whitening.per_channel(tuple(config.data.mean), tuple(config.data.std))
    epsilon = config.data.zca_epsilon
    path = cache / f"zca-{fingerprint}-{epsilon}.npz"
    if path.is_file():
        try:
            with np.load(path) as stored:
                return Preprocessing(*(stored[name] for name in Preprocessing._fields))
        except Exception:  # Damaged: fitted again below.
            path.unlink()
    with console.note("fitting ZCA on the training split"):
        fitted = whitening.fit_zca(dataset.train_images, epsilon=epsilon)
    atomic.write_arrays(path, fitted._asdict())
    return fitted
