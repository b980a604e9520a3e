"""How far a gradient mode is from the exact gradient, over student steps and step sizes."""

import pathlib
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments import files

_COLOURS = ("#2f6fb0", "#c8553d", "#3b8f5f", "#8a5fa8", "#b8860b", "#5b6470")
_INK, _PAPER = "#1b1f24", "#fcfcfa"
_DPI = 110


class Row(NamedTuple):
    """One place of the table.

    Attributes:
      mode: the gradient mode.
      steps: N.
      step_size: alpha.
      loss: the matching loss, mean over segments.
      seen: part of the set -> (cosine, relative error) of each segment.
    """

    mode: str
    steps: int
    step_size: float
    loss: float
    seen: dict[str, list[tuple[float, float]]]

    def error(self, name: str) -> float:
        """Median relative error over segments; NaN where that gradient is zero."""
        return _median([error for _, error in self.seen[name]])

    def cosine(self, name: str) -> float:
        """Median cosine over segments; NaN where a gradient is zero."""
        return _median([cosine for cosine, _ in self.seen[name]])


def markdown(rows: list[Row]) -> str:
    """The table: medians of relative error, and of cosine in brackets, for each part of the set."""
    names = list(rows[0].seen)
    heads = ["mode", "N", "step size", "L", *names]
    lines = ["| " + " | ".join(heads) + " |", "| " + " | ".join(["---"] * len(heads)) + " |"]
    for row in rows:
        cells = [f"{row.error(name):.2g} ({row.cosine(name):.3f})" for name in names]
        cells = ["zero" if cell.startswith("nan") else cell for cell in cells]
        figures = [row.mode, str(row.steps), f"{row.step_size:g}", f"{row.loss:.3f}"]
        lines.append("| " + " | ".join(figures + cells) + " |")
    return "\n".join(lines) + "\n"


def save(folder: pathlib.Path, rows: list[Row], *, title: str) -> None:
    """Writes gap.md and gap.png.

    Raises:
      UserError: if the disk is full.
    """
    files.write_text(folder / "gap.md", markdown(rows))
    drawn = draw(rows, title=title)
    files.write_whole(folder / "gap.png", drawn.print_png, num_bytes=100_000)


def draw(rows: list[Row], *, title: str) -> FigureCanvasAgg:
    """Relative error over N, a panel a part of the set, a line a mode and step size."""
    names = list(rows[0].seen)
    figure = Figure((3.4 * len(names), 3.4), dpi=_DPI, facecolor=_PAPER, layout="constrained")
    figure.suptitle(title, color=_INK, parse_math=False, x=0.01, ha="left")
    lines = list(dict.fromkeys((row.mode, row.step_size) for row in rows))
    several = len({row.mode for row in rows}) > 1
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        axes.set_facecolor(_PAPER)
        axes.spines[["top", "right"]].set_visible(False)
        for number, (mode, size) in enumerate(lines):
            own = [row for row in rows if (row.mode, row.step_size) == (mode, size)]
            label = f"{mode}, {size:g}" if several else f"step size {size:g}"
            errors = np.array([row.error(name) for row in own])
            axes.plot(
                [row.steps for row in own],
                np.where(errors > 0, errors, np.nan),
                "o-",
                color=_COLOURS[number % len(_COLOURS)],
                label=label,
            )
        axes.set_xscale("log", base=2)
        ticks = sorted({row.steps for row in rows})
        axes.set_xticks(ticks, map(str, ticks))
        if any(row.error(name) > 0 for row in rows):  # Not of a gradient that is zero.
            axes.set_yscale("log")
        axes.set_title(name, loc="left", fontsize=10)
        axes.set_xlabel("student steps N")
    figure.axes[0].set_ylabel("relative error")
    figure.axes[0].legend(frameon=False, fontsize=8)
    return FigureCanvasAgg(figure)


def _median(values: list[float]) -> float:
    """Of those that are numbers; unlike the mean, unmoved by a reference that is nearly zero."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.median(known)) if known else float("nan")
