"""One run: the experts, the distillation and the evaluation, as far as they are missing.

A run that was stopped continues where it was. `workdir` lists the files of a run.
"""

import contextlib
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from dpd_jax import guard as guard_lib
from dpd_jax.distill import DistillState, Metrics
from dpd_jax.errors import UserError
from dpd_jax.evaluate import Evaluation
from dpd_jax.runs import (
    console,
    expert_training,
    follower,
    initialization,
    interruption,
    keys,
    pictures,
    read_ahead,
    real_reader,
    report,
)
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.forecast import choose_gradient, forecast, steps_left
from dpd_jax.runs.hosts import Group
from dpd_jax.runs.read_ahead import Reader
from dpd_jax.runs.real_reader import RealReader
from dpd_jax.runs.segment_reader import SegmentReader
from dpd_jax.runs.sources import Sources
from dpd_jax.runs.watching import Watcher
from dpd_jax.runs.workdir import Workdir
from dpd_jax.storage import expert_stores, locks
from dpd_jax.synthetic import SyntheticSet


def run(
    experiment: Experiment,
    workdir: Workdir,
    sources: Sources,
    *,
    evaluated: bool = True,
    group: Group | None = None,
) -> None:
    """Does the missing work of a run.

    The other processes of a `group` take part in the outer steps (`follower.follow`); the experts
    must be there then. With `evaluated=False` the run ends with distilled.npz, without a forecast
    and without a report: the set is a part of something larger, which is forecast and judged as a
    whole.

    Raises:
      UserError: for invalid data, experts or workdir, or if the guard stops the run;
        `locks.Busy` if another process does this run.
      KeyboardInterrupt: after Ctrl-C, when the work so far is saved.
    """
    with locks.alone(workdir.path, "--workdir"):
        # Another process may have finished it before this one had the lock.
        finished = report.complete if evaluated else report.distilled
        if not finished(workdir, experiment.config):
            _run(experiment, workdir, sources, evaluated, group or Group())


def _run(
    experiment: Experiment, workdir: Workdir, sources: Sources, evaluated: bool, group: Group
) -> None:
    config = experiment.config
    experiment.outer_step()  # Refuses devices that are not there, before data is read.
    initialization.earlier_set(config)  # Refuses one that does not fit.
    data = sources.data(config)
    experiment = real_reader.with_real_batch(experiment, data)
    start = time.monotonic()
    begun = (workdir.noted("experts") or {}).get("directory")
    store, epochs = sources.store(experiment, data, begun and pathlib.Path(begun))
    if evaluated:
        experiment = forecast(experiment, data, workdir, store, epochs)
    else:
        experiment = choose_gradient(experiment, workdir, steps_left(experiment, workdir))
    seconds = {"forecast": time.monotonic() - start}
    start = time.monotonic()
    trained = len(expert_training.missing(experiment, store))
    if trained and group.open:
        raise UserError(
            f"{trained} experts are missing in {store.directory}. Train them first, with "
            "experiments.train_experts."
        )
    used = expert_training.provide(experiment, data, store, epochs)
    seconds["experts"] = time.monotonic() - start
    if used:
        expert_stores.note_use(store.directory, workdir.path)
        if begun != str(store.directory) or trained:
            about = {"directory": str(store.directory), "used": len(used), "trained": trained}
            workdir.note("experts", about | {"seconds": expert_training.seconds(experiment, store)})

    root = jax.random.key(config.seed)
    initial = initialization.initial_set(
        experiment, data, store, used, jax.random.fold_in(root, keys.INITIALIZATION)
    )
    reader = _reader(experiment, data, store, used, jax.random.fold_in(root, keys.SEGMENTS))
    workdir.begin()
    first = workdir.checkpoints.latest() or 0
    if group.tell({"plan": follower.plan(experiment, store, first)}):
        raise KeyboardInterrupt

    def write(step: int, result: SyntheticSet) -> None:
        report.save(experiment, data, workdir, initial, result, step)

    def draw(step: int, result: SyntheticSet) -> None:
        pictures.of_metrics(experiment, workdir)
        if evaluated:
            caption = f"after {step:,} of {config.distill.iterations:,} steps"
            pictures.of_set(experiment, data, workdir, initial, result, step, caption)

    def validate(result: SyntheticSet, progress: Callable[[float, str], None]) -> Evaluation:
        return report.validate(experiment, result, data, progress)

    with Watcher(write, draw) as watcher:
        key = jax.random.fold_in(root, keys.STEPS)
        loop = Loop(experiment, workdir, reader, key, watcher, validate, group)
        state, seconds["distill"] = loop.run(initial.synthetic)
        if evaluated and not loop.stop_reason:
            group.end("finished")  # The others need not wait for the evaluation.
            report.finish(experiment, data, workdir, initial, state, seconds)
            return
        watcher.show(int(state.step), state.average)
    if loop.stop_reason:
        raise UserError(loop.stop_reason)


def _reader(experiment, data, store, used, key) -> Reader:
    """Reads what the objective matches."""
    if experiment.objective.matches_trajectories:
        return SegmentReader(experiment, store, key, used)
    return RealReader(experiment, data, store.directory, key)


class Clock:
    """The seconds of outer steps, those of earlier processes included."""

    def __init__(self, spent: float = 0.0):
        self._start = time.monotonic() - spent

    def seconds(self) -> float:
        return time.monotonic() - self._start

    @contextlib.contextmanager
    def stopped(self) -> Iterator[Callable[[], float]]:
        """Does not count the block; yields a function that gives its seconds so far."""
        begin = time.monotonic()
        try:
            yield lambda: time.monotonic() - begin
        finally:
            self._start += time.monotonic() - begin


class Loop:
    """The outer loop; `stop_reason` says why the guard stopped it, "" if it did not."""

    def __init__(
        self,
        experiment: Experiment,
        workdir: Workdir,
        reader: Reader,
        key: jax.Array,
        watcher: Watcher,
        validate: Callable[[SyntheticSet, Callable[[float, str], None]], Evaluation],
        group: Group,
    ):
        """`watcher` is offered the set of each checkpoint, `validate` evaluates on the way.

        The other processes of the `group` take part in each step.
        """
        self._experiment = experiment
        self._workdir = workdir
        self._reader = reader
        self._key = key
        self._watcher = watcher
        self._validate = validate
        self._group = group
        self._step = experiment.outer_step()
        self._clock = Clock()
        self._reported, self._undone = 0, 0  # The last printed trouble; the number of undone steps.
        self.stop_reason = ""

    def run(self, initial: SyntheticSet) -> tuple[DistillState, float]:
        """Runs from the newest checkpoint to the last iteration; after Ctrl-C the state is saved.

        Returns:
          The last state, and the seconds of all outer steps, earlier processes included, without
          the evaluations between them.
        """
        state, self._clock = self._resume(self._experiment.first_state(initial))
        config = self._experiment.config.distill
        first, every = int(state.step), self._experiment.config.evaluate.every
        self._workdir.begin_metrics(first)
        if first == config.iterations:
            return state, self._clock.seconds()

        total = max(first, config.iterations)
        bar = console.Bar("distil", total, unit=" steps", initial=first)
        with bar, interruption.noted() as asked:
            if every and not first:
                self._workdir.log(0, {"seconds": 0.0} | self._validated(bar, state))
            # The metrics of a step are read while the next step runs, but before a checkpoint.
            previous: tuple[int, Metrics, dict[str, Any]] | None = None
            for step, inputs in read_ahead.between(self._reader.read, first, config.iterations):
                if self._group.tell({"step": step}):
                    asked.set()
                state, metrics = self._step(state, inputs, self._key)
                if previous:
                    self._watch(bar, *previous)
                done, logged = step + 1, inputs.logged()
                previous = done, metrics, logged
                saved = done % config.checkpoint_every == 0
                validated = every and done % every == 0
                if validated:
                    logged |= self._validated(bar, state)
                if saved or validated or done == config.iterations or asked.is_set():
                    self._watch(bar, *previous)
                    previous = None
                last = done == config.iterations or asked.is_set() or self.stop_reason
                if last and previous:
                    self._watch(bar, *previous)
                if last or saved:
                    seconds = np.float32(self._clock.seconds())
                    self._workdir.checkpoints.save(done, (state, seconds))
                    self._watcher.offer(done, state.average)
                if last:
                    break
        self._workdir.checkpoints.finish()
        self._workdir.finish_metrics()
        self._watcher.wait()
        if asked.is_set() and not self.stop_reason and int(state.step) < config.iterations:
            self._watcher.show(int(state.step), state.average)
            console.say(f"saved at step {int(state.step)}.")
            raise KeyboardInterrupt
        return state, self._clock.seconds()

    def _validated(self, bar: console.Bar, state: DistillState) -> dict[str, Any]:
        """What metrics.jsonl says of an evaluation on the way; the clock stands still."""
        jax.block_until_ready(state)
        with self._clock.stopped() as spent:
            evaluation = self._validate(
                state.average, lambda share, _: bar.note(evaluating=f"{100 * share:.0f} %")
            )
        accuracies = [round(float(accuracy), 6) for accuracy in evaluation.accuracies]
        return {"validation_accuracy": accuracies, "validation_seconds": round(spent(), 3)}

    def _resume(self, fresh: DistillState) -> tuple[DistillState, Clock]:
        latest = self._workdir.checkpoints.latest()
        if latest is None:
            return fresh, Clock()
        state, seconds = self._workdir.checkpoints.load(latest, (fresh, np.float32(0)))
        asked = self._experiment.config.distill.iterations
        beyond = f", which is beyond distill.iterations = {asked}" if latest > asked else ""
        console.say(f"continuing from step {latest}{beyond}.")
        return state, Clock(float(seconds))

    def _watch(self, bar: console.Bar, step: int, metrics: Metrics, logged: dict) -> None:
        """Shows and logs the metrics of one step, and notes when the guard stops the run."""
        metrics = jax.device_get(metrics)
        seconds = round(self._clock.seconds(), 3)
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
        due = step % config.log_every == 0 or step == config.iterations
        if trouble or due or "validation_accuracy" in logged:
            values = metrics._asdict()
            dropped = values.pop("dropped")
            # null in JSON for numbers that are not finite
            values = {k: float(x) if np.isfinite(x) else None for k, x in values.items()}
            if dropped is not None:
                values["dropped"] = [round(float(share), 6) for share in dropped]
            self._workdir.log(step, {"seconds": seconds} | values | logged)
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
