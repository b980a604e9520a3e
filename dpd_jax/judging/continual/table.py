"""The result of class-incremental learning: a table, a CSV file and a plot of curves."""

import csv
import io
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dpd_jax.judging.continual.judge import Row
from dpd_jax.storage import atomic


class Cell(NamedTuple):
    """One step of one method, over all class orders and networks.

    Attributes:
      method: its name.
      seen: classes seen so far.
      learning_rate: the mean over class orders.
      accuracies: as fractions.
    """

    method: str
    seen: int
    learning_rate: float
    accuracies: list[float]

    @property
    def mean(self) -> float:
        return float(np.mean(self.accuracies))

    @property
    def std(self) -> float:
        """Population standard deviation, as in DM's program."""
        return float(np.std(self.accuracies))


def cells(rows: Sequence[Row]) -> list[Cell]:
    """The rows of all class orders together, by method and step."""
    grouped: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        grouped.setdefault((row.method, row.seen), []).append(row)
    return [
        Cell(
            *key,
            float(np.mean([row.learning_rate for row in group])),
            [accuracy for row in group for accuracy in row.accuracies],
        )
        for key, group in grouped.items()
    ]


def write(folder: pathlib.Path, rows: Sequence[Row], caption: str, title: str) -> str:
    """Writes table.md, table.csv and curves.png; returns the table."""
    from dpd_jax.plots import curves  # Matplotlib takes a second to import.

    found = cells(rows)
    text = markdown(found, caption)
    atomic.write_text(folder / "table.md", text)
    atomic.write_text(folder / "table.csv", csv_lines(found))
    drawn = []
    for method, own in _by_method(found).items():
        means, stds = ([100 * getattr(c, name) for c in own] for name in ("mean", "std"))
        drawn.append(curves.Curve(method, [c.seen for c in own], means, stds))
    y = "test accuracy over these classes, %"
    panel = curves.Panel(drawn, "classes seen so far", y)
    curves.save(folder / "curves.png", [[panel]], title=title)
    return text


def markdown(found: Sequence[Cell], caption: str) -> str:
    """A line a method, a column a step."""
    seen = list(dict.fromkeys(cell.seen for cell in found))
    heads = " | ".join(f"{number} classes" for number in seen)
    lines = [caption, "", f"| memory | learning rate | {heads} |"]
    lines.append("| --- " * (2 + len(seen)) + "|")
    for method, own in _by_method(found).items():
        figures = [f"{100 * c.mean:.1f} ± {100 * c.std:.1f} ({len(c.accuracies)})" for c in own]
        lines.append(f"| {method} | {own[-1].learning_rate:.4g} | {' | '.join(figures)} |")
    return "\n".join(lines) + "\n"


def csv_lines(found: Sequence[Cell]) -> str:
    """One line for each method and step; accuracies are fractions."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = "memory classes_seen mean std networks learning_rate accuracies"
    writer.writerow(columns.split())
    for cell in found:
        each = ";".join(map(repr, cell.accuracies))
        figures = (f"{cell.mean:.6f}", f"{cell.std:.6f}", len(cell.accuracies))
        writer.writerow([cell.method, cell.seen, *figures, cell.learning_rate, each])
    return text.getvalue()


def _by_method(found: Sequence[Cell]) -> dict[str, list[Cell]]:
    grouped: dict[str, list[Cell]] = {}
    for cell in found:
        grouped.setdefault(cell.method, []).append(cell)
    return grouped
