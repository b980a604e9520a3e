"""Distils a data set: experts, synthetic set, evaluation, everything in one command.

    python -m experiments.distill --config=configs/digits_ipc1.py

The same command again goes on where it was stopped. What it leaves is listed in
`experiments/workdir.py`.
"""

import pathlib
import signal
import time

import jax
import numpy as np
from absl import flags

from dpd_jax import distill
from dpd_jax import guard as guard_lib
from dpd_jax.distill import DistillState, Metrics
from dpd_jax.errors import UserError
from experiments import build, command, forecast, lock, report, screen, start
from experiments.build import Plan
from experiments.segments import SegmentReader
from experiments.sources import Sources
from experiments.workdir import Workdir

WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder of this run, or of this sweep (default: runs/<config>-<method>, with the values that "
    "were set by flags).",
)

# What the run's root key is folded with, one number a use.
_START, _DRAWS, _STEPS = range(3)


def main() -> None:
    config = command.CONFIG.value
    plan = build.plan(config)
    workdir = Workdir(pathlib.Path(WORKDIR.value or command.default_workdir()), config)
    screen.say(f"{config.method} on {config.data.name}, ipc {config.ipc} -> {workdir.path}")
    if report.finished(workdir, config):
        screen.say("this run is finished; nothing left to do.")
        screen.result(report.summary(workdir))
        return
    experts = pathlib.Path(command.EXPERTS_DIR.value or workdir.path / "experts")
    run(plan, workdir, Sources(command.DATA_DIR.value, command.cache_dir(), experts))
    screen.result(report.summary(workdir))


def run(plan: Plan, workdir: Workdir, sources: Sources) -> None:
    """Does whatever of the run is not done yet.

    Raises:
      UserError: for what is wrong with data, experts or workdir; `lock.Busy` if another process
        is at this run, `Stuck` if the guard gives up.
      KeyboardInterrupt: after Ctrl-C, the work so far being saved.
    """
    with lock.alone(workdir.path, "--workdir"):
        if not report.finished(workdir, plan.config):  # By another process, just now.
            _run(plan, workdir, sources)


def _run(plan: Plan, workdir: Workdir, sources: Sources) -> None:
    config = plan.config
    loaded = sources.problem(config)
    began = time.monotonic()
    plan = forecast.before(plan, loaded, workdir, *sources.store(plan, loaded))
    seconds = {"forecast": time.monotonic() - began}
    began = time.monotonic()
    store, used = sources.experts(plan, loaded)
    seconds["experts"] = time.monotonic() - began

    root = jax.random.key(config.seed)
    first = start.begin(plan, loaded, store, used, jax.random.fold_in(root, _START))
    reader = SegmentReader(
        store,
        plan.curriculum,
        jax.random.fold_in(root, _DRAWS),
        experts=used,
        segments=config.distill.segments,
        offsets=plan.student.alignment.offsets,
        cache_gigabytes=config.distill.cache_gigabytes,
    )
    from experiments import pruning_map  # A second to load, for matplotlib.

    workdir.begin()
    loop = Loop(plan, workdir, reader, jax.random.fold_in(root, _STEPS))
    try:
        state, seconds["distill"] = loop.run(first)
    except Stuck as stuck:
        report.save(plan, loaded, workdir, stuck.state.average, accuracy=None)
        pruning_map.save(plan, workdir)
        raise
    pruning_map.save(plan, workdir)
    report.finish(plan, loaded, workdir, first, state, seconds)


class Stuck(UserError):
    """The guard's last word. Attributes: state: the last good state."""

    def __init__(self, message: str, state: DistillState):
        super().__init__(message)
        self.state = state


class Loop:
    """The outer loop: segments in, checkpoints and metrics out."""

    def __init__(self, plan: Plan, workdir: Workdir, reader: SegmentReader, key: jax.Array):
        self._plan = plan
        self._workdir = workdir
        self._reader = reader
        self._key = key
        config = plan.config.distill
        self._step = build.outer_step(
            plan.network,
            plan.student,
            plan.matching,
            plan.outer,
            plan.guard,
            segments=config.segments,
            devices=config.devices,
        )
        self._told, self._undone = 0, 0  # The trouble last said, and how often there was any.
        self._why = ""  # The guard's reason to stop.

    def run(self, first: start.Start) -> tuple[DistillState, float]:
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
        with stop, screen.bar("distil", config.iterations, unit=" steps", initial=begin) as bar:
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
            screen.say(f"saved at step {int(state.step)}.")
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
        screen.say(f"continuing from step {latest}.")
        return state, float(seconds)

    def _watch(self, bar: screen.Bar, step: int, metrics: Metrics, epochs: np.ndarray) -> None:
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
        screen.say("\nstopping after this step (once more to stop at once) ...")


if __name__ == "__main__":
    command.run(main, command.DATA_DIR, command.EXPERTS_DIR)
