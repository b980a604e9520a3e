"""A process that takes part in the outer steps of a run that the first process does."""

import pathlib
from threading import Event

import jax
import numpy as np

from dpd_jax.errors import UserError
from dpd_jax.runs import console, cost, identity, interruption, keys, read_ahead
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.hosts import Group
from dpd_jax.runs.segment_reader import SegmentReader
from dpd_jax.storage.trajectories import TrajectoryStore


def plan(experiment: Experiment, store: TrajectoryStore, first: int) -> dict:
    """What the first process tells the others before its step `first`, as JSON values."""
    return {
        "config": identity.of_run(experiment.config),
        "store": str(store.directory),
        "provenance": {k: v for k, v in store.provenance.items() if k != "storage"},
        "gradient": experiment.student.gradient,
        "chunk": experiment.student.chunk,
        "first": first,
        "last": experiment.config.distill.iterations,
    }


def follow(experiment: Experiment, group: Group) -> None:
    """Takes part until the first process says that it has ended.

    Raises:
      UserError: if the first process has failed, or this one has another config than it.
      KeyboardInterrupt: after Ctrl-C or SIGTERM at any of the processes.
    """
    console.say(
        f"process {jax.process_index()} of {jax.process_count()}: takes part in the outer steps of "
        "process 0, which writes all files."
    )
    with interruption.noted() as asked:
        message = group.hear()
        if "plan" in message:
            message = _steps(experiment, group, message["plan"], asked)
    if message["end"] == "stopped":
        raise KeyboardInterrupt
    if message["end"] == "failed":
        raise UserError(f"process 0 of --hosts has ended: {message['reason']}")


def _steps(experiment: Experiment, group: Group, plan: dict, asked: Event) -> dict:
    """Takes the outer steps of a plan; the message that ends them."""
    config = experiment.config
    if plan["config"] != identity.of_run(config):
        raise UserError("its config is not that of process 0. Give all the same flags.")
    experiment = experiment.with_student(gradient=plan["gradient"], chunk=plan["chunk"])
    store = TrajectoryStore(pathlib.Path(plan["store"]), plan["provenance"], config.experts.storage)
    root = jax.random.key(config.seed)
    reader = SegmentReader(
        experiment, store, jax.random.fold_in(root, keys.SEGMENTS), experiment.experts_read
    )
    key = jax.random.fold_in(root, keys.STEPS)
    gradient = experiment.gradient()
    blank = cost.random_set(experiment.network, experiment.num_images)  # That of process 0 counts.
    inputs = read_ahead.between(reader.read, plan["first"], plan["last"])
    while "end" not in (message := group.hear(asked=asked.is_set())):
        step, segments = next(inputs)
        jax.block_until_ready(gradient(blank, segments, key, np.int32(step), ()))
    return message
