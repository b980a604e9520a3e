"""Finds the images of a data set stored as Parquet files, as the Hugging Face hub has them.

    train-00000-of-00002.parquet, test-00000-of-00001.parquet, or train/0000.parquet, ...

One column holds encoded images, as bytes or as {"bytes", "path"}, another the labels, as integers
or as text. The names of the classes are in the files' metadata. Reading needs pyarrow.
"""

import json
import pathlib
from typing import Any

import numpy as np

from dpd_jax.datasets import labels as labels_lib
from dpd_jax.datasets.encoded import Encoded, Item
from dpd_jax.errors import UserError


def find(folder: pathlib.Path, splits: tuple[str, str], keys: tuple[str, str]) -> Encoded:
    """Reads the encoded images and the labels of Parquet files.

    Args:
      folder: holds the files, at any depth; or one file, which is all training images.
      splits: the training and the test split; a file belongs to the split that its name starts
        with, or else that its folder is named after.
      keys: the columns of images and labels.

    Returns:
      Both splits, or one where no file belongs to another.

    Raises:
      UserError: pyarrow is missing, a split has no file, a file is damaged, a column is missing
        or of another type, or the labels are not classes.
    """
    files = [[folder]] if folder.is_file() else _files(folder, splits)
    items, labels = [], []
    names: list[str] | None = None
    for paths in files:
        columns = [_columns(path, keys) for path in paths]
        names = names or columns[0][2]
        items.append([item for images, _, _ in columns for item in images])
        labels.append(np.concatenate([values for _, values, _ in columns]))
    if labels[0].dtype.kind == "U":
        if new := sorted(set(np.concatenate(labels)) - set(labels[0])):
            raise UserError(f"{folder} has the class {new[0]} in its test split only.")
        names = sorted(set(labels[0]))
        labels = [np.searchsorted(names, part) for part in labels]
    if min(part.min(initial=0) for part in labels) < 0:
        raise UserError(
            f'the column "{keys[1]}" of {folder} has labels below 0, which mark images without a '
            "label. Name a labelled split, data.test_split."
        )
    named = labels_lib.class_names(str(folder), names, labels)
    return Encoded(named, tuple(items), tuple(part.astype(np.int32) for part in labels))


def _files(folder: pathlib.Path, splits: tuple[str, str]) -> list[list[pathlib.Path]]:
    """The files of each split; of the first alone if there is no other."""
    found: dict[str, list[pathlib.Path]] = {}
    for path in sorted(folder.rglob("*.parquet")):
        # train-00000-of-00002.parquet, train.parquet or train/0000.parquet
        name = path.stem.partition("-")[0]
        found.setdefault(path.parent.name if name.isdecimal() else name, []).append(path)
    missing = [split for split in splits if split not in found]
    if splits[0] in missing or (missing and len(found) > 1):
        raise UserError(
            f"{folder} has no Parquet file of the split {missing[0]}; it has the splits "
            f"{', '.join(found)}. Set data.train_split and data.test_split."
        )
    return [found[split] for split in splits if split in found]


def _columns(
    path: pathlib.Path, keys: tuple[str, str]
) -> tuple[list[Item], np.ndarray, list[str] | None]:
    """The images, the labels and the class names of a file."""
    try:
        import pyarrow.parquet  # Optional; takes half a second to import.
    except ImportError:
        raise UserError(f"reading {path} needs pyarrow: pip install pyarrow.") from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            found = file.schema_arrow.names
            metadata = file.schema_arrow.metadata or {}
            missing = [key for key in keys if key not in found]
            table = None if missing else file.read(columns=list(keys)).to_pydict()
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path} is no Parquet file, or is damaged ({error}).") from error
    if table is None:
        raise UserError(
            f"{path} has no column {', '.join(missing)}; it has: {', '.join(found)}. Set "
            "data.image_key and data.label_key."
        )
    images = []
    for row, cell in enumerate(table[keys[0]]):
        image = cell.get("bytes") if isinstance(cell, dict) else cell
        if not isinstance(image, bytes):
            raise UserError(
                f'row {row} of {path} has no image bytes in the column "{keys[0]}". Set '
                "data.image_key to a column of encoded images that are stored in the file."
            )
        images.append(Item(f"in row {row} of {path}", image))
    labels = np.array(table[keys[1]])
    if labels.ndim != 1 or labels.dtype.kind not in "iuU" or not labels.size:
        raise UserError(
            f'the column "{keys[1]}" of {path} is not one integer or text an image; set '
            "data.label_key."
        )
    return images, labels, _names(metadata, keys[1])


def _names(metadata: dict[bytes, bytes], label_key: str) -> list[str] | None:
    """The class names in the metadata that the Hugging Face library writes, or None."""
    try:
        info: Any = json.loads(metadata[b"huggingface"])
        return list(info["info"]["features"][label_key]["names"])
    except (KeyError, TypeError, ValueError):
        return None
