"""images.png: the images of a set, one row per class, beside the real ones they started from."""

import math
import pathlib
import textwrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dpd_jax.datasets.whitening import Preprocessing
from dpd_jax.storage import atomic, distilled_set

# Images shown per class: at most 10, fewer for many classes, so that the page stays viewable.
_MOST, _PICTURES, _FEWEST = 10, 400, 2
_ASPECT = 1.4  # width over height that the page approaches
# Limits of one image and of the page, then gaps between images and between panels, in pixels.
_LARGEST, _WIDEST, _TALLEST, _GAP, _PANEL_GAP = 112, 2000, 2400, 4, 32
_NAME_LETTERS, _LETTER = 18, 8  # letters of a class name at most, pixels per letter
_INK, _FAINT, _PAPER = "#1b1f24", "#6a727c", "#fcfcfc"
_DPI = 100


def save(
    path: pathlib.Path,
    preprocessing: Preprocessing,
    images: np.ndarray,
    real: np.ndarray | None,
    class_names: tuple[str, ...],
    *,
    title: str,
    caption: str,
) -> None:
    """Draws a distilled set, without stretching its contrast.

    Pixels are clipped at black and white; the picture says how many are clipped.

    Args:
      path: the PNG file, written whole or not at all.
      preprocessing: maps model space back to pixels.
      images: [k * ipc, h, w, c] in model space, class-major.
      real: the real images they started from, in the same order, or None.
      class_names: the k names.
      title, caption: the text above (e.g. the method) and below (e.g. the accuracy).

    Raises:
      UserError: the disk is full.
    """
    ipc = len(images) // len(class_names)
    shown = min(ipc, _MOST, max(_FEWEST, _PICTURES // len(class_names)))
    blocks = [
        _by_class(distilled_set.to_pictures(preprocessing, x), ipc)[:, :shown]
        for x in (images, real)
        if x is not None
    ]
    text = f"{caption}\n{_notes(preprocessing, images, ipc, shown)}"
    text = text.replace(" %", "\u00a0%").replace(" ± ", "\u00a0±\u00a0")  # Kept on one line.
    figure = _draw(blocks, [_short(name) for name in class_names], title, text)
    style: dict[str, Any] = {
        "dpi": _DPI,
        "facecolor": _PAPER,
        "bbox_inches": "tight",
        "pad_inches": 0.25,
    }
    atomic.write_whole(
        path, lambda file: figure.savefig(file, format="png", **style), num_bytes=1_000_000
    )


def _draw(blocks: list[np.ndarray], names: list[str], title: str, text: str) -> Figure:
    """One image of all pictures in exact pixels. Matplotlib places the text around it."""
    classes, shown, height, width, _ = blocks[0].shape
    name_width = 10 + _LETTER * max(len(name) for name in names)
    for scale in range(max(1, _LARGEST // max(height, width)), 0, -1):
        row_height = scale * height + _GAP
        block_width = shown * (scale * width + _GAP)
        row_width = name_width + len(blocks) * (block_width + 2 * _GAP) + _PANEL_GAP
        panels = math.sqrt(_ASPECT * classes * row_height / row_width)
        rows = math.ceil(classes / max(1, round(panels)))
        panels = math.ceil(classes / rows)
        if panels * row_width <= _WIDEST and rows * row_height <= _TALLEST:
            break
    page = np.full((rows * row_height, panels * row_width, 3), int(_PAPER[1:3], 16), np.uint8)
    figure = Figure((page.shape[1] / _DPI, page.shape[0] / _DPI), dpi=_DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()

    def write(x: float, y: float, line: str, **style: Any) -> None:
        options: dict[str, Any] = {"fontsize": 9, "color": _FAINT} | style
        axes.text(x, y, line, parse_math=False, **options)

    for label, name in enumerate(names):
        panel, row = divmod(label, rows)
        left, top = panel * row_width + name_width, row * row_height + _GAP // 2
        write(left - 10, top + scale * height / 2, name, color=_INK, ha="right", va="center")
        for number, block in enumerate(blocks):
            start = left + number * (block_width + 2 * _GAP)
            if row == 0 and len(blocks) > 1:
                write(start, -6, ("distilled", "started from")[number], fontsize=8, va="bottom")
            for column, picture in enumerate(block[label].repeat(scale, 1).repeat(scale, 2)):
                x = start + column * (scale * width + _GAP)
                page[top : top + scale * height, x : x + scale * width] = picture
    axes.imshow(page, interpolation="none")
    letters = max(60, page.shape[1] // 7)
    above = textwrap.fill(title, letters)
    below = "\n".join(textwrap.fill(line, letters) for line in text.splitlines())
    write(0, -28, above, fontsize=14, color=_INK, weight="bold", va="bottom")
    write(0, page.shape[0] + 8, below, va="top", linespacing=1.4)
    return figure


def _by_class(pictures: np.ndarray, ipc: int) -> np.ndarray:
    """8-bit [k * ipc, h, w, c] as [k, ipc, h, w, 3], for c other than 3 the grey mean."""
    if pictures.shape[-1] != 3:
        grey = np.round(pictures.mean(-1, keepdims=True)).astype(np.uint8)
        pictures = np.repeat(grey, 3, -1)
    return pictures.reshape(-1, ipc, *pictures.shape[1:])


def _short(name: str) -> str:
    """The first of several names, cut to fit."""
    name = name.split(",")[0].strip()
    return name if len(name) <= _NAME_LETTERS else name[: _NAME_LETTERS - 1] + "…"


def _notes(preprocessing: Preprocessing, images: np.ndarray, ipc: int, shown: int) -> str:
    share = 100 * distilled_set.share_cut(preprocessing, images)
    clipped = (
        f" {'<1' if share < 1 else round(share)} % of the values are clipped." if share else ""
    )
    first = f"The first {shown} of {ipc} images of each class. " if shown < ipc else ""
    channels = images.shape[-1]
    mean = f"Shown is the mean of the {channels} channels. " if channels not in (1, 3) else ""
    return f"{first}{mean}Brightness is not stretched.{clipped}"
