"""Images that are still encoded: what their headers say, and decoding to one shape.

An image of another size is scaled until it covers the shape, and its centre is cut out. Alpha is
composed over white. Grey images become colour, or colour grey, as the shape has channels.
"""

import collections
import concurrent.futures
import io
import os
import pathlib
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from dpd_jax.datasets import aligned
from dpd_jax.datasets.progress import Progress
from dpd_jax.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
LARGEST = 64  # pixels; the side of larger images if no shape is given

_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L")
_REPORT_EVERY = 500  # images
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
_ORIENTATION = 0x0112


class Item(NamedTuple):
    """One encoded image, and where it is, for messages."""

    where: str
    content: pathlib.Path | bytes


class Header(NamedTuple):
    """What is known of an image before it is decoded."""

    width: int
    height: int
    grey: bool
    alpha: bool


class Encoded(NamedTuple):
    """Labelled images of one or two splits.

    Attributes:
      class_names: one per class, in the order of the labels.
      items: the images of each split, the training split first.
      labels: int32 [n] of each split.
      note: a sentence about files that were left out, or "".
    """

    class_names: tuple[str, ...]
    items: tuple[Sequence[Item], ...]
    labels: tuple[np.ndarray, ...]
    note: str = ""


def headers(items: Sequence[Item], progress: Progress | None) -> list[Header]:
    """Reads the headers of images; raises UserError for the first that is damaged."""
    found = []
    for done, item in enumerate(items, start=1):
        with _open(item) as image:
            width, height = image.size
            # Without the first condition Pillow decodes a PNG, to look for EXIF data behind it.
            if "exif" in image.info and image.getexif().get(_ORIENTATION) in _SIDEWAYS:
                width, height = height, width
            found.append(Header(width, height, image.mode in _GREY, _has_alpha(image)))
        _report(progress, done, len(items), "looking at the images")
    return found


def common_shape(found: Sequence[Header]) -> tuple[int, int, int]:
    """The square shape that most images have; at most LARGEST pixels, one channel if all are grey.

    The side is the most common shorter side; of equally common ones the smallest.
    """
    sides = collections.Counter(min(x.width, x.height, LARGEST) for x in found)
    side = min(sides, key=lambda side: (-sides[side], side))
    return side, side, 1 if all(x.grey for x in found) else 3


def changes(found: Sequence[Header], shape: tuple[int, int, int]) -> str:
    """A sentence that counts the images that decoding to `shape` changes; "" if none."""
    height, width, channels = shape
    grey = channels == 1
    counts = {
        f"scaled and cropped to {width}x{height}": sum(
            (x.width, x.height) != (width, height) for x in found
        ),
        f"turned from {'colour to grey' if grey else 'grey to colour'}": sum(
            x.grey != grey for x in found
        ),
        "composed over white, because they have an alpha channel": sum(x.alpha for x in found),
    }
    parts = [f"{count:,} are {what}" for what, count in counts.items() if count]
    return f"Of {len(found):,} images {'; '.join(parts)}." if parts else ""


def decode(
    items: Sequence[Item], shape: tuple[int, int, int], progress: Progress | None, doing: str
) -> np.ndarray:
    """Decodes images to uint8 [n, *shape].

    Raises:
      UserError: for the first image that is damaged.
    """
    out = aligned.empty((len(items), *shape))
    # Pillow decodes without Python's lock.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            images = pool.map(lambda item: _decode(item, shape), items)
            for place, image in enumerate(images):
                out[place] = image
                _report(progress, place + 1, len(items), doing)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return out


def _decode(item: Item, shape: tuple[int, int, int]) -> np.ndarray:
    height, width, channels = shape
    with _open(item) as image:
        try:
            image.draft(None, (width, height))  # JPEG: decodes a smaller image, if that is enough.
            picture = ImageOps.exif_transpose(image)
            if picture.mode.startswith("I"):  # 16 bits
                picture = Image.fromarray((np.asarray(picture).clip(0, 65535) >> 8).astype("uint8"))
            if _has_alpha(picture):
                picture = picture.convert("RGBA")
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture)
            picture = picture.convert("L" if channels == 1 else "RGB")
            if picture.size != (width, height):
                picture = ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)
            return np.asarray(picture).reshape(shape)
        except Exception as error:  # Pillow's decoders raise many types.
            raise _damaged(item, error) from error


def _open(item: Item) -> Image.Image:
    content = item.content
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images and odd metadata.
            image = Image.open(io.BytesIO(content) if isinstance(content, bytes) else content)
    except Exception as error:  # Damaged headers raise many types.
        raise _damaged(item, error) from error
    if image.mode == "F" or 0 in image.size:
        raise _damaged(item, ValueError(f"mode {image.mode}, size {image.size}"))
    return image


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _damaged(item: Item, error: Exception) -> UserError:
    return UserError(
        f"the image {item.where} cannot be read ({' '.join(str(error).split())}). Repair, replace "
        "or remove it."
    )


def _report(progress: Progress | None, done: int, total: int, doing: str) -> None:
    if progress and (done % _REPORT_EVERY == 0 or done == total):
        progress(done / total, doing=doing)
