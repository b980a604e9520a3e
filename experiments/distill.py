"""Distils a data set: experts, synthetic set, evaluation, everything in one command.

    python -m experiments.distill --config=configs/digits_ipc1.py

The same command again goes on where it was stopped. What it leaves is listed in
`experiments/workdir.py`.
"""

import json
import pathlib
import time

import jax
import numpy as np
from absl import flags

from dpd_jax import distill
from dpd_jax.distill import DistillState, Metrics
from dpd_jax.errors import UserError
from experiments import build, command, problem, report, screen, start, teachers
from experiments.build import Plan
from experiments.segments import SegmentReader
from experiments.workdir import Workdir

WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of this run (default: runs/<config>-<method>)."
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
        screen.say(report.summary(workdir))
        return
    run(plan, workdir)
    screen.say(report.summary(workdir))


def run(plan: Plan, workdir: Workdir) -> None:
    """Does whatever of the run is not done yet."""
    config = plan.config
    loaded = problem.load(config, command.DATA_DIR.value, command.cache_dir())
    began = time.monotonic()
    directory = pathlib.Path(command.EXPERTS_DIR.value or workdir.path / "experts")
    store = teachers.open_store(plan, loaded, directory)
    used = teachers.provide(plan, loaded, store)
    seconds = {"experts": time.monotonic() - began}

    root = jax.random.key(config.seed)
    first = start.begin(plan, loaded, store, used, jax.random.fold_in(root, _START))
    reader = SegmentReader(
        store,
        plan.curriculum,
        jax.random.fold_in(root, _DRAWS),
        num_experts=len(used),
        segments=config.distill.segments,
        offsets=(0, config.curriculum.expert_epochs),
        cache_gigabytes=config.distill.cache_gigabytes,
    )
    loop = Loop(plan, workdir, reader, jax.random.fold_in(root, _STEPS))
    state, seconds["distill"] = loop.run(first)
    report.finish(plan, loaded, workdir, first, state, seconds)


class Loop:
    """The outer loop: segments in, checkpoints and metrics out."""

    def __init__(self, plan: Plan, workdir: Workdir, reader: SegmentReader, key: jax.Array):
        self._plan = plan
        self._workdir = workdir
        self._reader = reader
        self._key = key
        config = plan.config.distill
        self._step = distill.make_step(
            plan.network,
            plan.student,
            plan.matching,
            plan.outer,
            plan.guard,
            segments=config.segments,
            devices=config.devices,
        )
        self._told = 0

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

        try:
            with screen.bar("distil", config.iterations, unit=" steps", initial=begin) as bar:
                # One step's report is looked at while the next one runs.
                before: tuple[int, Metrics] | None = None
                for step, segments in self._reader.between(begin, config.iterations):
                    state, metrics = self._step(state, segments, self._key)
                    if before:
                        self._watch(bar, *before, state)
                    before = (step + 1, metrics)
                    if (step + 1) % config.checkpoint_every == 0:
                        self._save(state, clock(), wait=False)
                if before:
                    self._watch(bar, *before, state)
        except (KeyboardInterrupt, UserError):
            if int(state.step) > begin:
                self._save(state, clock(), wait=True)
                screen.say(f"saved at step {int(state.step)}.")
            raise
        if int(state.step) > begin and int(state.step) % config.checkpoint_every:
            self._save(state, clock(), wait=False)
        self._workdir.checkpoints.finish()
        return state, clock()

    def _save(self, state: DistillState, seconds: float, *, wait: bool) -> None:
        self._workdir.checkpoints.save(
            int(state.step), (state, np.float32(seconds)), wait=wait
        )

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

    def _watch(self, bar: screen.Bar, step: int, metrics: Metrics, state: DistillState) -> None:
        """Shows and logs one step's report, and stops a run that gets nowhere."""
        metrics = jax.device_get(metrics)
        guard, config = self._plan.guard, self._plan.config.distill
        bar.to(step, L=f"{metrics.loss:.4f}", alpha=f"{metrics.step_size:.4g}")
        trouble = int(metrics.trouble)
        if trouble and (trouble != self._told or step % config.log_every == 0):
            bar.say(
                f"step {step} undone: {distill.explain(trouble)}; "
                f"outer updates now times {metrics.scale:.3g}."
            )
        self._told = trouble
        if trouble or step % config.log_every == 0 or step == config.iterations:
            values = {name: float(value) for name, value in metrics._asdict().items()}
            self._workdir.log(step, {n: v if np.isfinite(v) else None for n, v in values.items()})
        if metrics.idle >= guard.patience:
            why = (
                distill.explain(trouble)
                if trouble
                else f"the matching loss stays above distill.threshold = {config.threshold}; "
                "raise it, or lower curriculum.max_start_epoch or synthetic.step_size"
            )
            del state
            raise UserError(
                f"stopped at step {step}: {guard.patience} steps in a row changed nothing, since "
                f"{why}. The last good set is in {self._workdir.path / 'checkpoints'}."
            )


if __name__ == "__main__":
    command.run(main)
