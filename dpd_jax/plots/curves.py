"""curves.png: a quantity over steps, as a curve with a band of one deviation for each name."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from dpd_jax.storage import atomic

_COLOURS = ("#2f6fb0", "#c8553d", "#3b8f5f", "#8a5fa8", "#b8860b", "#3f8f94", "#a04a6b", "#5b6470")
_MARKERS = "osD^vPX*"
_INK, _FAINT, _PAPER = "#1b1f24", "#6a727c", "#fcfcfa"
_DPI = 110


class Curve(NamedTuple):
    """Means and standard deviations [s] over x [s]."""

    name: str
    x: Sequence[float]
    means: Sequence[float]
    stds: Sequence[float]


def save(path: pathlib.Path, curves: Sequence[Curve], *, title: str, x: str, y: str) -> None:
    """Draws the curves; `x` and `y` name the axes.

    Raises:
      UserError: the disk is full.
    """
    figure = Figure((6.6, 4.4), dpi=_DPI, facecolor=_PAPER, layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor(_PAPER)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=_FAINT, alpha=0.2)
    for number, curve in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]
        means, stds = np.asarray(curve.means), np.asarray(curve.stds)
        axes.fill_between(curve.x, means - stds, means + stds, color=colour, alpha=0.13, lw=0)
        marker = _MARKERS[number % len(_MARKERS)]
        axes.plot(curve.x, means, color=colour, marker=marker, markersize=5, label=curve.name)
    axes.set_xticks(sorted({place for curve in curves for place in curve.x}))
    axes.set_xlabel(x, color=_INK)
    axes.set_ylabel(y, color=_INK)
    axes.set_title(title, loc="left", color=_INK, parse_math=False, wrap=True)
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=4)
    atomic.write_whole(path, lambda file: figure.savefig(file, format="png"), num_bytes=60_000)
