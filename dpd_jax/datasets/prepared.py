"""Reads data sets prepared by TFDS, without TensorFlow."""

import difflib
import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow_datasets as tfds

from dpd_jax.datasets import aligned, builders
from dpd_jax.datasets.progress import Progress
from dpd_jax.errors import UserError

_BATCH = 1000  # records; reading them one by one takes 1.5 times as long
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_HELP = (
    "On a machine with TensorFlow, prepare the set in the array_record format: "
    "`tfds build NAME --file_format=array_record --data_dir=FOLDER`; then set --data_dir=FOLDER."
)


def read(
    name: str,
    splits: Sequence[str],
    keys: tuple[str, str],
    data_dir: pathlib.Path,
    progress: Progress | None,
) -> tuple[str, list[tuple[np.ndarray, np.ndarray]], tuple[str, ...]]:
    """Reads splits of a set into memory. A missing set is downloaded if a builder exists.

    Arguments and errors are those of `loading.load`; `keys` are the features of images and labels.

    Returns:
      The name with its version; images (uint8 [n, h, w, c]) and labels (int32 [n]) of each
      split; the names of the classes.
    """
    folder = _locate(name, data_dir, progress)
    full_name = f"{name.partition(':')[0]}:{folder.name}"
    try:
        builder = tfds.builder_from_directory(folder, file_format="array_record")
    except Exception as error:  # A damaged description may raise anything.
        raise UserError(f"cannot read the data set in {folder}: {error}. {_HELP}") from error
    _check_features(builder.info.features, keys, full_name)
    sources = [_open_split(builder, split, full_name) for split in splits]
    total = sum(len(source) for source in sources)
    arrays, done = [], 0
    for split, source in zip(splits, sources, strict=True):
        where = f'split "{split}" of {full_name} in {folder}'
        images, labels = np.empty(0, np.uint8), np.empty(len(source), np.int32)
        for i, (image, label) in enumerate(_records(source, keys, where)):
            if i == 0:
                images = aligned.empty((len(source), *image.shape))
            if image.shape != images.shape[1:]:
                raise UserError(
                    f"image {i} of {where} has shape {image.shape}, the first has "
                    f"{images.shape[1:]}. All must have one size; resize them in the set."
                )
            images[i], labels[i] = image, label
            done += 1
            if progress and (done % _BATCH == 0 or done == total):
                progress(done / total, doing=f"reading {full_name}")
        arrays.append((images, labels))
    return full_name, arrays, _class_names(builder.info.features[keys[1]], arrays, full_name)


def _records(source, keys: tuple[str, str], where: str) -> Iterator[tuple[np.ndarray, int]]:
    """Yields (image [h, w, c], label) of each record."""
    image_key, label_key = keys
    for start in range(0, len(source), _BATCH):
        stop = min(start + _BATCH, len(source))
        batch = []
        try:
            for record in source.__getitems__(range(start, stop)):
                image, label = np.asarray(record[image_key], np.uint8), int(record[label_key])
                batch.append((image[..., None] if image.ndim == 2 else image, label))
        # array_record, protobuf and Pillow have their own errors. A truncated file may also give
        # empty records, whose image and label are None.
        except Exception as error:
            raise UserError(
                f"records {start} to {stop - 1} of {where} cannot be read: {error}. The files are "
                "damaged or incomplete; delete the folder and prepare or copy the set again."
            ) from error
        yield from batch


def _class_names(label, arrays, full_name: str) -> tuple[str, ...]:
    """The class names of the set, or numbers if it has none."""
    labels = np.concatenate([labels for _, labels in arrays])
    k = getattr(label, "num_classes", None) or max(int(labels.max()), 0) + 1
    if labels.min() < 0 or labels.max() >= k:
        bad = labels[(labels < 0) | (labels >= k)]
        raise UserError(
            f"{full_name} has labels outside 0 to {k - 1}: {len(bad)} of {len(labels)}, such as "
            f"{bad[0]}. A split without labels cannot be used; otherwise the set is damaged."
        )
    return tuple(getattr(label, "names", None) or (str(i) for i in range(k)))


def _check_features(features, keys: tuple[str, str], full_name: str) -> None:
    for key in keys:
        if key not in features:
            raise UserError(
                f'{full_name} has no feature "{key}"; it has: {", ".join(sorted(features))}. '
                "Set data.image_key and data.label_key."
            )
    image, label = (features[key] for key in keys)
    if image.np_dtype != np.uint8 or len(image.shape) not in (2, 3):
        raise UserError(
            f'the feature "{keys[0]}" of {full_name} is {image}, not an 8-bit image of '
            "height, width and channels; set data.image_key"
        )
    if label.shape != () or not np.issubdtype(label.np_dtype, np.integer):
        raise UserError(
            f'the feature "{keys[1]}" of {full_name} is {label}, not one integer for each '
            "image; set data.label_key"
        )


def _open_split(builder, split: str, full_name: str):
    try:
        return builder.as_data_source(split)
    except ValueError as error:
        raise UserError(
            f'cannot take the split "{split}" of {full_name}: {str(error).splitlines()[-1]} '
            f"It has the splits {', '.join(sorted(builder.info.splits))}; a part of one is "
            "written as train[:1000] or train[:10%]."
        ) from error


def _locate(name: str, data_dir: pathlib.Path, progress: Progress | None) -> pathlib.Path:
    """The folder of a prepared set, which is built if it is missing and has a builder."""
    bare, _, version = name.partition(":")
    found = _prepared_in(data_dir)
    if bare in found and version in ("", *found[bare]):
        return data_dir / bare / (version or found[bare][-1])
    if not data_dir.is_dir():
        state = "is a file" if data_dir.exists() else "does not exist"
    elif found:
        state = f"holds {', '.join(f'{known}:{v}' for known in found for v in found[known])}"
    else:
        state = "holds no prepared data set"
    missing = f'the data set "{name}" is not in the data folder {data_dir}, which {state}'
    builder = builders.BUILDERS.get(bare)
    if builder is None or version not in ("", str(builder.VERSION)):
        close = difflib.get_close_matches(bare, [*found, *builders.BUILDERS, "digits"], n=1)
        hint = f' Did you mean "{close[0]}"?' if close and close[0] != name else ""
        own = ", ".join(f"{key}:{value.VERSION}" for key, value in builders.BUILDERS.items())
        raise UserError(
            f"{missing}.{hint} Downloaded if missing: {own}. Needs no files: digits "
            f'(data.source "digits"). {_HELP} Your own images need no TFDS: data.source "npz" '
            "reads them from the file data.name (README.md)."
        )
    try:
        return builders.prepare(bare, data_dir, progress)
    except UserError as error:
        raise UserError(f"{missing}; and {error}") from error


def _prepared_in(data_dir: pathlib.Path) -> dict[str, list[str]]:
    """The sets in a folder: name (with config) -> versions, newest last."""
    found: dict[str, list[str]] = {}
    for pattern in ("*/*/dataset_info.json", "*/*/*/dataset_info.json"):
        for path in data_dir.glob(pattern):
            folder = path.parent
            if _VERSION.fullmatch(folder.name):
                name = folder.parent.relative_to(data_dir).as_posix()
                found.setdefault(name, []).append(folder.name)
    return {
        name: sorted(found[name], key=lambda version: [int(part) for part in version.split(".")])
        for name in sorted(found)
    }
