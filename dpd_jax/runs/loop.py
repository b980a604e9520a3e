"""One run: whatever of experts, distillation and evaluation is not done yet.

The same run again continues where it was stopped. `workdir` says what it leaves.
"""

import signal
import time

import jax
import numpy as np

from dpd_jax import distill
from dpd_jax import guard as guard_lib
from dpd_jax.distill import DistillState, Metrics
from dpd_jax.errors import UserError
from dpd_jax.runs import console, expert_training, forecast, initialization, keys, report
from dpd_jax.runs.experiment import Experiment, outer_step
from dpd_jax.runs.segment_reader import SegmentReader
from dpd_jax.runs.sources import Sources
from dpd_jax.runs.workdir import Workdir
from dpd_jax.storage import locks


def run(experiment: Experiment, workdir: Workdir, sources: Sources) -> None:
    """Does whatever of the run is not done yet.

    Raises:
      UserError: for what is wrong with data, experts or workdir; `lock.Busy` if another process
        is at this run, `Stuck` if the guard gives up.
      KeyboardInterrupt: after Ctrl-C, the work so far being saved.
    """
    with locks.alone(workdir.path, "--workdir"):
        if not report.finished(workdir, experiment.config):  # By another process, just now.
            _run(experiment, workdir, sources)


def _run(experiment: Experiment, workdir: Workdir, sources: Sources) -> None:
    config = experiment.config
    loaded = sources.data(config)
    began = time.monotonic()
    store, epochs = sources.store(experiment, loaded)
    experiment = forecast.before(experiment, loaded, workdir, store, epochs)
    seconds = {"forecast": time.monotonic() - began}
    began = time.monotonic()
    used = expert_training.provide(experiment, loaded, store, epochs)
    seconds["experts"] = time.monotonic() - began

    root = jax.random.key(config.seed)
    first = initialization.begin(
        experiment, loaded, store, used, jax.random.fold_in(root, keys.INITIALIZATION)
    )
    reader = SegmentReader(
        store,
        experiment.curriculum,
        jax.random.fold_in(root, keys.SEGMENTS),
        experts=used,
        segments=config.distill.segments,
        offsets=experiment.student.alignment.offsets,
        cache_gigabytes=config.distill.cache_gigabytes,
    )
    workdir.begin()
    loop = Loop(experiment, workdir, reader, jax.random.fold_in(root, keys.STEPS))
    try:
        state, seconds["distill"] = loop.run(first)
    except Stuck as stuck:
        report.save(experiment, loaded, workdir, stuck.state.average, accuracy=None)
        _save_pruning_map(experiment, workdir)
        raise
    _save_pruning_map(experiment, workdir)
    report.finish(experiment, loaded, workdir, first, state, seconds)


def _save_pruning_map(experiment: Experiment, workdir: Workdir) -> None:
    from dpd_jax.plots import pruning_map  # A second to load, for matplotlib.

    pruning_map.save(
        workdir.path / "pruning.png",
        workdir.metrics(),
        experiment.network.parameters,
        title=experiment.title,
    )


class Stuck(UserError):
    """The guard's last word. Attributes: state: the last good state."""

    def __init__(self, message: str, state: DistillState):
        super().__init__(message)
        self.state = state


class Loop:
    """The outer loop: segments in, checkpoints and metrics out."""

    def __init__(
        self, experiment: Experiment, workdir: Workdir, reader: SegmentReader, key: jax.Array
    ):
        self._plan = experiment
        self._workdir = workdir
        self._reader = reader
        self._key = key
        config = experiment.config.distill
        self._step = outer_step(
            experiment.network,
            experiment.student,
            experiment.matching,
            experiment.outer,
            experiment.guard,
            segments=config.segments,
            devices=config.devices,
        )
        self._told, self._undone = 0, 0  # The trouble last said, and how often there was any.
        self._why = ""  # The guard's reason to stop.

    def run(self, first: initialization.Start) -> tuple[DistillState, float]:
        """Runs from the newest checkpoint to the last iteration.

        Returns:
          The final state and the seconds spent, those before a restart included.
        """
        state, spent = self._resume(distill.init(first.synthetic, self._plan.outer))
        config = self._plan.config.distill
        begin, began = int(state.step), time.monotonic()
        self._workdir.truncate_metrics(begin)

        def clock() -> float:
            return spent + time.monotonic() - began

        stop = Interrupt()
        with stop, console.bar("distil", config.iterations, unit=" steps", initial=begin) as bar:
            # One step's report is looked at while the next one runs.
            before: tuple[int, Metrics, np.ndarray] | None = None
            for step, segments in self._reader.between(begin, config.iterations):
                state, metrics = self._step(state, segments, self._key)
                if before:
                    self._watch(bar, *before)
                before = (step + 1, metrics, segments.start_epoch)
                last = step + 1 == config.iterations or stop.asked or self._why
                if last or (step + 1) % config.checkpoint_every == 0:
                    self._save(state, clock())
                if last:
                    self._watch(bar, *before)
                    break
        self._workdir.checkpoints.finish()
        if self._why:
            raise Stuck(self._why, state)
        if stop.asked and int(state.step) < config.iterations:
            console.say(f"saved at step {int(state.step)}.")
            raise KeyboardInterrupt
        return state, clock()

    def _save(self, state: DistillState, seconds: float) -> None:
        self._workdir.checkpoints.save(int(state.step), (state, np.float32(seconds)))

    def _resume(self, fresh: DistillState) -> tuple[DistillState, float]:
        latest = self._workdir.checkpoints.latest()
        if latest is None:
            return fresh, 0.0
        if latest > self._plan.config.distill.iterations:
            raise UserError(
                f"{self._workdir.path} is already at step {latest}, beyond distill.iterations = "
                f"{self._plan.config.distill.iterations}. Name another --workdir."
            )
        state, seconds = self._workdir.checkpoints.load(latest, (fresh, np.float32(0)))
        console.say(f"continuing from step {latest}.")
        return state, float(seconds)

    def _watch(self, bar: console.Bar, step: int, metrics: Metrics, epochs: np.ndarray) -> None:
        """Shows and logs one step's report, and notices a run that gets nowhere."""
        metrics = jax.device_get(metrics)
        guard, config = self._plan.guard, self._plan.config.distill
        bar.to(step, L=f"{metrics.loss:.4f}", alpha=f"{metrics.step_size:.4g}")
        trouble = int(metrics.trouble)
        self._undone += bool(trouble)
        # The first of its kind, then ever more rarely: a person reads this.
        if trouble and (trouble != self._told or self._undone.bit_count() == 1):
            bar.say(
                f"step {step} undone ({self._undone} so far): {guard_lib.explain(trouble)}; outer "
                f"updates now times {metrics.scale:.3g}."
            )
            self._told = trouble
        if trouble or step % config.log_every == 0 or step == config.iterations:
            self._workdir.log(step, _line(metrics) | {"start_epochs": epochs.tolist()})
        if metrics.idle >= guard.patience:
            why = (
                guard_lib.explain(trouble)
                if trouble
                else f"the matching loss stays above distill.threshold = {config.threshold}; "
                "raise it, or lower curriculum.max_start_epoch or synthetic.step_size"
            )
            self._why = (
                f"stopped at step {step}: {metrics.idle} steps in a row changed nothing, since "
                f"{why}. The last good set is {self._workdir.path / 'distilled.npz'}."
            )


def _line(metrics: Metrics) -> dict:
    """Metrics as they stand in metrics.jsonl: null for what is not finite."""
    numbers = metrics._asdict()
    dropped = numbers.pop("dropped")
    line = {name: float(x) if np.isfinite(x) else None for name, x in numbers.items()}
    if dropped is not None:
        line["dropped"] = [round(float(share), 6) for share in dropped]
    return line


class Interrupt:
    """Turns the first Ctrl-C (or SIGTERM) into a wish to stop after the step; the second kills.

    Attributes: asked: whether it came.
    """

    def __init__(self):
        self.asked = False

    def __enter__(self):
        self._before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
        for number in self._before:
            signal.signal(number, self._ask)
        return self

    def __exit__(self, *error):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number, frame):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        console.say("\nstopping after this step (once more to stop at once) ...")
