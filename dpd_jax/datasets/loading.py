"""Image data sets as arrays in memory.

Any image-classification set that TFDS has prepared as array_record is read
through `tfds`' data sources, which need no TensorFlow. Those named in
`dpd_jax.datasets.builders.BUILDERS` are downloaded and prepared when they are missing.
A person's own images come in one .npz file (`dpd_jax.datasets.npz`). scikit-learn's 8x8
digits need no files at all.
"""

import hashlib
import os
import pathlib
from typing import NamedTuple

import numpy as np

from dpd_jax.data_schedule import rank_within_class
from dpd_jax.datasets import npz
from dpd_jax.datasets.progress import Progress
from dpd_jax.errors import UserError

# TFDS's own default folder.
DEFAULT_DATA_DIR = "~/tensorflow_datasets"


class Dataset(NamedTuple):
    """A data set in memory.

    Attributes:
      name: with its version where it has one, such as "cifar10:3.0.2"; of a file
        its own name, such as "own.npz".
      train_images, test_images: uint8 [n, h, w, c]; grey images have c = 1.
      train_labels, test_labels: int32 [n], from 0 to the number of classes - 1.
      class_names: one for each class, in the order of the labels.
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
    source: str,
    train_split: str,
    test_split: str,
    image_key: str,
    label_key: str,
    data_dir: str | os.PathLike | None,
    progress: Progress | None = None,
) -> Dataset:
    """Reads the training and the test split of a data set.

    Args:
      name: as TFDS writes it: "cifar10", "cifar10:3.0.2" or "set/config:1.0.0".
        Without a version the newest under `data_dir` is read. With the source
        "npz" the path of the file.
      source: "tfds", "npz" (see `dpd_jax.datasets.npz`), or "digits" for scikit-learn's
        digits.
      train_split, test_split: names of splits; from "tfds" also slices such as
        "train[:10%]".
      image_key, label_key: the features to read; "digits" has "image" and "label",
        a file the arrays `<split>_<key>`.
      data_dir: the folder that holds `name/version/`, for "tfds" alone; None for
        `~/tensorflow_datasets`. A set of `builders.BUILDERS` that is not there is
        downloaded into it, from its publisher or from the URL in the
        environment variable DPD_DATA_MIRROR (see `builders.archives.fetch`).
      progress: told how far downloading, preparing and reading are, or None.

    Raises:
      UserError: the set, a split or a feature does not exist; the files are
        damaged; the records are no labelled 8-bit images of one size; a
        download failed; as `npz.read`.
    """
    splits, keys = (train_split, test_split), (image_key, label_key)
    if source == "digits":
        return _load_digits(name, splits, keys)
    if source == "tfds":
        # TFDS takes seconds to import; digits need none of it.
        from dpd_jax.datasets import prepared
        from dpd_jax.datasets.builders import archives

        name, (train, test), class_names = prepared.read(
            name,
            splits=splits,
            keys=keys,
            data_dir=pathlib.Path(data_dir or DEFAULT_DATA_DIR).expanduser(),
            mirror=os.environ.get(archives.MIRROR_VARIABLE),
            progress=progress,
        )
        return Dataset(name, *train, *test, class_names)
    if source == "npz":
        path = pathlib.Path(name).expanduser()
        (train, test), class_names = npz.read(path, splits=splits, keys=keys)
        if progress:
            progress(1.0, doing=f"reading {path.name}")
        return Dataset(path.name, *train, *test, class_names)
    raise UserError(
        f'there is no data source "{source}"; set data.source to one of: tfds, npz, digits'
    )


def bare_name(name: str, source: str) -> str:
    """What a set is called wherever it lies: its name without version, or file without folder."""
    return pathlib.Path(name).name if source == "npz" else name.partition(":")[0]


def subset(dataset: Dataset, *, train_per_class: int, test_images: int, seed: int) -> Dataset:
    """Keeps a random part of a data set, in its order.

    Args:
      train_per_class: training images kept of each class; 0 keeps all.
      test_images: test images kept, spread over the classes as evenly as
        they allow; 0 keeps all.
      seed: decides which.

    Raises:
      UserError: there are fewer images than asked for.
    """
    k = len(dataset.class_names)
    if train_per_class < 0 or test_images < 0:
        raise UserError(
            f"data.train_per_class = {train_per_class} and data.test_images = {test_images} "
            "must not be negative (0 keeps all)"
        )
    if train_per_class:
        sizes = np.bincount(dataset.train_labels, minlength=k)
        if sizes.min() < train_per_class:
            raise UserError(
                f"data.train_per_class = {train_per_class}, but class "
                f'"{dataset.class_names[sizes.argmin()]}" of {dataset.name} has only '
                f"{sizes.min()} training images; ask for no more"
            )
        rank = _random_rank(dataset.train_labels, (seed, 0))
        keep = np.flatnonzero(rank < train_per_class)
        dataset = dataset._replace(
            train_images=dataset.train_images[keep], train_labels=dataset.train_labels[keep]
        )
    if test_images:
        if test_images > len(dataset.test_labels):
            raise UserError(
                f"data.test_images = {test_images}, but {dataset.name} has only "
                f"{len(dataset.test_labels)} test images; ask for no more"
            )
        rank = _random_rank(dataset.test_labels, (seed, 1))
        keep = np.sort(np.lexsort((dataset.test_labels, rank))[:test_images])
        dataset = dataset._replace(
            test_images=dataset.test_images[keep], test_labels=dataset.test_labels[keep]
        )
    return dataset


def fingerprint(dataset: Dataset) -> str:
    """16 hexadecimal digits that change with any training image or label, or their order."""
    digest = hashlib.blake2b(digest_size=8)
    for array in (dataset.train_images, dataset.train_labels):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _random_rank(labels: np.ndarray, seed: tuple[int, int]) -> np.ndarray:
    """The rank of each image in a random order of its class, from 0; [n]."""
    order = np.random.default_rng(seed).permutation(len(labels))
    return rank_within_class(labels, np.argsort(order))


def _load_digits(name: str, splits: tuple[str, str], keys: tuple[str, str]) -> Dataset:
    """The 1,797 digits of scikit-learn, 8x8 pixels of 0 to 16 scaled to 0 to 255.

    They come without a split. The third of every five images of a class, in
    scikit-learn's order, is a test image: 1,438 to train and 359 to test, with
    35 to 37 of each class.
    """
    import sklearn.datasets  # Takes a second; nobody else needs it.

    if name != "digits":
        raise UserError(f'data.source "digits" has one data set, "digits", and no "{name}"')
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
