"""plot.png: the table of a sweep as people look at it.

Where numbers were swept over, accuracy runs along the field with the most
values, a line for each choice of the others; else a row a point. Dots are
runs, bars the standard deviation over runs, the band is random real images.
"""

import pathlib

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dpd_jax.presets import fields
from dpd_jax.storage import atomic
from dpd_jax.sweeps.table import Row, Table

_COLOURS = ("#2f6fb0", "#c8553d", "#3b8f5f", "#8a5fa8", "#b8860b", "#3f8f94", "#a04a6b", "#5b6470")
_INK, _FAINT, _PAPER = "#1b1f24", "#6a727c", "#fcfcfa"
_DPI = 110
_DECADES = 50  # largest over smallest value from which the axis is logarithmic


def save(path: pathlib.Path, table: Table, *, title: str) -> None:
    """Draws what is finished; an empty frame where nothing is yet.

    Raises:
      UserError: if the disk is full.
    """
    along = _along(table)
    height = 4.6 if along else 1.8 + 0.36 * len(table.rows)
    figure = Figure((7.6, min(height, 22)), dpi=_DPI, facecolor=_PAPER, layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor(_PAPER)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", color=_INK, parse_math=False, wrap=True)
    _bands(axes, table, across=bool(along))
    if along:
        _draw_lines(axes, _lines(table, along), along)
    else:
        _draw_rows(axes, table)
    if axes.get_legend_handles_labels()[0]:
        # Outside: inside it would lie on a point sooner or later.
        figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    drawn = FigureCanvasAgg(figure)
    atomic.write_whole(path, drawn.print_png, num_bytes=100_000)


def _along(table: Table) -> str | None:
    """The numeric field with the most values, three at least, that every point sets."""
    best, most = None, 2
    for field in table.fields:
        values = {row.values.get(field) for row in table.rows}
        numeric = all(type(value) in (int, float) for value in values)
        if numeric and len(values) > most:
            best, most = field, len(values)
    return best


def _lines(table: Table, along: str) -> dict[str, list[Row]]:
    """Rows grouped by the values of the other fields, each group in order along the axis."""
    groups: dict[str, list[Row]] = {}
    for row in table.rows:
        rest = [
            f"{name}={fields.text(row.values[field])}"
            for field, name in zip(table.fields, table.names, strict=True)
            if field != along and field in row.values
        ]
        groups.setdefault(", ".join(rest), []).append(row)
    return {label: sorted(rows, key=lambda r: r.values[along]) for label, rows in groups.items()}


def _draw_lines(axes: Axes, lines: dict[str, list[Row]], along: str) -> None:
    for number, (label, rows) in enumerate(lines.items()):
        done = [row for row in rows if row.mean is not None]
        if not done:
            continue
        colour = _COLOURS[number % len(_COLOURS)]
        x = [row.values[along] for row in done]
        axes.errorbar(
            x,
            [100 * row.mean for row in done],
            [100 * (row.std or 0) for row in done],
            color=colour,
            capsize=3,
            marker="o",
            label=label or None,
        )
        for row in done:
            height = [100 * accuracy for accuracy in row.accuracies]
            axes.plot([row.values[along]] * len(height), height, ".", color=colour, alpha=0.5)
    values = [row.values[along] for rows in lines.values() for row in rows]
    if min(values) > 0 and max(values) >= _DECADES * min(values):
        axes.set_xscale("log")
    axes.set_xlabel(along, color=_INK, parse_math=False)
    axes.set_ylabel("test accuracy, %", color=_INK)


def _draw_rows(axes: Axes, table: Table) -> None:
    for place, row in enumerate(table.rows):
        if row.mean is None:
            continue
        runs = [100 * accuracy for accuracy in row.accuracies]
        axes.plot(runs, [place] * len(runs), "o", color=_COLOURS[0], alpha=0.35, markersize=4)
        spread = 100 * (row.std or 0)
        axes.errorbar(100 * row.mean, place, xerr=spread, color=_COLOURS[0], capsize=3, marker="D")
    labels = [row.label for row in table.rows]
    axes.set_yticks(range(len(labels)), labels, color=_INK, fontsize=9, parse_math=False)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(axis="y", color=_FAINT, alpha=0.2)
    axes.set_xlabel("test accuracy, %", color=_INK)


def _bands(axes: Axes, table: Table, *, across: bool) -> None:
    """The baseline as a band of its standard deviation round its mean."""
    line, band = (axes.axhline, axes.axhspan) if across else (axes.axvline, axes.axvspan)
    for row in table.random:
        if row.mean is None:
            continue
        mean, std = 100 * row.mean, 100 * (row.std or 0)
        line(mean, color=_FAINT, linestyle="--", linewidth=1, label=row.label)
        if std:
            band(mean - std, mean + std, color=_FAINT, alpha=0.12, linewidth=0)
