"""Runs an experiment for every point of a grid and every seed; one table, one plot.

    python -m experiments.sweep --config=configs/digits_ipc1.py \\
        --over=matching.metric=absolute,relative --over=matching.pruning_rate=0,0.1 --seeds=3
    python -m experiments.sweep --config=configs/digits_ipc1.py \\
        --sweep=configs/sweeps/methods.py --seeds=3

Each point and seed is an ordinary run in WORKDIR/<point>/seed=<n>. The same
command again goes on where it was stopped, and knows what is finished; several
of it at once (one a GPU, by CUDA_VISIBLE_DEVICES) share the runs out among
themselves. Points whose experts are made in the same way share them. What is
left besides:

    table.csv  table.md  plot.png    of all that is finished, new after every run
"""

import pathlib
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
from absl import flags
from ml_collections import config_flags

from dpd_jax.errors import UserError
from experiments import (
    command,
    distill,
    lock,
    points,
    report,
    screen,
    sources,
    sweep_plot,
    sweep_table,
)
from experiments.build import Plan
from experiments.points import Point
from experiments.sources import Sources
from experiments.workdir import Workdir

OVER = flags.DEFINE_multi_string(
    "over",
    [],
    "A field and its values, e.g. matching.pruning_rate=0,0.1; or method=dpd,datm. Several of "
    "these flags are multiplied.",
)
SWEEP = flags.DEFINE_string("sweep", None, "A file of configs/sweeps/: fields and their values.")
SEEDS = flags.DEFINE_integer("seeds", 1, "Runs of each point, with seeds 0, 1, ...", lower_bound=1)


class Run(NamedTuple):
    """One point with one seed, in its folder."""

    point: Point
    seed: int
    plan: Plan
    workdir: Workdir

    @property
    def label(self) -> str:
        return f"{self.point.label}, seed {self.seed}"

    @property
    def finished(self) -> bool:
        return report.finished(self.workdir, self.plan.config)


def main() -> None:
    products = points.read(SWEEP.value) if SWEEP.value else ()
    if OVER.value or not products:
        products = points.combine(products, points.parse(OVER.value))
    grid = points.make(_base(), products)
    folder = pathlib.Path(distill.WORKDIR.value or f"{command.default_workdir()}-sweep")
    runs = plan_runs(grid, SEEDS.value, folder)
    shared = sources.SharedSources(
        command.DATA_DIR.value,
        command.cache_dir(),
        pathlib.Path(command.EXPERTS_DIR.value or folder / "experts"),
        [point.plan for point in grid],
    )
    screen.say(f"{len(grid)} points x {SEEDS.value} seeds = {len(runs)} runs -> {folder}")
    go(runs, folder, shared, distill.run, command.line())


def plan_runs(grid: list[Point], seeds: int, folder: pathlib.Path) -> list[Run]:
    """All runs: seed by seed, so that a sweep stopped early has something of every point.

    Raises:
      UserError: if one of the folders holds a run of another config.
    """
    # Neighbours that read the same data do not read it twice.
    places = {key: i for i, key in enumerate(dict.fromkeys(_data(point) for point in grid))}
    ordered = sorted(grid, key=lambda point: places[_data(point)])
    runs = []
    for seed in range(seeds):
        for point in ordered:
            plan = point.with_seed(seed)
            path = folder / point.name / f"seed={seed}"
            runs.append(Run(point, seed, plan, Workdir(path, plan.config)))
    return runs


def go(
    runs: list[Run],
    folder: pathlib.Path,
    shared: Sources,
    do: Callable[[Plan, Workdir, Sources], None],
    line: str,
) -> None:
    """Does every run that is not finished, and keeps the table and the plot up to date.

    Args:
      runs: from `plan_runs`.
      folder: of the sweep.
      shared: data and experts.
      do: does one run; `distill.run`.
      line: the command, told in the table.

    Raises:
      UserError: at the end, if a run could not be done; the others are done then.
    """
    failures: dict[str, str] = {}
    elsewhere = 0
    folder.mkdir(parents=True, exist_ok=True)
    waiting = [run for run in runs if not run.finished]
    if len(waiting) < len(runs):
        screen.say(f"{len(runs) - len(waiting)} of them are finished already.")
    _write(runs, folder, failures, line)
    clock = Clock()
    for number, run in enumerate(waiting):
        done = len(runs) - len(waiting) + number
        left = clock.left(waiting[number:])
        screen.say(f"\n[run {done + 1} of {len(runs)}{left}] {run.label}")
        began = time.monotonic()
        if run.finished:
            screen.say("finished by another process meanwhile.")
            continue
        try:
            do(run.plan, run.workdir, shared)
        except lock.Busy:
            screen.say("another process is at it; it is left to that one.")
            elsewhere += 1
            continue
        except UserError as error:
            failures[run.label] = str(error)
        except jax.errors.JaxRuntimeError as error:  # Most likely memory, this point's alone.
            failures[run.label] = str(error).partition("\n")[0]
        if run.label in failures:
            screen.say(f"this run failed, the others go on: {failures[run.label]}")
        else:
            screen.say(sweep_table.sentence(report.load(run.workdir)))
        clock.add(run, time.monotonic() - began)
        _write(runs, folder, failures, line)
    screen.result((folder / "table.md").read_text(encoding="utf-8").rstrip())
    screen.say(f"{folder / 'table.md'}, table.csv, plot.png")
    if elsewhere:
        screen.say(f"other processes took {elsewhere} of the runs; they add what they finish.")
    if failures:
        told = "\n".join(f"  {label}: {reason}" for label, reason in failures.items())
        raise UserError(
            f"{len(failures)} of {len(runs)} runs could not be done; the same command tries them "
            f"again:\n{told}"
        )


class Clock:
    """How long runs take, for a guess at the time left."""

    def __init__(self):
        self._seconds: dict[str, list[float]] = {}

    def add(self, run: Run, seconds: float) -> None:
        """Remembers what a run took."""
        self._seconds.setdefault(run.point.name, []).append(seconds)

    def left(self, waiting: list[Run]) -> str:
        """The guess in words, from runs of the same point where there are any; else ""."""
        if not self._seconds:
            return ""
        means = {name: sum(took) / len(took) for name, took in self._seconds.items()}
        usual = sum(means.values()) / len(means)
        minutes = sum(means.get(run.point.name, usual) for run in waiting) / 60
        told = f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
        return f", about {told} left"


def _write(runs: list[Run], folder: pathlib.Path, failures: dict[str, str], line: str) -> None:
    # In turn, so that the last to write has read all that is finished.
    with lock.in_turn(folder, "--workdir", "writing its table"):
        table = sweep_table.make(
            [
                sweep_table.Cell(r.point, r.seed, report.load(r.workdir) if r.finished else None)
                for r in runs
            ]
        )
        sweep_table.write_csv(folder / "table.csv", table)
        sweep_table.write_markdown(folder / "table.md", table, failures, line)
        sweep_plot.save(folder / "plot.png", table, title=f"{folder.name}: test accuracy")


def _data(point: Point) -> str:
    return sources.data_key(point.plan.config)


def _base() -> points.Base:
    flag = flags.FLAGS["config"]
    path, _, words = config_flags.get_config_filename(flag).partition(":")
    overrides = config_flags.get_override_values(flag)
    return points.Base(words, overrides, lambda words: flag.parser.parse(f"{path}:{words}"))


if __name__ == "__main__":
    command.run(main, command.DATA_DIR, command.EXPERTS_DIR, distill.WORKDIR)
