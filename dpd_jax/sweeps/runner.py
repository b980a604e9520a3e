"""Runs every setting of a sweep with every seed, and keeps one table and one plot.

Each setting and seed is an ordinary run in its own folder. Settings whose experts
are made in the same way share them. Several processes may work on one sweep.
"""

import pathlib
import time
from collections.abc import Callable
from typing import NamedTuple

import jax

from dpd_jax.errors import UserError
from dpd_jax.runs import console, identity, report
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.sources import Sources
from dpd_jax.runs.workdir import Workdir
from dpd_jax.storage import locks
from dpd_jax.sweeps import plot
from dpd_jax.sweeps import table as table_lib
from dpd_jax.sweeps.grid import Setting


class Run(NamedTuple):
    """One point with one seed, in its folder."""

    setting: Setting
    seed: int
    experiment: Experiment
    workdir: Workdir

    @property
    def label(self) -> str:
        return f"{self.setting.label}, seed {self.seed}"

    @property
    def finished(self) -> bool:
        return report.finished(self.workdir, self.experiment.config)


def plan_runs(grid: list[Setting], seeds: int, folder: pathlib.Path) -> list[Run]:
    """All runs: seed by seed, so that a sweep stopped early has something of every point.

    Raises:
      UserError: if one of the folders holds a run of another config.
    """
    # Neighbours that read the same data do not read it twice.
    places = {key: i for i, key in enumerate(dict.fromkeys(_data(setting) for setting in grid))}
    ordered = sorted(grid, key=lambda setting: places[_data(setting)])
    runs = []
    for seed in range(seeds):
        for setting in ordered:
            experiment = setting.with_seed(seed)
            path = folder / setting.name / f"seed={seed}"
            runs.append(Run(setting, seed, experiment, Workdir(path, experiment.config)))
    return runs


def go(
    runs: list[Run],
    folder: pathlib.Path,
    shared: Sources,
    do: Callable[[Experiment, Workdir, Sources], None],
    line: str,
) -> None:
    """Does every run that is not finished, and keeps the table and the plot up to date.

    Args:
      runs: from `plan_runs`.
      folder: of the sweep.
      shared: data and experts.
      do: does one run; `loop.run`.
      line: the command, told in the table.

    Raises:
      UserError: at the end, if a run could not be done; the others are done then.
    """
    failures: dict[str, str] = {}
    elsewhere = 0
    folder.mkdir(parents=True, exist_ok=True)
    waiting = [run for run in runs if not run.finished]
    if len(waiting) < len(runs):
        console.say(f"{len(runs) - len(waiting)} of them are finished already.")
    _write(runs, folder, failures, line)
    clock = Clock()
    for number, run in enumerate(waiting):
        done = len(runs) - len(waiting) + number
        left = clock.left(waiting[number:])
        console.say(f"\n[run {done + 1} of {len(runs)}{left}] {run.label}")
        began = time.monotonic()
        if run.finished:
            console.say("finished by another process meanwhile.")
            continue
        try:
            do(run.experiment, run.workdir, shared)
        except locks.Busy:
            console.say("another process is at it; it is left to that one.")
            elsewhere += 1
            continue
        except UserError as error:
            failures[run.label] = str(error)
        except jax.errors.JaxRuntimeError as error:  # Most likely memory, this point's alone.
            failures[run.label] = str(error).partition("\n")[0]
        if run.label in failures:
            console.say(f"this run failed, the others go on: {failures[run.label]}")
        else:
            console.say(table_lib.sentence(report.load(run.workdir)))
        clock.add(run, time.monotonic() - began)
        _write(runs, folder, failures, line)
    console.result((folder / "table.md").read_text(encoding="utf-8").rstrip())
    console.say(f"{folder / 'table.md'}, table.csv, plot.png")
    if elsewhere:
        console.say(f"other processes took {elsewhere} of the runs; they add what they finish.")
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
        self._seconds.setdefault(run.setting.name, []).append(seconds)

    def left(self, waiting: list[Run]) -> str:
        """The guess in words, from runs of the same point where there are any; else ""."""
        if not self._seconds:
            return ""
        means = {name: sum(took) / len(took) for name, took in self._seconds.items()}
        usual = sum(means.values()) / len(means)
        minutes = sum(means.get(run.setting.name, usual) for run in waiting) / 60
        told = f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
        return f", about {told} left"


def _write(runs: list[Run], folder: pathlib.Path, failures: dict[str, str], line: str) -> None:
    # In turn, so that the last to write has read all that is finished.
    with locks.in_turn(folder, "--workdir", "writing its table", console.note):
        table = table_lib.make(
            [
                table_lib.Cell(r.setting, r.seed, report.load(r.workdir) if r.finished else None)
                for r in runs
            ]
        )
        table_lib.write_csv(folder / "table.csv", table)
        table_lib.write_markdown(folder / "table.md", table, failures, line)
        plot.save(folder / "plot.png", table, title=f"{folder.name}: test accuracy")


def _data(setting: Setting) -> str:
    return identity.of_data(setting.experiment.config)
