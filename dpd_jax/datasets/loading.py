"""Image data sets as arrays in memory.

They come from a set that TFDS has prepared as array_record (read without TensorFlow), from
images of the user (a folder, Parquet files or one .npz file), or from scikit-learn's 8x8 digits.
"""

import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dpd_jax.data_schedule import rank_within_class
from dpd_jax.datasets import aligned, labels, npz, own
from dpd_jax.datasets.progress import Progress
from dpd_jax.errors import UserError

DEFAULT_DATA_DIR = "~/tensorflow_datasets"  # also TFDS's own


class Dataset(NamedTuple):
    """A data set in memory.

    Attributes:
      name: with the version if there is one, e.g. "cifar10:3.0.2"; the name of the
        file or folder for images of the user, e.g. "own.npz".
      train_images, test_images: uint8 [n, h, w, c]; grey images have c = 1.
      train_labels, test_labels: int32 [n], from 0 to the number of classes - 1.
      class_names: one per class, in the order of the labels.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]


def load(
    name: str,
    *,
    source: str = "tfds",
    train_split: str = "train",
    test_split: str = "test",
    image_key: str = "image",
    label_key: str = "label",
    data_dir: str | os.PathLike | None = None,
    image_shape: tuple[int, ...] = (),
    test_share: float = 0.2,
    seed: int = 0,
    progress: Progress | None = None,
) -> Dataset:
    """Reads the training and the test split of a data set.

    Args:
      name: a TFDS name, e.g. "cifar10", "cifar10:3.0.2" or "set/config:1.0.0"; without
        a version the newest in `data_dir` is read. For "npz" the path of the file. For
        "images" any name, or "" for that of the folder.
      source: "tfds", "images" (see `dpd_jax.datasets.own`), "npz" (see `dpd_jax.datasets.npz`)
        or "digits" (scikit-learn's).
      train_split, test_split: names of splits; for "tfds" also slices, e.g.
        "train[:10%]".
      image_key, label_key: the features to read; "image" and "label" for "digits"; the
        arrays `<split>_<key>` for "npz".
      data_dir: for "tfds", the folder that contains `name/version/`; None means
        `~/tensorflow_datasets`. Missing sets of `builders.BUILDERS` are downloaded
        into it (see `builders.archives.fetch`). For "images", where the images are.
      image_shape, test_share, seed: for "images", as `own.read`; () is the common shape.
      progress: called with the fraction downloaded, prepared and read, or None.

    Raises:
      UserError: the set, a split or a feature does not exist; the files are damaged;
        the records are not labelled 8-bit images of one size; a download failed; or
        an error of `npz.read` or `own.read`.
    """
    splits, keys = (train_split, test_split), (image_key, label_key)
    if source == "digits":
        digits = _load_digits(name, splits, keys)
        if progress:
            progress(1.0, doing="reading digits")
        return digits
    if source == "tfds":
        from dpd_jax.datasets import prepared  # TFDS takes seconds to import.

        folder = pathlib.Path(data_dir or DEFAULT_DATA_DIR).expanduser()
        name, (train, test), class_names = prepared.read(name, splits, keys, folder, progress)
    elif source == "images":
        where = own.Where(data_dir, splits, keys, test_share, seed)
        (train, test), class_names = own.read(where, image_shape, progress)
        name = name or where.path.name
    elif source == "npz":
        path = pathlib.Path(name).expanduser()
        (train, test), class_names = npz.read(path, splits=splits, keys=keys)
        name = path.name
        if progress:
            progress(1.0, doing=f"reading {name}")
    else:
        raise UserError(
            f'data.source = "{source}" is unknown; set it to tfds, images, npz or digits.'
        )
    shapes = [images.shape[1:] for images, _ in (train, test)]
    if shapes[0] != shapes[1]:
        raise UserError(
            f"the splits {', '.join(splits)} of {name} differ in shape: {shapes}. Resize the "
            "images to one size."
        )
    return Dataset(name, *train, *test, class_names)


def bare_name(name: str, source: str) -> str:
    """The name without version, or the file name without folder."""
    return name.partition(":")[0] if source == "tfds" else pathlib.Path(name).name


def subset(dataset: Dataset, *, train_per_class: int, test_images: int, seed: int) -> Dataset:
    """Keeps a random part of a data set, in the same order.

    Args:
      train_per_class: training images to keep per class, all of smaller ones; 0 keeps all.
      test_images: test images to keep, as balanced over classes as possible; 0 keeps all.
      seed: of the random choice.

    Raises:
      UserError: a number is negative, or larger than the number of test images.
    """
    for field, number in (("train_per_class", train_per_class), ("test_images", test_images)):
        if number < 0:
            raise UserError(f"data.{field} = {number} must not be negative (0 keeps all)")
    if train_per_class:
        keep = labels.random_rank(dataset.train_labels, (seed, 0)) < train_per_class
        dataset = dataset._replace(
            train_images=aligned.chosen(dataset.train_images, keep),
            train_labels=dataset.train_labels[keep],
        )
    if test_images:
        if test_images > len(dataset.test_labels):
            raise UserError(
                f"data.test_images = {test_images}, but {dataset.name} has only "
                f"{len(dataset.test_labels)} test images; set a smaller number"
            )
        rank = labels.random_rank(dataset.test_labels, (seed, 1))
        keep = np.sort(np.lexsort((dataset.test_labels, rank))[:test_images])
        dataset = dataset._replace(
            test_images=dataset.test_images[keep], test_labels=dataset.test_labels[keep]
        )
    return dataset


def of_classes(dataset: Dataset, classes: Sequence[int]) -> Dataset:
    """Keeps the images of some classes; a label becomes the place of its class in `classes`.

    Raises:
      UserError: the data set has no class of such a number.
    """
    count = len(dataset.class_names)
    if unknown := [c for c in classes if not 0 <= c < count]:
        raise UserError(
            f"data.classes names class {unknown[0]}, but {dataset.name} has the classes 0 to "
            f"{count - 1}."
        )
    place = np.full(count, -1, np.int32)
    place[list(classes)] = np.arange(len(classes))
    train, test = place[dataset.train_labels], place[dataset.test_labels]
    return Dataset(
        dataset.name,
        aligned.chosen(dataset.train_images, train >= 0),
        train[train >= 0],
        dataset.test_images[test >= 0],
        test[test >= 0],
        tuple(dataset.class_names[c] for c in classes),
    )


def fingerprint(dataset: Dataset) -> str:
    """A hash (16 hexadecimal digits) of the training images and labels in their order."""
    digest = hashlib.blake2b(digest_size=8)
    for array in (dataset.train_images, dataset.train_labels):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _load_digits(name: str, splits: tuple[str, str], keys: tuple[str, str]) -> Dataset:
    """The 1,797 digits of scikit-learn: 8x8 pixels, scaled from 0..16 to 0..255.

    scikit-learn gives no split. Here the third of every five images of a class, in
    scikit-learn's order, is a test image. This gives 1,438 training images and 359
    test images, 35 to 37 per class.
    """
    import sklearn.datasets  # Takes a second, and other sources do not need it.

    if name != "digits":
        raise UserError(f'data.source "digits" has only the data set "digits", not "{name}"')
    for key, known in zip(keys, ("image", "label"), strict=True):
        if key != known:
            raise UserError(f'digits has no feature "{key}"; it has: image, label')
    raw = sklearn.datasets.load_digits()
    images = np.rint(raw.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = raw.target.astype(np.int32)
    rank = rank_within_class(labels, np.arange(len(labels)))
    parts = {"train": rank % 5 != 2, "test": rank % 5 == 2}
    for split in splits:
        if split not in parts:
            raise UserError(f'digits has no split "{split}"; it has: train, test')
    train, test = (parts[split] for split in splits)
    names = tuple(str(name) for name in raw.target_names)
    return Dataset("digits", images[train], labels[train], images[test], labels[test], names)
