"""Images of the user, at one place: a folder of class folders, Parquet files or an .npz file.

What is at the place decides how it is read: `dpd_jax.datasets.folder`, `parquet` or `npz`. Where
the data have no test split, a share of each class is kept back.
"""

import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dpd_jax.datasets import encoded, folder, labels, npz, parquet
from dpd_jax.datasets.encoded import Encoded, Item
from dpd_jax.datasets.progress import Progress
from dpd_jax.errors import UserError

Parts = list[tuple[np.ndarray, np.ndarray]]  # images, labels of the training and the test split


class Description(NamedTuple):
    """What a config needs to know of a data set.

    Attributes:
      name: of the data set.
      image_shape: height, width, channels.
      class_names: one per class.
      train_sizes: training images of each class, int [k].
      test_images: their number.
      notes: sentences about what is changed or left out.
    """

    name: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    train_sizes: np.ndarray
    test_images: int
    notes: tuple[str, ...] = ()


class Where(NamedTuple):
    """Where the images are, and how they are split.

    Attributes:
      location: a folder or a file.
      splits: names of the training and the test split.
      keys: of images and labels, in an .npz file or Parquet files.
      test_share: kept back of each class where there is no test split.
      seed: chooses the images kept back.
    """

    location: str | os.PathLike | None
    splits: tuple[str, str]
    keys: tuple[str, str]
    test_share: float
    seed: int

    @property
    def path(self) -> pathlib.Path:
        """The location, absolute; raises UserError if there is none."""
        if self.location is None:
            raise UserError(
                "the config reads your own images: say where they are, --data_dir=FOLDER. It has "
                "one subfolder for each class, with or without train/ and test/ above them; or "
                "Parquet files; or it is an .npz file."
            )
        path = pathlib.Path(os.path.abspath(pathlib.Path(self.location).expanduser()))
        if not path.exists():
            raise UserError(f"--data_dir={self.location}: there is no such folder or file.")
        return path


def describe(
    where: Where, image_shape: tuple[int, ...], progress: Progress | None
) -> Description | None:
    """Describes encoded images by their headers, for an image shape or () for the common one.

    None for an .npz file, whose arrays must be read.

    Raises:
      UserError: as `read`, but for damaged pixels.
    """
    if _is_npz(where.path):
        return None
    found = _find(where)
    items = [item for part in found.items for item in part]
    seen = encoded.headers(items, progress)
    shape = _shape(image_shape) if image_shape else encoded.common_shape(seen)
    _, test = _split(found, where)
    sizes = np.bincount(np.concatenate(found.labels), minlength=len(found.class_names))
    train_sizes = sizes - np.bincount(test[1], minlength=len(sizes))
    notes = [encoded.changes(seen, shape), found.note]
    if len(found.items) == 1:
        share = f"{100 * where.test_share:g} % of each class is kept back"
        notes.insert(0, f"There is no {where.splits[1]} split: {share} (data.test_share).")
    named = tuple(note for note in notes if note)
    return Description(where.path.name, shape, found.class_names, train_sizes, len(test[1]), named)


def read(
    where: Where, image_shape: tuple[int, ...], progress: Progress | None
) -> tuple[Parts, tuple[str, ...]]:
    """Reads images into memory.

    Args:
      where: the place.
      image_shape: what images are brought to, height, width and channels (1 or 3); () is the shape
        that is common among them. An .npz file's images stay as they are.

    Returns:
      Images (uint8 [n, h, w, c]) and labels (int32 [n]) of both splits; the class names.

    Raises:
      UserError: there is nothing at the place, or an error of `folder.find`, `parquet.find`,
        `npz.read`, `labels.hold_out` or `encoded.decode`.
    """
    if _is_npz(where.path):
        if progress:
            progress(1.0, doing=f"reading {where.path.name}")
        return npz.read(where.path, splits=where.splits, keys=where.keys)
    found = _find(where)
    if image_shape:
        shape = _shape(image_shape)
    else:
        items = [item for part in found.items for item in part]
        shape = encoded.common_shape(encoded.headers(items, progress))
    parts = [
        (encoded.decode(items, shape, progress, f"reading {split} images"), own)
        for split, (items, own) in zip(where.splits, _split(found, where), strict=True)
    ]
    return parts, found.class_names


def _shape(given: tuple[int, ...]) -> tuple[int, int, int]:
    """A given image shape, checked."""
    if len(given) != 3 or given[2] not in (1, 3):
        raise UserError(
            f"image_shape = {given}, but image files are brought to height, width and 1 (grey) or "
            "3 (colour) channels, such as (32, 32, 3)."
        )
    height, width, channels = given
    return height, width, channels


def _is_npz(path: pathlib.Path) -> bool:
    return path.suffix == ".npz"


def _find(where: Where) -> Encoded:
    path = where.path
    if path.suffix == ".parquet" or (path.is_dir() and any(path.rglob("*.parquet"))):
        return parquet.find(path, where.splits, where.keys)
    if path.is_dir():
        return folder.find(path, where.splits)
    raise UserError(f"--data_dir={path} is a file, but neither .npz nor .parquet; name a folder.")


def _split(found: Encoded, where: Where) -> list[tuple[Sequence[Item], np.ndarray]]:
    """Items and labels of both splits."""
    if len(found.items) == 2:
        return list(zip(found.items, found.labels, strict=True))
    (items,), (own,) = found.items, found.labels
    back = labels.hold_out(own, found.class_names, where.test_share, where.seed)
    return [
        ([items[i] for i in np.flatnonzero(chosen).tolist()], own[chosen])
        for chosen in (~back, back)
    ]
