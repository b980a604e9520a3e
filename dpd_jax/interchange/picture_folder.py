"""A distilled set as ordinary pictures: a PNG file an image, and labels.csv.

    0000.png, 0001.png, ...   the pictures of the set, in its order
    labels.csv                file, label, class_name, logit_0, ..., logit_(k - 1)

Pictures are 8-bit pixels. What no pixel can show is cut, so networks trained on them reach another
accuracy than those trained on the set.
"""

import csv
import io
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from dpd_jax.errors import UserError
from dpd_jax.storage import atomic
from dpd_jax.storage.distilled_set import DistilledSet


def write(folder: pathlib.Path, distilled: DistilledSet, progress: Callable[[float], None]) -> None:
    """Writes the files of a set.

    Raises:
      UserError: if the disk is full, or the images have channels that PNG cannot hold.
    """
    count, num_classes = distilled.label_logits.shape
    digits = max(4, len(str(count - 1)))
    names = [f"{number:0{digits}}.png" for number in range(count)]
    for number, data in enumerate(png_files(distilled.pictures)):
        atomic.write_bytes(folder / names[number], data)
        progress((number + 1) / count)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    head = ("file", "label", "class_name")
    writer.writerow([*head, *(f"logit_{label}" for label in range(num_classes))])
    for name, label, logits in zip(names, distilled.labels, distilled.label_logits, strict=True):
        # The shortest text from which float32 is read back exactly.
        values = [np.format_float_positional(value, trim="0") for value in logits]
        writer.writerow([name, label, distilled.class_names[label], *values])
    atomic.write_text(folder / "labels.csv", table.getvalue())


def png_files(pictures: np.ndarray) -> Iterator[bytes]:
    """The contents of a PNG file for each picture, uint8 [n, h, w, c].

    Raises:
      UserError: if the pictures have channels that PNG cannot hold.
    """
    channels = pictures.shape[-1]
    if channels not in (1, 3):
        raise UserError(
            f"the images have {channels} channels, but PNG pictures are grey (1) or colour (3). "
            "Export --to=safetensors or pytorch."
        )
    for picture in pictures:
        file = io.BytesIO()
        Image.fromarray(picture[..., 0] if channels == 1 else picture).save(file, "PNG")
        yield file.getvalue()
