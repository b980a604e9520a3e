"""What a piece of a run takes, found by doing a little of it on made-up weights and images.

The time does not depend on their values. Everything is compiled as the run
compiles it, so that the run finds it compiled.
"""

import dataclasses
import functools
import itertools
import math
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax import distill, evaluate, experts, synthetic
from dpd_jax.distill import DistillState, TrajectorySegment
from dpd_jax.evaluate import EvalState
from dpd_jax.experts import ExpertState
from dpd_jax.runs.experiment import Experiment, outer_step
from dpd_jax.runs.run_data import RunData
from dpd_jax.runs.workdir import peak_memory_bytes
from dpd_jax.synthetic import SyntheticSet

_LONG = 1.0  # seconds; what takes as long is timed once, other things several times
_EXPERT_STEPS = 3


class StepCost(NamedTuple):
    """What an outer step takes.

    Attributes:
      seconds: of one execution.
      bytes: what XLA holds on one device while it runs (see `step_bytes`); None if the work is
        spread over devices.
    """

    seconds: float
    bytes: int | None


def step_bytes(experiment: Experiment) -> int:
    """What one device holds during an outer step: state, segments, results and temporaries.

    It is XLA's own account of the program, which is compiled for it. With several
    devices it is that of a program with one device's share of the segments, or of
    the batch, for which a chunk of as many images stands.
    """
    config, student = experiment.config.distill, experiment.student
    if student.batch_devices > 1:
        share = math.ceil(min(student.batch_syn, experiment.num_images) / student.batch_devices)
        chunk = min(student.chunk or share, share)
        experiment = experiment._replace(
            student=dataclasses.replace(student, batch_devices=1, chunk=chunk)
        )
    return _step_bytes(_of_step(experiment), config.segments // config.devices)


def step(experiment: Experiment) -> StepCost:
    """Compiles the outer step, and takes it once or a few times."""
    config = experiment.config.distill
    what = _of_step(experiment)
    alone = config.devices == experiment.student.batch_devices == 1
    held = step_bytes(experiment) if alone else None
    return StepCost(_step_seconds(what, config.segments, config.devices, alone), held)


def expert_step(experiment: Experiment, data: RunData, side_by_side: int) -> float:
    """Seconds of one step of so many experts side by side."""
    images, labels = jnp.asarray(data.train), jnp.asarray(data.dataset.train_labels)
    size = min(experiment.recipe.batch_size, len(images))
    order = np.full((side_by_side, math.ceil(len(images) / size), size), -1, np.int32)
    few = order[:, :_EXPERT_STEPS]
    few[:] = np.arange(few[0].size).reshape(few.shape[1:]) % len(images)
    params = _weights(experiment.network, side_by_side)
    keys = jax.random.split(jax.random.key(0), side_by_side)
    state = ExpertState(params, np.zeros_like(params), np.zeros(side_by_side, np.int32))
    if side_by_side == 1:
        state, order, keys = jax.tree.map(lambda x: x[0], (state, order, keys))
    run = experts.make_epoch(
        experiment.network,
        experiment.recipe,
        experiment.augmentation,
        side_by_side=side_by_side > 1,
    )
    inputs = (state, images, labels, order, keys)
    run.lower(*inputs).compile()
    return _seconds(lambda: run(*inputs)) / few.shape[1]


def evaluation_epoch(experiment: Experiment, side_by_side: int) -> float:
    """Seconds of one epoch of so many evaluation networks side by side."""
    protocol = experiment.protocol
    chunk = evaluate.epochs_a_call(protocol)
    several = side_by_side > 1
    run = evaluate.make_epochs(
        experiment.network, protocol, experiment.augmentation, chunk, side_by_side=several
    )
    made = made_up_set(experiment.network, experiment.num_images)

    def of_epochs(count: int) -> Callable:
        """The last `count` epochs: what is left of a call after them costs nothing."""
        params = _weights(experiment.network, side_by_side)
        stats = jax.tree.map(
            lambda x: jnp.stack([x] * side_by_side), experiment.network.init_stats()
        )
        keys = jax.random.split(jax.random.key(0), side_by_side)
        parts = (params, stats, np.zeros_like(params), keys)
        if not several:
            parts = jax.tree.map(lambda x: x[0], parts)
        state = EvalState(*parts, epoch=np.int32(protocol.epochs - count))
        return lambda: run(state, made.images, made.labels, 0.01, None)

    of_epochs(1)()  # Compiles.
    one = _seconds(of_epochs(1))
    if one * chunk > _LONG:
        return one
    return _seconds(of_epochs(min(chunk, protocol.epochs))) / min(chunk, protocol.epochs)


def test_pass(experiment: Experiment, images: np.ndarray) -> float:
    """Seconds of one network on all test images [m, h, w, c]."""
    size = min(experiment.config.evaluate.test_batch, len(images))
    params, stats = _weights(experiment.network, 1)[0], experiment.network.init_stats()

    def one() -> np.ndarray:
        return evaluate.logits(experiment.network, params, stats, images[:size], size)

    one()  # Compiles.
    return _seconds(one) * math.ceil(len(images) / size)


def made_up_set(network, num_images: int) -> SyntheticSet:
    """Noise, with labels in turn."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((num_images, *network.image_shape), np.float32)
    classes = np.arange(num_images) % network.num_classes
    labels = synthetic.onehot_labels(classes, network.num_classes, 10.0)
    return SyntheticSet(jnp.asarray(images), labels, jnp.float32(0.01))


def memory_in_use() -> int:
    """Bytes now held: on the accelerator if there is one, else by the process."""
    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_in_use" in stats:
        return int(stats["bytes_in_use"])
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):  # Not Linux.
        return peak_memory_bytes()


class _OfStep(NamedTuple):
    """All that an outer step depends on, hashable: runs of a sweep share what is found."""

    pieces: tuple
    num_images: int
    num_matched: int
    initial_step_size: float


def _of_step(experiment: Experiment) -> _OfStep:
    pieces = (
        experiment.network,
        experiment.student,
        experiment.matching,
        experiment.outer,
        experiment.guard,
    )
    num_matched = len(experiment.student.alignment.offsets)
    return _OfStep(pieces, experiment.num_images, num_matched, experiment.outer.initial_step_size)


@functools.lru_cache(maxsize=64)
def _step_bytes(what: _OfStep, segments: int) -> int:
    program = outer_step(*what.pieces, segments=segments, devices=1)
    memory = program.lower(*_inputs(what, segments)).compile().memory_analysis()
    return (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )


@functools.lru_cache(maxsize=64)
def _step_seconds(what: _OfStep, segments: int, devices: int, compiled: bool) -> float:
    program = outer_step(*what.pieces, segments=segments, devices=devices)
    state, segment, key = _inputs(what, segments)

    def once() -> Any:
        nonlocal state  # The step donates it.
        state, metrics = program(state, segment, key)
        return metrics

    if not compiled:
        jax.block_until_ready(once())
    return _seconds(once)


def _inputs(what: _OfStep, segments: int) -> tuple[DistillState, TrajectorySegment, jax.Array]:
    network, _, _, outer, _ = what.pieces
    made = made_up_set(network, what.num_images)
    made = made._replace(step_size=jnp.float32(what.initial_step_size))
    params = _weights(network, segments * what.num_matched).reshape(segments, what.num_matched, -1)
    segment = TrajectorySegment(params, np.zeros(segments, np.int32))
    return distill.init(made, outer), segment, jax.random.key(0)


def _weights(network, count: int) -> np.ndarray:
    """[count, P]; of a size at which nothing overflows."""
    rng = np.random.default_rng(1)
    return 0.05 * rng.standard_normal((count, network.num_params), np.float32)


def _seconds(do: Callable[[], Any]) -> float:
    """Seconds of one call of what is compiled already."""

    def clocked(_=None) -> float:
        began = time.perf_counter()
        jax.block_until_ready(do())
        return time.perf_counter() - began

    first = clocked()
    return first if first > _LONG else min(map(clocked, itertools.repeat(None, 3)))
