"""images.png: the distilled images, classes in rows, beside the real ones they started from."""

import pathlib
import textwrap
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dpd_jax.datasets.whitening import Preprocessing
from dpd_jax.storage import atomic, distilled_set

# Columns of one block at most; with many classes fewer, so that the picture stays viewable.
_COLUMNS, _PICTURES, _FEWEST = 10, 400, 2
# Width over height that the arrangement of the rows tries to come near.
_ASPECT = 1.4
_LARGEST_CELL, _WIDEST, _TALLEST = 112, 2000, 2400
# Pixels: margin round everything, between images, between blocks, between panels.
_MARGIN, _GAP, _BLOCK_GAP, _PANEL_GAP = 28, 4, 18, 36
# A class name: letters at most, width of one; the least width of a heading and of the page.
_NAME_LETTERS, _LETTER, _HEADING = 18, 7.6, 72
_NARROWEST = 460
_TITLE, _TEXT, _SMALL = 20, 13, 11
_PAPER, _INK, _FAINT = "#fcfcfa", "#1b1f24", "#6a727c"
_DPI = 100


class _Layout(NamedTuple):
    """Sizes in pixels of the grid of pictures."""

    panels: int
    rows: int  # of one panel
    scale: int  # screen pixels for one image pixel
    names: int  # width left of each row
    cell: tuple[int, int]  # height, width
    block: int  # width of one block
    panel: int  # width of one panel
    width: int
    height: int


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
    """Draws a distilled set as people look at it.

    Contrast is not stretched: each pixel has its own brightness, cut at black
    and white, and the picture says how many were cut.

    Args:
      path: the PNG, written whole or not at all.
      preprocessing: the way back from model space.
      images: [k * ipc, h, w, c] in model space, class-major.
      real: those they started from in the same order, or None.
      class_names: of the k classes.
      title, caption: the first lines, e.g. data set and method; accuracy.

    Raises:
      UserError: if the disk is full.
    """
    drawn = _draw(preprocessing, images, real, class_names, title, caption)
    atomic.write_whole(path, drawn.print_png, num_bytes=1_000_000)


def _draw(preprocessing, images, real, class_names, title, caption) -> FigureCanvasAgg:
    ipc = len(images) // len(class_names)
    shown = min(ipc, _COLUMNS, max(_FEWEST, _PICTURES // len(class_names)))
    headings = ["distilled"] + (["started from"] if real is not None else [])
    blocks = [
        _by_class(distilled_set.to_pictures(preprocessing, x), ipc, shown)
        for x in (images, real)
        if x is not None
    ]
    names = [_short(name) for name in class_names]
    layout = _arrange(len(class_names), shown, len(blocks), images.shape[1:3], names)

    width = max(layout.width, _NARROWEST) + 2 * _MARGIN
    title_lines = textwrap.wrap(title, int((width - 2 * _MARGIN) / (0.62 * _TITLE)))
    caption_lines = textwrap.wrap(caption, int((width - 2 * _MARGIN) / (0.54 * _TEXT)))
    notes = textwrap.wrap(
        _notes(preprocessing, images, ipc, shown), int((width - 2 * _MARGIN) / (0.56 * _SMALL))
    )
    head = _MARGIN + 26 * len(title_lines) + 19 * len(caption_lines) + 34
    height = head + layout.height + 16 + 15 * len(notes) + _MARGIN

    page = _Page(width, height)
    y = _MARGIN
    for line in title_lines:
        page.text(_MARGIN, y + 11, line, size=_TITLE, weight="bold")
        y += 26
    for line in caption_lines:
        page.text(_MARGIN, y + 10, line, size=_TEXT, colour=_FAINT)
        y += 19
    for row, name in enumerate(names):
        panel, place = divmod(row, layout.rows)
        left = _MARGIN + panel * (layout.panel + _PANEL_GAP)
        top = head + place * (layout.cell[0] + _GAP)
        page.text(left + layout.names - 10, top + layout.cell[0] / 2, name, side="right")
        for number, (block, heading) in enumerate(zip(blocks, headings, strict=True)):
            x = left + layout.names + number * (layout.block + _BLOCK_GAP)
            if place == 0:
                page.text(x, head - 12, heading, size=_SMALL, colour=_FAINT)
            for column, picture in enumerate(block[row]):
                page.paste(x + column * (layout.cell[1] + _GAP), top, picture, layout.scale)
    for place, line in enumerate(notes):
        y = head + layout.height + 16 + 15 * place
        page.text(_MARGIN, y + 7, line, size=_SMALL, colour=_FAINT)
    return page.canvas()


class _Page:
    """A sheet of exact pixels: pictures are pasted unblurred, text goes on top."""

    def __init__(self, width: int, height: int):
        self._size = (width, height)
        self._figure = Figure((width / _DPI, height / _DPI), dpi=_DPI, facecolor=_PAPER)
        paper = [int(_PAPER[i : i + 2], 16) for i in (1, 3, 5)]
        self._pixels = np.full((height, width, 3), paper, np.uint8)

    def paste(self, x: int, y: int, picture: np.ndarray, scale: int) -> None:
        """Puts [h, w, 3] at its left upper corner, every pixel as a square."""
        large = picture.repeat(scale, 0).repeat(scale, 1)
        self._pixels[y : y + large.shape[0], x : x + large.shape[1]] = large

    def text(self, x, y, words, *, size=_TEXT, colour=_INK, side="left", weight="normal") -> None:
        """Writes a line, its middle at height y; `size` in pixels."""
        self._figure.text(
            x / self._size[0],
            1 - y / self._size[1],
            words,
            fontsize=size * 72 / _DPI,
            color=colour,
            ha=side,
            va="center_baseline",
            weight=weight,
            family="DejaVu Sans",
            parse_math=False,
        )

    def canvas(self) -> FigureCanvasAgg:
        self._figure.figimage(self._pixels, origin="upper", zorder=-1)
        return FigureCanvasAgg(self._figure)


def _by_class(pictures: np.ndarray, ipc: int, shown: int) -> np.ndarray:
    """8-bit [k * ipc, h, w, c] as [k, shown, h, w, 3]."""
    if pictures.shape[-1] != 3:
        grey = np.round(pictures.mean(-1, keepdims=True)).astype(np.uint8)
        pictures = np.repeat(grey, 3, -1)
    return pictures.reshape(-1, ipc, *pictures.shape[1:])[:, :shown]


def _short(name: str) -> str:
    """The first of several names, cut to fit."""
    name = name.split(",")[0].strip()
    return name if len(name) <= _NAME_LETTERS else name[: _NAME_LETTERS - 1] + "…"


def _arrange(classes: int, shown: int, blocks: int, shape, names: list[str]) -> _Layout:
    """The number of panels nearest to a good shape of the page, as large as it may be."""
    letters = max(len(name) for name in names)
    name_width = 12 + int(_LETTER * letters)

    def lay(panels: int, scale: int) -> _Layout:
        rows = -(-classes // panels)
        cell = (shape[0] * scale, shape[1] * scale)
        block = max(shown * (cell[1] + _GAP) - _GAP, _HEADING)
        panel = name_width + blocks * (block + _BLOCK_GAP) - _BLOCK_GAP
        width = panels * (panel + _PANEL_GAP) - _PANEL_GAP
        return _Layout(
            panels, rows, scale, name_width, cell, block, panel, width, rows * (cell[0] + _GAP)
        )

    def cost(a: _Layout) -> float:
        empty = (a.panels * a.rows - classes) / classes
        return abs(np.log(a.width / a.height / _ASPECT)) + 4 * empty

    counts = range(1, classes + 1)
    for scale in range(max(1, _LARGEST_CELL // max(shape)), 0, -1):
        best = min((lay(panels, scale) for panels in counts), key=cost)
        if best.width <= _WIDEST and best.height <= _TALLEST:
            break
    return best


def _notes(preprocessing: Preprocessing, images: np.ndarray, ipc: int, shown: int) -> str:
    share = 100 * distilled_set.share_cut(preprocessing, images)
    cut = f"; {'<1' if share < 1 else round(share)} % of the values cut at black or white"
    some = f"The first {shown} of {ipc} images of each class. " if shown < ipc else ""
    return f"{some}Brightness as learned, not stretched{cut if share else ''}."
