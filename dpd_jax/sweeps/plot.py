"""plot.png: the table of a sweep as a plot.

If a numeric field has three or more values, accuracy is plotted over that field, with
one line per combination of the other fields. Otherwise each setting is a row, with the
paper's figure as a circle. Dots are runs, error bars the standard deviation over runs, and the
band is random real images.
"""

import pathlib
import statistics
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dpd_jax.presets import fields
from dpd_jax.storage import atomic
from dpd_jax.sweeps.table import Row, Table

_COLOURS = ("#2f6fb0", "#c8553d", "#3b8f5f", "#8a5fa8", "#b8860b", "#3f8f94", "#a04a6b", "#5b6470")
_INK, _FAINT, _PAPER = "#1b1f24", "#6a727c", "#fcfcfa"
_DPI = 110
_MOST_BASELINES = 3  # More look alike and hide the rest.
_LOGARITHMIC = 50  # the axis is logarithmic from this ratio of largest to smallest value


def save(path: pathlib.Path, table: Table, *, title: str) -> None:
    """Draws the finished runs.

    Raises:
      UserError: the disk is full.
    """
    along = _along(table)
    height = 4.6 if along else 1.8 + 0.36 * len(table.rows)
    figure = Figure((7.6, min(height, 22)), dpi=_DPI, facecolor=_PAPER, layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor(_PAPER)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", color=_INK, parse_math=False, wrap=True)
    _draw_baselines(axes, table, horizontal=bool(along))
    if along:
        _draw_lines(axes, _lines(table, along), along)
    else:
        _draw_rows(axes, table)
    if axes.get_legend_handles_labels()[0]:  # Outside the axes, so that it hides no data.
        figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    atomic.write_whole(path, lambda file: figure.savefig(file, format="png"), num_bytes=100_000)


def _along(table: Table) -> str | None:
    """The numeric field with the most values, at least three, that every setting sets."""
    counts = {}
    for field in table.fields:
        values = {row.values.get(field) for row in table.rows}
        if len(values) > 2 and all(type(value) in (int, float) for value in values):
            counts[field] = len(values)
    return max(counts, key=lambda field: counts[field], default=None)


def _lines(table: Table, along: str) -> dict[str, list[Row]]:
    """Rows grouped by the values of the other fields, sorted by the field `along`."""
    groups: dict[str, list[Row]] = {}
    for row in table.rows:
        others = [
            f"{name}={fields.text(row.values[field])}"
            for field, name in zip(table.fields, table.names, strict=True)
            if field != along and field in row.values
        ]
        groups.setdefault(", ".join(others), []).append(row)
    return {label: sorted(rows, key=lambda r: r.values[along]) for label, rows in groups.items()}


def _percent(row: Row) -> tuple[list[float], float, float]:
    """The accuracies of the runs, their mean and standard deviation (0 for one run), in %."""
    runs = [100 * accuracy for accuracy in row.accuracies.values()]
    return runs, statistics.fmean(runs), 100 * (row.std or 0)


def _draw_lines(axes: Axes, lines: dict[str, list[Row]], along: str) -> None:
    for number, (label, rows) in enumerate(lines.items()):
        done = [(row.values[along], *_percent(row)) for row in rows if row.accuracies]
        if done:
            colour = _COLOURS[number % len(_COLOURS)]
            x, _, means, spreads = zip(*done, strict=True)
            axes.errorbar(
                x, means, spreads, color=colour, capsize=3, marker="o", label=label or None
            )
            for value, runs, _, _ in done:
                axes.plot([value] * len(runs), runs, ".", color=colour, alpha=0.5)
    values = [row.values[along] for rows in lines.values() for row in rows]
    if min(values) > 0 and max(values) >= _LOGARITHMIC * min(values):
        axes.set_xscale("log")
    axes.set_xlabel(along, color=_INK, parse_math=False)
    axes.set_ylabel("test accuracy, %", color=_INK)


def _draw_rows(axes: Axes, table: Table) -> None:
    style: dict[str, Any] = {"color": _COLOURS[0]}
    for y, row in enumerate(table.rows):
        if row.accuracies:
            runs, mean, spread = _percent(row)
            axes.plot(runs, [y] * len(runs), "o", alpha=0.35, markersize=4, **style)
            axes.errorbar(mean, y, xerr=spread, capsize=3, marker="D", **style)
    claimed = {y: float(row.claimed.split()[0]) for y, row in enumerate(table.rows) if row.claimed}
    if claimed:
        label = f"claimed ({table.paper}), at full scale"
        style = {"color": _COLOURS[1], "fillstyle": "none", "label": label}
        axes.plot(list(claimed.values()), list(claimed), "o", **style)
    labels = [row.label for row in table.rows]
    axes.set_yticks(range(len(labels)), labels, color=_INK, fontsize=9, parse_math=False)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(axis="y", color=_FAINT, alpha=0.2)
    axes.set_xlabel("test accuracy, %", color=_INK)


def _draw_baselines(axes: Axes, table: Table, *, horizontal: bool) -> None:
    """Each baseline, if they are few, as a line at its mean with a band of its deviation."""
    if len(table.random) > _MOST_BASELINES:
        return
    line, band = (axes.axhline, axes.axhspan) if horizontal else (axes.axvline, axes.axvspan)
    for row in table.random:
        if row.accuracies:
            _, mean, std = _percent(row)
            line(mean, color=_FAINT, linestyle="--", linewidth=1, label=row.label)
            band(mean - std, mean + std, color=_FAINT, alpha=0.12, linewidth=0)
