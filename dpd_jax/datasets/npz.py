"""Reads a data set from one .npz file, as `np.savez` writes it.

    train_image, test_image    uint8 [n, h, w] or [n, h, w, c]
    train_label, test_label    integers [n] or [n, 1], from 0 without gaps
    class_names                text [k]; optional

`train` and `test` are the names of the splits, `image` and `label` the keys. With other
names other arrays are read, e.g. MedMNIST's `train_images` and `train_labels`.
"""

import pathlib
from collections.abc import Sequence

import numpy as np

from dpd_jax.datasets import labels as labels_lib
from dpd_jax.errors import UserError

_NAMES = "class_names"
_MOST_CHANNELS = 4


def read(
    path: pathlib.Path, *, splits: Sequence[str], keys: tuple[str, str]
) -> tuple[list[tuple[np.ndarray, np.ndarray]], tuple[str, ...]]:
    """Reads splits of a set into memory.

    Args:
      splits: their names; the first is the training split, which must contain every class.
      keys: of images and labels; the arrays are named `<split>_<key>`.

    Returns:
      Images (uint8 [n, h, w, c]) and labels (int32 [n]) of each split; the names of the
      classes, or numbers if the file has no names.

    Raises:
      UserError: the file is missing, damaged or not an .npz file; an array is missing or has
        another type or shape; or the labels do not count from 0 without gaps.
    """
    names = [(f"{split}_{keys[0]}", f"{split}_{keys[1]}") for split in splits]
    arrays = _arrays(path, [name for pair in names for name in pair])
    parts = []
    for image_name, label_name in names:
        images = _images(path, image_name, arrays[image_name])
        labels = _labels(path, label_name, arrays[label_name])
        if len(images) != len(labels):
            raise UserError(
                f'"{image_name}" in {path} holds {len(images)} images, and "{label_name}" '
                f"{len(labels)} labels. Give each image one label, in the same order."
            )
        parts.append((images, labels))
    return parts, _class_names(path, arrays.get(_NAMES), [labels for _, labels in parts])


def _arrays(path: pathlib.Path, needed: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays needed, and the names of the classes if the file has them."""
    if not path.is_file():
        state = "is a folder" if path.is_dir() else f"does not exist in {pathlib.Path.cwd()}"
        raise UserError(
            f'data.source = "npz" reads the file data.name = {path}, which {state}. Set data.name '
            "to the path of an .npz file."
        )
    with path.open("rb") as file:
        try:
            stored = np.load(file, allow_pickle=False)
            found = stored.files  # An .npy file has no such attribute.
        except Exception as error:  # zipfile, numpy or pickle raise it, depending on the content.
            raise UserError(
                f"{path} is not an .npz file, or is incomplete or damaged. Write it with np.savez."
            ) from error
        missing = [name for name in needed if name not in found]
        if missing:
            raise UserError(
                f"{path} has no {', '.join(missing)}; it has: {', '.join(found) or 'nothing'}. "
                "Arrays are named SPLIT_KEY. Set data.train_split, data.test_split, data.image_key "
                "and data.label_key, or rename the arrays."
            )
        return {name: _array(path, stored, name) for name in (*needed, _NAMES) if name in found}


def _array(path: pathlib.Path, stored, name: str) -> np.ndarray:
    try:
        return stored[name]
    except Exception as error:  # zipfile, zlib and numpy have their own errors.
        raise UserError(
            f'the array "{name}" in {path} cannot be read ({type(error).__name__}: {error}). '
            "Either the file is damaged, or the array holds Python objects, e.g. images of "
            "different sizes. Write arrays of numbers, and class_names as an array of text, "
            "`np.array(names, str)`."
        ) from error


def _images(path: pathlib.Path, name: str, images: np.ndarray) -> np.ndarray:
    """uint8 [n, h, w, c]."""
    found = f'"{name}" in {path} is {images.dtype} {list(images.shape)}'
    if images.dtype != np.uint8:
        raise UserError(
            f"{found}, not 8-bit images. Scale the pixels to 0 to 255 and store them as uint8; for "
            "pixels from 0 to 1, use `np.uint8(np.round(255 * images))`."
        )
    if images.ndim not in (3, 4) or not images.size:
        raise UserError(f"{found}, not images [n, h, w] or [n, h, w, c] with n > 0.")
    if images.ndim == 3:
        return images[..., None]
    if images.shape[1] <= _MOST_CHANNELS < images.shape[3]:
        raise UserError(
            f"{found}. The channels seem to come first, as in PyTorch. Put them last: "
            "`images.transpose(0, 2, 3, 1)`."
        )
    return images


def _labels(path: pathlib.Path, name: str, labels: np.ndarray) -> np.ndarray:
    """int32 [n]."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(
            f'"{name}" in {path} is {labels.dtype} {list(labels.shape)}, not one integer an image; '
            "number the classes from 0."
        )
    # Every class needs an image, so a valid label fits into int32.
    if labels.size and (labels.min() < 0 or labels.max() > np.iinfo(np.int32).max):
        found = f"from {labels.min()} to {labels.max()}"
        raise UserError(f'"{name}" in {path} has labels {found}. Number the classes from 0.')
    return labels.astype(np.int32)


def _class_names(
    path: pathlib.Path, names: np.ndarray | None, labels: Sequence[np.ndarray]
) -> tuple[str, ...]:
    """The names in the file, or numbers. The first labels must contain every class."""
    if names is not None and (names.ndim != 1 or names.dtype.kind != "U"):
        raise UserError(
            f'"{_NAMES}" in {path} is {names.dtype} {list(names.shape)}, not a list of text: '
            "make one with `np.array(names, str)`."
        )
    return labels_lib.class_names(str(path), None if names is None else names.tolist(), labels)
