"""Finds the images of a folder that has one subfolder for each class.

Either the folder has subfolders named as the splits, `train/CLASS/...` and `test/CLASS/...`, or
the subfolders are the classes. Images may lie deeper inside a class. Names that start with a dot
are passed over.
"""

import collections
import pathlib

import numpy as np

from dpd_jax.datasets.encoded import SUFFIXES, Encoded, Item
from dpd_jax.errors import UserError

_FORMATS = "PNG, JPEG and WebP"
_NAMED = 5  # names in a message, at most


def find(folder: pathlib.Path, splits: tuple[str, str]) -> Encoded:
    """Lists the images of a folder, by class and name; reads none.

    Args:
      folder: of the classes, or of the splits.
      splits: the names of the folders of training and test images.

    Returns:
      Both splits, or one where the folder has classes only. Classes are in the order of their
      names.

    Raises:
      UserError: there are fewer than two classes, a class has no image, or the splits have other
        classes.
    """
    roots = _roots(folder, splits)
    names = [path.name for path in _folders(roots[0])]
    if len(names) < 2:
        loose = "" if names else _loose(roots[0])
        raise UserError(
            f"{roots[0]} has {f'one class folder, {names[0]}' if names else 'no class folders'}"
            f"{loose}, but two classes or more are needed. Give each class a folder with its "
            "images, and set --data_dir to the folder that holds these."
        )
    for root in roots[1:]:
        _check_classes(roots[0], names, root)
    others: collections.Counter[str] = collections.Counter()
    items, labels = [], []
    for root in roots:
        found, sizes = [], []
        for name in names:
            images, left_out = _images(root / name)
            others.update(left_out)
            found += [Item(str(path), path) for path in images]
            sizes.append(len(images))
        items.append(found)
        labels.append(np.repeat(np.arange(len(names), dtype=np.int32), sizes))
    note = ""
    if others:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(_NAMED))
        note = f"Left out, because only {_FORMATS} are read: {kinds}."
    return Encoded(tuple(names), tuple(items), tuple(labels), note)


def _roots(folder: pathlib.Path, splits: tuple[str, str]) -> list[pathlib.Path]:
    """The folder of each split, or the folder itself if its subfolders are classes."""
    train, test = (folder / split for split in splits)
    # A class may be called "train"; it holds images, not folders.
    is_split = [path.is_dir() and bool(_folders(path)) for path in (train, test)]
    if not any(is_split):
        return [folder]
    if not all(is_split):
        there, missing = (train, test) if is_split[0] else (test, train)
        siblings = ", ".join(path.name for path in _folders(folder)[:_NAMED])
        raise UserError(
            f"{folder} has the split {there.name}/, but no class folders in {missing.name}/; it "
            f"has: {siblings}. Set data.train_split and data.test_split to the names of the two; "
            f"or set --data_dir={there}, to keep back a share of its images as the test set."
        )
    return [train, test]


def _check_classes(train: pathlib.Path, names: list[str], test: pathlib.Path) -> None:
    found = {path.name for path in _folders(test)}
    for there, lacking, missing in (
        (train, test, sorted(set(names) - found)),
        (test, train, sorted(found - set(names))),
    ):
        if missing:
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            raise UserError(
                f"{lacking} has no folder for {', '.join(missing[:_NAMED])}{more}, but {there} "
                "has. Both splits need the same class folders."
            )


def _images(folder: pathlib.Path) -> tuple[list[pathlib.Path], list[str]]:
    """The images of a class, and the suffixes of other files; raises UserError without images."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(x.startswith(".") for x in path.relative_to(folder).parts)
    )
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    others = [x.suffix.lower() or x.name for x in files if x.suffix.lower() not in SUFFIXES]
    if not images:
        has = f"{len(files)} other files ({', '.join(sorted(set(others))[:_NAMED])})"
        raise UserError(
            f"the class folder {folder} has no images{f', but {has}' if files else ''}. "
            f"{_FORMATS} are read; convert its files, or remove the folder."
        )
    return images, others


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(x for x in folder.iterdir() if x.is_dir() and not x.name.startswith("."))


def _loose(folder: pathlib.Path) -> str:
    count = sum(path.suffix.lower() in SUFFIXES for path in folder.iterdir())
    return f" (and {count} images beside them)" if count else ""
