"""One run: the experts, the distillation and the evaluation, as far as they are missing.

A run that was stopped continues where it was. `workdir` lists the files of a run.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from dpd_jax import guard as guard_lib
from dpd_jax.distill import DistillState, Metrics
from dpd_jax.errors import UserError
from dpd_jax.runs import (
    console,
    expert_training,
    initialization,
    keys,
    read_ahead,
    real_reader,
    report,
)
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.forecast import choose_gradient, forecast, steps_left
from dpd_jax.runs.read_ahead import Reader
from dpd_jax.runs.real_reader import RealReader
from dpd_jax.runs.segment_reader import SegmentReader
from dpd_jax.runs.sources import Sources
from dpd_jax.runs.workdir import Workdir
from dpd_jax.storage import locks
from dpd_jax.synthetic import SyntheticSet


def run(
    experiment: Experiment, workdir: Workdir, sources: Sources, *, evaluated: bool = True
) -> None:
    """Does the missing work of a run.

    With `evaluated=False` it ends with distilled.npz, without a forecast and without a report:
    the set is a part of something larger, which is forecast and judged as a whole.

    Raises:
      UserError: for invalid data, experts or workdir, or if the guard stops the run;
        `locks.Busy` if another process does this run.
      KeyboardInterrupt: after Ctrl-C, when the work so far is saved.
    """
    with locks.alone(workdir.path, "--workdir"):
        # Another process may have finished it before this one had the lock.
        finished = report.complete if evaluated else report.distilled
        if not finished(workdir, experiment.config):
            _run(experiment, workdir, sources, evaluated)


def _run(experiment: Experiment, workdir: Workdir, sources: Sources, evaluated: bool) -> None:
    config = experiment.config
    experiment.outer_step()  # Refuses devices that are not there, before data is read.
    data = sources.data(config)
    experiment = real_reader.with_real_batch(experiment, data)
    start = time.monotonic()
    store, epochs = sources.store(experiment, data)
    if evaluated:
        experiment = forecast(experiment, data, workdir, store, epochs)
    else:
        experiment = choose_gradient(experiment, workdir, steps_left(experiment, workdir))
    seconds = {"forecast": time.monotonic() - start}
    start = time.monotonic()
    used = expert_training.provide(experiment, data, store, epochs)
    seconds["experts"] = time.monotonic() - start

    root = jax.random.key(config.seed)
    initial = initialization.initial_set(
        experiment, data, store, used, jax.random.fold_in(root, keys.INITIALIZATION)
    )
    reader = _reader(experiment, data, store, used, jax.random.fold_in(root, keys.SEGMENTS))
    workdir.begin()
    loop = Loop(experiment, workdir, reader, jax.random.fold_in(root, keys.STEPS))
    state, seconds["distill"] = loop.run(initial.synthetic)
    if loop.stop_reason or not evaluated:
        report.save(experiment, data, workdir, initial, state.average)
    from dpd_jax.plots import pruning_map  # Matplotlib takes a second to import.

    pruning_map.save(
        workdir.path / "pruning.png",
        workdir.metrics(),
        experiment.network.parameters,
        title=experiment.title,
    )
    if loop.stop_reason:
        raise UserError(loop.stop_reason)
    if evaluated:
        report.finish(experiment, data, workdir, initial, state, seconds)


def _reader(experiment, data, store, used, key) -> Reader:
    """Reads what the objective matches."""
    if experiment.objective.matches_trajectories:
        return SegmentReader(experiment, store, key, used)
    return RealReader(experiment, data, store.directory, key)


class Loop:
    """The outer loop; `stop_reason` says why the guard stopped it, "" if it did not."""

    def __init__(self, experiment: Experiment, workdir: Workdir, reader: Reader, key: jax.Array):
        self._experiment = experiment
        self._workdir = workdir
        self._reader = reader
        self._key = key
        self._step = experiment.outer_step()
        self._reported, self._undone = 0, 0  # The last printed trouble; the number of undone steps.
        self.stop_reason = ""

    def run(self, initial: SyntheticSet) -> tuple[DistillState, float]:
        """Runs from the newest checkpoint to the last iteration; after Ctrl-C the state is saved.

        Returns:
          The last state, and the seconds of all outer steps, earlier processes included.
        """
        state, spent = self._resume(self._experiment.first_state(initial))
        config = self._experiment.config.distill
        first, start = int(state.step), time.monotonic()
        self._workdir.truncate_metrics(first)
        if first == config.iterations:
            return state, spent

        total = max(first, config.iterations)
        bar = console.Bar("distil", total, unit=" steps", initial=first)
        with bar, _interruptible() as asked:
            # The metrics of a step are read while the next step runs.
            previous: tuple[int, Metrics, dict[str, Any]] | None = None
            for step, inputs in read_ahead.between(self._reader.read, first, config.iterations):
                state, metrics = self._step(state, inputs, self._key)
                if previous:
                    self._watch(bar, *previous)
                previous = (step + 1, metrics, inputs.logged())
                last = step + 1 == config.iterations or asked.is_set() or self.stop_reason
                if last or (step + 1) % config.checkpoint_every == 0:
                    seconds = np.float32(spent + time.monotonic() - start)
                    self._workdir.checkpoints.save(int(state.step), (state, seconds))
                if last:
                    self._watch(bar, *previous)
                    break
        self._workdir.checkpoints.finish()
        if asked.is_set() and not self.stop_reason and int(state.step) < config.iterations:
            console.say(f"saved at step {int(state.step)}.")
            raise KeyboardInterrupt
        return state, spent + time.monotonic() - start

    def _resume(self, fresh: DistillState) -> tuple[DistillState, float]:
        latest = self._workdir.checkpoints.latest()
        if latest is None:
            return fresh, 0.0
        state, seconds = self._workdir.checkpoints.load(latest, (fresh, np.float32(0)))
        asked = self._experiment.config.distill.iterations
        beyond = f", which is beyond distill.iterations = {asked}" if latest > asked else ""
        console.say(f"continuing from step {latest}{beyond}.")
        return state, float(seconds)

    def _watch(self, bar: console.Bar, step: int, metrics: Metrics, logged: dict) -> None:
        """Shows and logs the metrics of one step, and notes when the guard stops the run."""
        metrics = jax.device_get(metrics)
        guard, config = self._experiment.guard, self._experiment.config.distill
        bar.to(step, L=f"{metrics.loss:.4f}", alpha=f"{metrics.step_size:.4g}")
        trouble = int(metrics.trouble)
        self._undone += bool(trouble)
        # Prints each new kind of trouble, and undone steps 1, 2, 4, 8, ...
        if trouble and (trouble != self._reported or self._undone.bit_count() == 1):
            bar.say(
                f"step {step} undone ({self._undone} so far): {guard_lib.explain(trouble)}; outer "
                f"updates now times {metrics.scale:.3g}."
            )
            self._reported = trouble
        if trouble or step % config.log_every == 0 or step == config.iterations:
            values = metrics._asdict()
            dropped = values.pop("dropped")
            # null in JSON for numbers that are not finite
            values = {k: float(x) if np.isfinite(x) else None for k, x in values.items()}
            if dropped is not None:
                values["dropped"] = [round(float(share), 6) for share in dropped]
            self._workdir.log(step, values | logged)
        if metrics.idle >= guard.patience:
            reason = (
                guard_lib.explain(trouble)
                if trouble
                else f"the matching loss stays above distill.threshold = {config.threshold}; "
                "raise it, or lower curriculum.max_start_epoch or synthetic.step_size"
            )
            self.stop_reason = (
                f"stopped at step {step}: {metrics.idle} steps in a row changed nothing, since "
                f"{reason}. The last good set is {self._workdir.path / 'distilled.npz'}."
            )


@contextlib.contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; a second one raises KeyboardInterrupt."""
    asked = threading.Event()

    def handle(number, frame):
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        console.say("\nstopping after this step (press Ctrl-C again to stop at once) ...")

    previous = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
