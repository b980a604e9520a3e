"""Reading a data set from one .npz file, as `np.savez` writes it.

    train_image, test_image    uint8 [n, h, w] or [n, h, w, c]
    train_label, test_label    integers [n] or [n, 1], from 0, no class left out
    class_names                text [k]; optional

`train` and `test` are the names of the splits, `image` and `label` the keys: other
names make other arrays, such as MedMNIST's `train_images` and `train_labels`.
"""

import pathlib
from collections.abc import Sequence

import numpy as np

from dpd_jax.errors import UserError

_NAMES = "class_names"
_SHOWN = 20  # of the arrays in a file that has others than those needed
_MOST_CHANNELS = 4


def read(
    path: pathlib.Path, *, splits: Sequence[str], keys: tuple[str, str]
) -> tuple[list[tuple[np.ndarray, np.ndarray]], tuple[str, ...]]:
    """Reads splits of a set into memory.

    Args:
      path: the file.
      splits: the first is the one trained on, in which every class must be.
      keys: of image and label; the arrays are called `<split>_<key>`.

    Returns:
      Images (uint8 [n, h, w, c]) and labels (int32 [n]) of each split; the names
      of the classes, numbers where the file has none.

    Raises:
      UserError: there is no such file, it is no .npz file or damaged; an array is
        missing, holds Python objects, or is of another type or shape; labels
        count neither from 0 nor without gaps.
    """
    arrays = _arrays(path, [f"{split}_{key}" for split in splits for key in keys])
    parts = []
    for split in splits:
        names = [f"{split}_{key}" for key in keys]
        images = _images(path, names[0], arrays[names[0]])
        labels = _labels(path, names[1], arrays[names[1]])
        if len(images) != len(labels):
            raise UserError(
                f'"{names[0]}" in {path} holds {len(images)} images, and "{names[1]}" '
                f"{len(labels)} labels. Give each image one label, in the same order."
            )
        parts.append((images, labels))
    shapes = [images.shape[1:] for images, _ in parts]
    if len(set(shapes)) > 1:
        raise UserError(
            f"the images of the splits {', '.join(splits)} in {path} differ in shape: {shapes}. "
            "Bring all to one size."
        )
    return parts, _class_names(path, arrays.get(_NAMES), [labels for _, labels in parts])


def _arrays(path: pathlib.Path, needed: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays needed, and the names of the classes if they are there."""
    if not path.is_file():
        missing = f"does not exist, seen from {pathlib.Path.cwd()}"
        state = "is a folder" if path.is_dir() else missing
        raise UserError(
            f'data.source = "npz" reads the file data.name = {path}, which {state}. Give the path '
            "of an .npz file."
        )
    with path.open("rb") as file:
        try:
            stored = np.load(file, allow_pickle=False)
            there = stored.files  # Which a single array, an .npy file, does not have.
        except Exception as error:  # Of zipfile, numpy or pickle, as the first bytes have it.
            raise UserError(
                f"{path} is no .npz file, or is cut short or damaged. np.savez writes such a file."
            ) from error
        missing = [name for name in needed if name not in there]
        if missing:
            others = ", ".join(there[:_SHOWN]) + (", ..." if len(there) > _SHOWN else "")
            raise UserError(
                f"{path} has no {', '.join(missing)}; it has: {others or 'nothing'}. Arrays are "
                "called SPLIT_KEY, after data.train_split and data.test_split, data.image_key and "
                "data.label_key: set these, or write the file with the names looked for."
            )
        return {name: _array(path, stored, name) for name in (*needed, _NAMES) if name in there}


def _array(path: pathlib.Path, stored, name: str) -> np.ndarray:
    try:
        return stored[name]
    except Exception as error:  # zipfile, zlib and numpy each have their own.
        raise UserError(
            f'the array "{name}" in {path} cannot be read ({type(error).__name__}: {error}). '
            "Either the file is damaged, or the array holds Python objects, as images of "
            "different sizes do: write the file again, with arrays of numbers (class_names: of "
            "text, by `np.array(names, str)`)."
        ) from error


def _images(path: pathlib.Path, name: str, images: np.ndarray) -> np.ndarray:
    """uint8 [n, h, w, c]."""
    told = f'"{name}" in {path} is {images.dtype} {list(images.shape)}'
    if images.dtype != np.uint8:
        raise UserError(
            f"{told}, not 8-bit images. Bring the pixels to 0 to 255 and store them as uint8; of "
            "pixels from 0 to 1, `np.uint8(np.round(255 * images))` does that."
        )
    if images.ndim not in (3, 4) or not images.size:
        raise UserError(f"{told}, not images [n, h, w] or [n, h, w, c], at least one of them.")
    if images.ndim == 3:
        return images[..., None]
    if images.shape[1] <= _MOST_CHANNELS < images.shape[3]:
        raise UserError(
            f"{told}: the channels seem to come first, as PyTorch has them. They come last here: "
            "`images.transpose(0, 2, 3, 1)`."
        )
    return images


def _labels(path: pathlib.Path, name: str, labels: np.ndarray) -> np.ndarray:
    """int32 [n]."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(
            f'"{name}" in {path} is {labels.dtype} {list(labels.shape)}, not one integer an image. '
            "Number the classes from 0, and store the numbers as integers."
        )
    # A label that int32 could not hold is no class: a file has fewer images than that.
    if labels.size and (labels.min() < 0 or labels.max() > np.iinfo(np.int32).max):
        raise UserError(
            f'"{name}" in {path} has labels from {labels.min()} to {labels.max()}. Number the '
            "classes from 0."
        )
    return labels.astype(np.int32)


def _class_names(
    path: pathlib.Path, names: np.ndarray | None, labels: Sequence[np.ndarray]
) -> tuple[str, ...]:
    """The names the file gives, else numbers; every class must be among the first labels."""
    if names is not None and (names.ndim != 1 or names.dtype.kind != "U"):
        raise UserError(
            f'"{_NAMES}" in {path} is {names.dtype} {list(names.shape)}, not a list of text: '
            "`np.array(names, str)` makes one."
        )
    highest = max(int(part.max()) for part in labels)
    if names is not None and highest >= len(names):
        raise UserError(
            f"{path} has labels up to {highest}, but {len(names)} {_NAMES}: labels go from 0 to "
            f"{len(names) - 1} then. Give each class a name, or leave {_NAMES} out."
        )
    present = np.unique(labels[0])
    count = highest + 1 if names is None else len(names)
    if len(present) < count:
        first = int(np.setdiff1d(np.arange(len(present) + 1), present)[0])
        raise UserError(
            f"{path} has no training image with label {first}, and {len(present)} of {count} "
            "classes in all. Number the classes from 0 without gaps; "
            "`np.unique(labels, return_inverse=True)[1]` does that."
        )
    return tuple(str(i) for i in range(count)) if names is None else tuple(names.tolist())
