"""curves.png: quantities over steps or time, as curves in panels."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dpd_jax.storage import atomic

_COLOURS = ("#2f6fb0", "#c8553d", "#3b8f5f", "#8a5fa8", "#b8860b", "#3f8f94", "#a04a6b", "#5b6470")
_MARKERS = "osD^vPX*"
_MARKED, _TICKED = 40, 12  # points of a curve that get markers, of a panel that get ticks; at most
_WIDTH, _HEIGHT, _SMALL = 6.6, 4.4, 2.6  # inches of a single panel; the height of one of several
_INK, _FAINT, _PAPER = "#1b1f24", "#6a727c", "#fcfcfa"
_DPI = 110


class Curve(NamedTuple):
    """Means [s] over x [s], with a band of the standard deviations [s], if there are some.

    A curve without a name is not in the legend.
    """

    name: str
    x: Sequence[float]
    means: Sequence[float]
    stds: Sequence[float] = ()


class Panel(NamedTuple):
    """Curves with the names of their axes; `from_zero`: whether the lower end of y is 0."""

    curves: Sequence[Curve]
    x: str
    y: str
    from_zero: bool = False


def save(path: pathlib.Path, rows: Sequence[Sequence[Panel]], *, title: str) -> None:
    """Draws rows of panels, all of the same length.

    Raises:
      UserError: the disk is full.
    """
    columns = len(rows[0])
    single = len(rows) == columns == 1
    size = (_WIDTH, _HEIGHT) if single else (_WIDTH * columns * 0.8, _SMALL * len(rows) + 0.4)
    figure = Figure(size, dpi=_DPI, facecolor=_PAPER, layout="constrained")
    names: dict[str, Line2D] = {}
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for drawn, row in zip(grid, rows, strict=True):
        for axes, panel in zip(drawn, row, strict=True):
            names |= _draw(axes, panel)
    figure.suptitle(title, x=0.01, ha="left", color=_INK, parse_math=False, wrap=True)
    if names:
        figure.legend(
            names.values(),
            names.keys(),
            frameon=False,
            fontsize=8,
            loc="outside lower center",
            ncols=4,
        )
    atomic.write_whole(path, lambda file: figure.savefig(file, format="png"), num_bytes=60_000)


def _draw(axes, panel: Panel) -> dict[str, Line2D]:
    """Draws one panel; its lines by their names."""
    axes.set_facecolor(_PAPER)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=_FAINT, alpha=0.2)
    lines = {}
    for number, curve in enumerate(panel.curves):
        colour = _COLOURS[number % len(_COLOURS)]
        means, stds = np.asarray(curve.means), np.asarray(curve.stds)
        if len(stds):
            axes.fill_between(curve.x, means - stds, means + stds, color=colour, alpha=0.13, lw=0)
        marker = _MARKERS[number % len(_MARKERS)] if len(means) <= _MARKED else ""
        (line,) = axes.plot(curve.x, means, color=colour, marker=marker, markersize=5, lw=1.2)
        if curve.name:
            lines[curve.name] = line
    places = sorted({place for curve in panel.curves for place in curve.x})
    if len(places) <= _TICKED and all(float(place).is_integer() for place in places):
        axes.set_xticks(places)
    axes.ticklabel_format(axis="y", useOffset=False)
    if panel.from_zero:
        highest = max(np.nanmax(curve.means) for curve in panel.curves)
        axes.set_ylim(0, 1.06 * highest if highest > 0 else 1)
    axes.set_xlabel(panel.x, color=_INK)
    axes.set_ylabel(panel.y, color=_INK)
    return lines
