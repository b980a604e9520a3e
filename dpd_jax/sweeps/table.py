"""The table of a sweep: a row a point, over its seeds; as CSV and as Markdown."""

import csv
import io
import pathlib
import statistics
from typing import NamedTuple

from dpd_jax.presets import fields
from dpd_jax.storage import atomic
from dpd_jax.sweeps.grid import Setting

RANDOM = "random real images"
_COMPARED = "over the first row"
_PAIRED = (
    f'"{_COMPARED}": the differences in points, seed by seed, their mean ± sample standard '
    "deviation. Runs of one seed draw the same start, stretches of experts and networks wherever "
    "their choices allow, so that this spread is often far below that of either row."
)


class Cell(NamedTuple):
    """One run: its point, its seed, its report.json (None while there is none)."""

    setting: Setting
    seed: int
    report: dict | None


class Row(NamedTuple):
    """One line of the table.

    Attributes:
      label: the point in words.
      values: field -> value; empty for the baseline.
      accuracies: of each finished run, in [0, 1], each its mean over networks.
      seeds: theirs.
      asked: how many runs there will be.
      seconds: mean seconds of distillation, None for the baseline.
      diverged: networks of the evaluation that did, over all runs.
    """

    label: str
    values: dict
    accuracies: tuple[float, ...]
    seeds: tuple[int, ...]
    asked: int
    seconds: float | None
    diverged: int

    @property
    def mean(self) -> float | None:
        """Over runs."""
        return statistics.fmean(self.accuracies) if self.accuracies else None

    @property
    def std(self) -> float | None:
        """The sample standard deviation (n - 1) over runs; None for fewer than two."""
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else None

    def over(self, other: "Row") -> tuple[float, float | None] | None:
        """Mean and sample standard deviation of the differences to another row, seed by seed.

        None without a seed in common; the deviation is None for a single one.
        """
        theirs = dict(zip(other.seeds, other.accuracies, strict=True))
        own = zip(self.seeds, self.accuracies, strict=True)
        found = [accuracy - theirs[seed] for seed, accuracy in own if seed in theirs]
        if not found:
            return None
        return statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else None


class Table(NamedTuple):
    """Attributes:
    fields: the columns, all that any point sets.
    names: their headings.
    rows: a row a point.
    random: the baseline, a row for each kind of data or evaluation among the points.
    networks: how many networks a run's accuracy is the mean of.
    reduced: whether the runs are of the reduction for small machines.
    """

    fields: tuple[str, ...]
    names: tuple[str, ...]
    rows: tuple[Row, ...]
    random: tuple[Row, ...]
    networks: int
    reduced: bool


def make(cells: list[Cell]) -> Table:
    """Collects runs into rows, points in the order in which they first come."""
    by_point: dict[str, list[Cell]] = {}
    for cell in cells:
        by_point.setdefault(cell.setting.name, []).append(cell)
    columns = tuple(dict.fromkeys(field for cell in cells for field in cell.setting.values))
    config = cells[0].setting.experiment.config
    return Table(
        fields=columns,
        names=tuple(fields.short(field, config) for field in columns),
        rows=tuple(_row(group) for group in by_point.values()),
        random=_baselines(cells),
        networks=config.evaluate.num_networks,
        reduced=config.reduced,
    )


def _row(cells: list[Cell]) -> Row:
    done = [cell for cell in cells if cell.report is not None]
    seconds = [cell.report["seconds"]["distill"] for cell in done]
    return Row(
        label=cells[0].setting.label,
        values=cells[0].setting.values,
        accuracies=tuple(cell.report["accuracy"]["mean"] for cell in done),
        seeds=tuple(cell.seed for cell in done),
        asked=len(cells),
        seconds=statistics.fmean(seconds) if seconds else None,
        diverged=sum(cell.report["accuracy"]["diverged"] for cell in done),
    )


# What the accuracy of random real images depends on, besides the learning rate.
_BASELINE = ("data", "network", "augment", "evaluate", "ipc", "num_classes", "image_shape")


def _baselines(cells: list[Cell]) -> tuple[Row, ...]:
    """A row a kind; a seed's accuracy is the mean over its runs of that kind.

    Runs of one seed draw the same images and differ in the learning rate, which is
    that of their distilled set.
    """
    kinds: dict[str, tuple[dict, dict[int, list[float]], set[int]]] = {}
    for cell in cells:
        config = cell.setting.experiment.config.to_dict()
        kind = fields.flat({name: config[name] for name in _BASELINE})
        _, by_seed, asked = kinds.setdefault(repr(kind), (kind, {}, set()))
        asked.add(cell.seed)
        if cell.report is not None:
            by_seed.setdefault(cell.seed, []).append(cell.report["random_real"]["mean"])
    all_kinds = [kind for kind, _, _ in kinds.values()]
    rows = []
    for kind, by_seed, asked in kinds.values():
        own = [name for name in kind if any(other.get(name) != kind[name] for other in all_kinds)]
        # Mean and deviation come with the preprocessing; its name is enough.
        own = [name for name in own if name not in ("data.mean", "data.std")]
        words = ", ".join(f"{name.rpartition('.')[2]}={fields.text(kind[name])}" for name in own)
        accuracies = tuple(statistics.fmean(by_seed[seed]) for seed in sorted(by_seed))
        label = f"{RANDOM} ({words})" if words else RANDOM
        rows.append(Row(label, {}, accuracies, tuple(sorted(by_seed)), len(asked), None, 0))
    return tuple(rows)


def write_csv(path: pathlib.Path, table: Table) -> None:
    """Writes the figures: shares in [0, 1], seconds."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(
        ["point", *table.fields, "accuracy_mean", "accuracy_std", "runs", "runs_asked"]
        + ["seeds", "accuracies", "over_first_mean", "over_first_std"]
        + ["diverged_networks", "distill_seconds"]
    )
    for row in (*table.rows, *table.random):
        values = [fields.text(row.values[f]) if f in row.values else "" for f in table.fields]
        figures = [row.mean, row.std, len(row.accuracies), row.asked]
        lists = [";".join(map(str, row.seeds)), ";".join(map(repr, row.accuracies))]
        over = row.over(table.rows[0]) if row in table.rows[1:] else None
        seconds = None if row.seconds is None else round(row.seconds, 1)
        last = [*(over or (None, None)), row.diverged, seconds]
        writer.writerow([row.label, *values, *figures, *lists, *last])
    atomic.write_text(path, text.getvalue())


def write_markdown(path: pathlib.Path, table: Table, failures: dict[str, str], line: str) -> None:
    """Writes the table for people, with what the ± is, what failed, and the command."""
    first, *others = table.rows
    paired = bool(others) and first.asked > 1
    compared = [_COMPARED] if paired else []
    heads = [*table.names, "test accuracy", *compared, "runs", "distillation"]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for row in table.rows:
        values = [fields.text(row.values[f]) if f in row.values else "" for f in table.fields]
        seconds = "" if row.seconds is None else f"{row.seconds:.0f} s"
        compared = [_difference(row, first)] if paired else []
        lines.append(_line([*values, percent(row), *compared, _runs(row), seconds]))
    for row in table.random:
        values = [row.label, *[""] * (len(table.fields) - 1)]
        lines.append(_line([*values, percent(row), *([""] if paired else []), _runs(row), ""]))
    notes = [*_notes(table), _PAIRED] if paired else _notes(table)
    lines += ["", *notes, "", f"    {line}", ""]
    if failures:
        lines += ["Failed:", ""]
        lines += [f"* {label}: {' '.join(why.split())}" for label, why in failures.items()]
        lines.append("")
    atomic.write_text(path, "\n".join(lines))


def percent(row: Row) -> str:
    """ "91.20 ± 0.41 %"; no ± for a single run, "-" for none."""
    if row.mean is None:
        return "-"
    spread = "" if row.std is None else f" ± {100 * row.std:.2f}"
    return f"{100 * row.mean:.2f}{spread} %"


def _difference(row: Row, first: Row) -> str:
    """ "-0.77 ± 0.03"; nothing for the first row itself, or without a seed in common."""
    over = None if row is first else row.over(first)
    if over is None:
        return ""
    spread = "" if over[1] is None else f" ± {100 * over[1]:.2f}"
    return f"{100 * over[0]:+.2f}{spread}"


def sentence(report: dict) -> str:
    """A run's outcome in one line."""
    ours, base = report["accuracy"], report["random_real"]
    return (
        f"test accuracy {100 * ours['mean']:.2f} ± {100 * ours['std']:.2f} % over "
        f"{len(ours['runs'])} networks; random real images {100 * base['mean']:.2f} %"
    )


def _notes(table: Table) -> list[str]:
    notes = [
        f"A run's accuracy is the mean over {table.networks} fresh networks at their last epoch. "
        "Shown is the mean over runs, which differ in their seed; ± is the sample standard "
        "deviation (n − 1) over runs, and is left out for a single run.",
        f'"{RANDOM}": as many, under the same evaluation, at the learning rates of the distilled '
        "sets; the mean over points, then over seeds as above.",
    ]
    if table.reduced:
        notes.append("Reduced runs for small machines: no figures of a paper.")
    diverged = sum(row.diverged for row in table.rows)
    if diverged:
        notes.append(f"{diverged} of the evaluated networks diverged; they count as they ended.")
    return notes


def _runs(row: Row) -> str:
    done = len(row.accuracies)
    return str(done) if done == row.asked else f"{done} of {row.asked}"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
