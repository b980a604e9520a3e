"""Runs every setting of a sweep with every seed and updates one table and one plot.

Each setting and seed is an ordinary run in its own folder. Settings with the same
expert training share their experts. Several processes may work on one sweep.
"""

import contextlib
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import jax

from dpd_jax.errors import UserError
from dpd_jax.runs import console, identity, report
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.sources import Sources
from dpd_jax.runs.workdir import Workdir
from dpd_jax.storage import atomic, locks
from dpd_jax.sweeps import plot
from dpd_jax.sweeps import table as table_lib
from dpd_jax.sweeps.grid import Setting
from dpd_jax.sweeps.sweep_file import SweepFile

_FAILED = "failed.txt"  # In the folder of a run.
_WAIT = 1.0  # seconds


class Run(NamedTuple):
    """One setting with one seed, in its folder."""

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
    """All runs, ordered by seed, so that a sweep stopped early has results for every setting.

    Raises:
      UserError: one of the folders holds a run of another config.
    """
    # Settings with the same data follow each other, so that the data is read once.
    data = [identity.of_data(setting.experiment.config) for setting in grid]
    places = sorted(range(len(grid)), key=lambda place: data.index(data[place]))
    runs = []
    for seed in range(seeds):
        for setting in (grid[place] for place in places):
            experiment = setting.with_seed(seed)
            path = folder / setting.name / f"seed={seed}"
            runs.append(Run(setting, seed, experiment, Workdir(path, experiment.config)))
    return runs


def missing(runs: list[Run]) -> str:
    """The runs that are not finished, a line for each."""
    lines = []
    for run in runs:
        if not run.finished:
            step = run.workdir.checkpoints.latest()
            lines.append(f"  {run.label}: {f'stopped at step {step}' if step else 'missing'}")
    return "\n".join(lines) or "  no run is missing"


def go(
    runs: list[Run],
    folder: pathlib.Path,
    shared: Sources,
    run_one: Callable[[Experiment, Workdir, Sources], None],
    line: str,
    file: SweepFile,
    judge: Callable[[list[Run]], dict[str, str]] = lambda finished: {},
) -> None:
    """Runs everything that is not finished. After each run it updates the table and the plot.

    Runs of other processes are waited for, and taken over if these are killed. What has failed
    elsewhere since the beginning is not tried again.

    Args:
      runs: from `plan_runs`.
      folder: of the table.
      shared: the data and the experts that runs share.
      run_one: executes one run, `loop.run`.
      line: the command, repeated in the table.
      file: the sweep file, for the paper's figures.
      judge: judges the finished sets at the end; returns why some could not be, by name.

    Raises:
      UserError: at the end, if a run or a judgement failed. All others have been executed.
    """
    begin = time.time()
    folder.mkdir(parents=True, exist_ok=True)
    left = [run for run in runs if not run.finished]
    if len(left) < len(runs):
        console.say(f"{len(runs) - len(left)} of them are finished already.")
    failures: dict[str, str] = {}
    _write(runs, folder, failures, line, file)
    seconds: dict[str, list[float]] = {}
    done = len(runs) - len(left)
    while left:
        run = _next(left, runs)
        left = [other for other in left if other is not run]
        done += 1
        about = time_left(seconds, [run, *left])
        console.say(f"\n[run {done} of {len(runs)}{about}] {run.label}")
        start = time.monotonic()
        run.workdir.note("command", line)
        if run.finished:
            console.say("finished by another process in the meantime.")
            continue
        if failure := _failure(run, begin):
            console.say(f"it failed in another process: {failure}")
            failures[run.label] = failure
            continue
        try:
            run_one(run.experiment, run.workdir, shared)
        except locks.Busy:
            console.say("put off, because another process works on it.")
            left.append(run)
            done -= 1
            time.sleep(_WAIT)  # It may be another folder of the run that is in use.
            continue
        except UserError as error:
            failures[run.label] = str(error)
        except jax.errors.JaxRuntimeError as error:  # Most likely out of memory.
            failures[run.label] = str(error).partition("\n")[0]
        _note_failure(run, failures.get(run.label, ""))
        if run.label in failures:
            console.say(f"this run failed, the sweep goes on: {failures[run.label]}")
        elif result := report.load(run.workdir):
            console.say(table_lib.sentence(result))
        seconds.setdefault(run.setting.name, []).append(time.monotonic() - start)
        _write(runs, folder, failures, line, file)
    _write(runs, folder, failures, line, file)
    console.result((folder / "table.md").read_text(encoding="utf-8").rstrip())
    console.say(f"{folder / 'table.md'}, table.csv, plot.png")
    finished = [run for run in runs if run.finished]
    unjudged = judge(finished) if finished else {}
    reasons = "\n".join(f"  {label}: {reason}" for label, reason in (failures | unjudged).items())
    if failures:
        raise UserError(
            f"{len(failures)} of {len(runs)} runs could not be done; the same command tries them "
            f"again:\n{reasons}"
        )
    if unjudged:
        raise UserError(f"not all sets could be judged:\n{reasons}")


def _next(left: list[Run], runs: list[Run]) -> Run:
    """The first run that no other process works on; waits for one."""

    def found() -> Run | None:
        free = (run for run in left if run.finished or locks.free(run.workdir.path))
        return next(free, None)

    if run := found():
        return run
    with console.Bar("runs", len(runs)) as bar:
        while not (run := found()):
            bar.to(sum(run.finished for run in runs), now="waiting for other processes")
            time.sleep(_WAIT)
    return run


def _note_failure(run: Run, reason: str) -> None:
    """Leaves the reason for other processes, or removes an older one if it is ""."""
    file = run.workdir.path / _FAILED
    if not reason:
        file.unlink(missing_ok=True)
        return
    with contextlib.suppress(OSError, UserError):  # The disk may be what has failed.
        atomic.write_text(file, f"{reason}\n")


def _failure(run: Run, begin: float) -> str:
    """Why the run failed in another process after the time `begin`; "" if it did not."""
    file = run.workdir.path / _FAILED
    try:
        return file.read_text(encoding="utf-8").rstrip() if file.stat().st_mtime > begin else ""
    except FileNotFoundError:
        return ""


def time_left(seconds: dict[str, list[float]], waiting: list[Run]) -> str:
    """The expected time as text, from the seconds of finished runs by setting; "" without any."""
    if not seconds:
        return ""
    means = {name: statistics.fmean(taken) for name, taken in seconds.items()}
    usual = statistics.fmean(means.values())
    minutes = sum(means.get(run.setting.name, usual) for run in waiting) / 60
    text = f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
    return f", about {text} left"


def _write(
    runs: list[Run], folder: pathlib.Path, failures: dict[str, str], line: str, file: SweepFile
) -> None:
    # One process at a time, so that the last one to write has read all finished runs.
    with locks.in_turn(folder, "--workdir", "writing its table", console.note):
        cells = []
        for run in runs:
            result = report.load(run.workdir) if run.finished else None
            cells.append(table_lib.Cell(run.setting, run.seed, result))
        table = table_lib.make(cells, file)
        table_lib.write_csv(folder / "table.csv", table)
        table_lib.write_markdown(folder / "table.md", table, failures, line)
        plot.save(folder / "plot.png", table, title=f"{file.paper or folder.name}: test accuracy")
