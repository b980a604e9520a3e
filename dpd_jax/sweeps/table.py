"""The table of a sweep, as CSV and as Markdown: one row per setting, over its seeds."""

import csv
import io
import math
import pathlib
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from dpd_jax import guard
from dpd_jax.presets import fields
from dpd_jax.storage import atomic
from dpd_jax.sweeps.grid import CONFIG, Setting
from dpd_jax.sweeps.sweep_file import RUNS, SweepFile

RANDOM = "random real images"
_COMPARED = "over the first row"
_INTERVAL = "95 % interval"
_CONFIDENCE = 0.95
_PAIRED = (
    f'"{_COMPARED}" of the same config: the differences in percentage points, computed for each '
    "seed; their mean ± sample standard deviation. Runs with the same seed draw the same images, "
    "trajectory segments and networks wherever their configs allow, so this deviation is often far "
    "below that of either row.",
    f'"{_INTERVAL}": where, by Student\'s t, the mean of these differences over all seeds lies. A '
    "setting makes a difference if its interval leaves out 0.",
)
CLAIMS = '"claimed": figures of the paper at its full scale, not measured here.'
REDUCED = "Reduced runs for small machines: not comparable to the papers."
# The fields that the accuracy of random real images depends on, besides the learning rate.
_BASELINE = ("data", "network", "augment", "evaluate", "ipc", "num_classes", "image_shape")
_TOLD_FIRST = ("data.name", "data.preprocessing", "ipc")  # Others often follow from these.


class Cell(NamedTuple):
    """One run."""

    setting: Setting
    seed: int
    report: dict | None  # the contents of report.json; None if the run is not finished


class Row(NamedTuple):
    """One row of the table: a setting, or the baseline."""

    label: str
    values: dict[str, Any]  # field -> value; empty for the baseline
    # Seed -> accuracy in [0, 1], the mean over the networks of a finished run.
    accuracies: dict[int, float]
    requested: int  # runs, finished or not
    claimed: str = ""  # the paper's figure
    # To the first row of the same config, one for each seed that both rows have.
    differences: tuple[float, ...] = ()
    seconds: float | None = None  # mean of distillation; None for the baseline
    diverged: int = 0  # networks of the evaluation, over all runs
    # Seed -> "undone of all steps", where the guard undid too many for the set to learn.
    held_back: dict[int, str] = {}

    @property
    def mean(self) -> float | None:
        """The mean accuracy over runs."""
        return _mean_and_std(self.accuracies.values())[0]

    @property
    def std(self) -> float | None:
        """The sample standard deviation (n - 1) over runs; None for fewer than two."""
        return _mean_and_std(self.accuracies.values())[1]

    @property
    def over_first(self) -> tuple[float | None, float | None]:
        """Mean and sample standard deviation of the differences; None where there are too few."""
        return _mean_and_std(self.differences)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where the mean difference over all seeds lies, by Student's t; None for too few."""
        mean, std = self.over_first
        if mean is None or std is None:
            return None
        from scipy import stats  # Takes a second to import.

        count = len(self.differences)
        half = float(stats.t.ppf((1 + _CONFIDENCE) / 2, count - 1)) * std / math.sqrt(count)
        return mean - half, mean + half


class Table(NamedTuple):
    """All rows of a sweep."""

    fields: tuple[str, ...]  # the columns: all fields that a setting sets
    names: tuple[str, ...]  # their headings
    rows: tuple[Row, ...]  # one per setting
    random: tuple[Row, ...]  # the baseline, one per kind of data or evaluation
    networks: int  # evaluated per run
    reduced: bool  # whether the runs use the preset "small"
    paper: str  # which claims the figures, if any

    def values(self, row: Row) -> list[str]:
        """The values of a row as text, one per column."""
        return [fields.text(row.values[f]) if f in row.values else "" for f in self.fields]


def make(cells: Sequence[Cell], file: SweepFile) -> Table:
    """Collects runs into rows, beside the claims of the sweep file.

    Settings keep the order of their first runs.
    """
    by_setting: dict[str, list[Cell]] = {}
    for cell in cells:
        by_setting.setdefault(cell.setting.name, []).append(cell)
    columns = tuple(dict.fromkeys(field for cell in cells for field in cell.setting.values))
    config = cells[0].setting.experiment.config
    rows = [_row(group, file) for group in by_setting.values()]
    first: dict[str | None, Row] = {}
    for row in rows:
        first.setdefault(row.values.get(CONFIG), row)
    return Table(
        fields=columns,
        names=tuple(fields.short(field, config) for field in columns),
        rows=tuple(_compared(row, first[row.values.get(CONFIG)]) for row in rows),
        random=_baselines(cells),
        networks=config.evaluate.num_networks,
        reduced=config.scale == "small",
        paper=file.paper if any(row.claimed for row in rows) else "",
    )


def _row(cells: list[Cell], file: SweepFile) -> Row:
    reports = {cell.seed: cell.report for cell in cells if cell.report is not None}
    return Row(
        label=cells[0].setting.label,
        values=cells[0].setting.values,
        accuracies={seed: report["accuracy"]["mean"] for seed, report in reports.items()},
        requested=len(cells),
        claimed=file.figures(cells[0].setting).get(RUNS, ""),
        seconds=_mean_and_std([report["seconds"]["distill"] for report in reports.values()])[0],
        diverged=sum(report["accuracy"]["diverged"] for report in reports.values()),
        held_back={
            seed: f"{undone} of {report['steps']}"
            for seed, report in reports.items()
            if guard.held_back(undone := report.get("undone_steps", 0), report["steps"])
        },
    )


def _compared(row: Row, first: Row) -> Row:
    if row is first:
        return row
    both = [seed for seed in row.accuracies if seed in first.accuracies]
    differences = tuple(row.accuracies[seed] - first.accuracies[seed] for seed in both)
    return row._replace(differences=differences)


def _baselines(cells: Sequence[Cell]) -> tuple[Row, ...]:
    """One row per kind. The accuracy of a seed is the mean over its runs of that kind.

    Runs with the same seed draw the same images, but train at the learning rate of
    their distilled set.
    """
    kinds: dict[str, tuple[dict, dict[int, list[float]], set[int]]] = {}
    for cell in cells:
        config = cell.setting.experiment.config.to_dict()
        kind = fields.flat({name: config[name] for name in _BASELINE})
        _, by_seed, requested = kinds.setdefault(repr(kind), (kind, {}, set()))
        requested.add(cell.seed)
        if cell.report is not None:
            by_seed.setdefault(cell.seed, []).append(cell.report["random_real"]["mean"])
    telling = _telling([kind for kind, _, _ in kinds.values()])
    rows = []
    for kind, by_seed, requested in kinds.values():
        text = ", ".join(f"{name.rpartition('.')[2]}={fields.text(kind[name])}" for name in telling)
        accuracies = {seed: statistics.fmean(by_seed[seed]) for seed in sorted(by_seed)}
        rows.append(Row(f"{RANDOM} ({text})" if text else RANDOM, {}, accuracies, len(requested)))
    return tuple(rows)


def _telling(kinds: Sequence[dict[str, Any]]) -> list[str]:
    """The fields that tell the kinds apart, without those that follow from other such fields."""
    chosen: list[str] = []
    for name in sorted(kinds[0], key=lambda name: name not in _TOLD_FIRST):
        told = [
            {repr([kind[x] for x in names]) for kind in kinds}
            for names in (chosen, [*chosen, name])
        ]
        if len(told[1]) > len(told[0]):
            chosen.append(name)
    return chosen


def write_csv(path: pathlib.Path, table: Table) -> None:
    """Writes the numbers: accuracies in [0, 1], seconds."""
    text = io.StringIO(newline="")
    columns = "accuracy_mean accuracy_std runs runs_asked seeds accuracies over_first_mean"
    columns += " over_first_std over_first_low over_first_high diverged_networks distill_seconds"
    columns += " claimed"
    writer = csv.writer(text)
    writer.writerow(["point", *table.fields, *columns.split()])
    for row in (*table.rows, *table.random):
        seeds = ";".join(map(str, row.accuracies))
        accuracies = ";".join(map(repr, row.accuracies.values()))
        seconds = None if row.seconds is None else round(row.seconds, 1)
        counts = (len(row.accuracies), row.requested)
        compared = (*row.over_first, *(row.interval or (None, None)))
        figures = (row.mean, row.std, *counts, seeds, accuracies, *compared, row.diverged)
        writer.writerow([row.label, *table.values(row), *figures, seconds, row.claimed])
    atomic.write_text(path, text.getvalue())


def write_markdown(path: pathlib.Path, table: Table, failures: dict[str, str], line: str) -> None:
    """Writes the table for people: what the ± means, what failed, and the command."""
    paired = len(table.rows) > 1 and table.rows[0].requested > 1
    compared = [_COMPARED, _INTERVAL] if paired else []
    claimed = [f"claimed ({table.paper}), %"] if table.paper else []
    heads = [*table.names, RUNS, *claimed, *compared, "runs", "distillation"]
    lines = [line_of(heads), line_of(["---"] * len(heads))]
    for row in (*table.rows, *table.random):
        values = [row.label, *table.values(row)[1:]] if row in table.random else table.values(row)
        accuracy = f"{_percent(row.mean, row.std)} %" if row.accuracies else "-"
        low_high = [f"{100 * end:+.2f}" for end in row.interval or ()]
        compared = [_percent(*row.over_first, sign="+"), " to ".join(low_high)] if paired else []
        done = len(row.accuracies)
        runs = str(done) if done == row.requested else f"{done} of {row.requested}"
        seconds = "" if row.seconds is None else f"{row.seconds:.0f} s"
        claimed = [row.claimed] if table.paper else []
        lines.append(line_of([*values, accuracy, *claimed, *compared, runs, seconds]))
    lines += ["", *_notes(table), *(_PAIRED if paired else []), "", f"    {line}", ""]
    atomic.write_text(path, "\n".join([*lines, *failed(failures)]))


def failed(failures: dict[str, str]) -> list[str]:
    """Lines that list what failed, and why."""
    if not failures:
        return []
    reasons = [f"* {label}: {' '.join(why.split())}" for label, why in failures.items()]
    return ["Failed:", "", *reasons, ""]


def sentence(report: dict) -> str:
    """The result of a run in one line."""
    ours, base = report["accuracy"], report["random_real"]
    return (
        f"test accuracy {_percent(ours['mean'], ours['std'])} % over {len(ours['runs'])} networks; "
        f"random real images {_percent(base['mean'], None)} %"
    )


def _notes(table: Table) -> list[str]:
    notes = [
        f"The accuracy of a run is the mean over {table.networks} new networks at their last "
        "epoch. The table shows the mean over runs with different seeds; ± is the sample standard "
        "deviation (n − 1) over runs, absent for a single run.",
        f'"{RANDOM}": the same number of images, evaluated in the same way at the learning rates '
        "of the distilled sets; the mean over settings, then over seeds as above.",
    ]
    if table.paper:
        notes.append(CLAIMS)
    if table.reduced:
        notes.append(REDUCED)
    diverged = sum(row.diverged for row in table.rows)
    if diverged:
        notes.append(f"{diverged} of the evaluated networks diverged; they count as they ended.")
    held_back = [
        f"{row.label}, seed {seed} ({steps})"
        for row in table.rows
        for seed, steps in row.held_back.items()
    ]
    if held_back:
        notes.append(
            "The guard undid a tenth or more of the steps of these runs, so their sets learned "
            f"less than the others: {'; '.join(held_back)}. They count as they ended; the report "
            "of each run says why its steps were undone."
        )
    return notes


def _mean_and_std(numbers) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation (n - 1); None where there are too few numbers."""
    mean = statistics.fmean(numbers) if len(numbers) else None
    return mean, statistics.stdev(numbers) if len(numbers) > 1 else None


def _percent(mean: float | None, std: float | None, sign: str = "") -> str:
    """ "91.20 ± 0.41", or "" for None."""
    if mean is None:
        return ""
    return f"{100 * mean:{sign}.2f}" + ("" if std is None else f" ± {100 * std:.2f}")


def line_of(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
