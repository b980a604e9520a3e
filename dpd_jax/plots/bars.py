"""plot.png of an evaluation: accuracy as bars, a group per network, a colour per candidate."""

import pathlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dpd_jax.storage import atomic

_COLOURS = ("#2f6fb0", "#c8c4ba", "#5b6470", "#c8553d", "#3b8f5f", "#8a5fa8")
_FEW = len(_COLOURS)
_DPI = 110
_LETTER = 0.07  # inches of a letter in the legend


class Bar(Protocol):
    """What is drawn of one row: names, mean and standard deviation as fractions."""

    @property
    def candidate(self) -> str: ...

    @property
    def network(self) -> str: ...

    @property
    def mean(self) -> float: ...

    @property
    def std(self) -> float: ...


def save(path: pathlib.Path, rows: Sequence[Bar], *, title: str) -> None:
    """Draws one bar per candidate and network, with its standard deviation.

    Raises:
      UserError: if the disk is full.
    """
    networks = list(dict.fromkeys(row.network for row in rows))
    names = list(dict.fromkeys(row.candidate for row in rows))
    many = len(names) > _FEW
    side = 2.2 + max(1.2, 0.22 * len(names)) * len(networks)
    colours = colormaps["tab20"](range(20)) if many else _COLOURS
    figure = Figure((side, 3.8), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    width = 0.8 / len(names)
    for place, name in enumerate(names):
        own = [row for row in rows if row.candidate == name]
        at = np.array([networks.index(row.network) for row in own]) + (place + 0.5) * width - 0.4
        heights = [100 * row.mean for row in own]
        bars = axes.bar(
            at,
            heights,
            0.92 * width,
            yerr=[100 * row.std for row in own],
            color=colours[place % len(colours)],
            ecolor="#1b1f24",
            label=name,
        )
        axes.bar_label(bars, fmt="%.1f", fontsize=7, padding=1, rotation=90 if many else 0)
    axes.margins(y=0.15 if many else 0.05)
    axes.set_xticks(range(len(networks)), networks)
    axes.set_ylabel("test accuracy, %")
    axes.set_title(title, loc="left", parse_math=False)
    columns = max(1, int(side / (0.5 + _LETTER * max(map(len, names)))))
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=8)
    drawn = FigureCanvasAgg(figure)
    atomic.write_whole(path, drawn.print_png, num_bytes=60_000)
