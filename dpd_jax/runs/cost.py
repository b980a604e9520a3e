"""The seconds and bytes of the pieces of a run.

Each kind of work runs briefly on random weights and images. Its time does not depend on
their values. The programs are those of the run, which therefore finds them compiled.
"""

import itertools
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax import distill, evaluate, experts, synthetic
from dpd_jax.distill import DistillState, TrajectorySegment
from dpd_jax.evaluate import EvalState
from dpd_jax.experts import ExpertState
from dpd_jax.networks import Network
from dpd_jax.runs import machine
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.runs.workdir import peak_memory_bytes
from dpd_jax.synthetic import SyntheticSet

_LONG = 1.0  # seconds; longer calls are timed once, shorter ones several times
_EXPERT_STEPS = 3  # timed together


def step_bytes(experiment: Experiment) -> int:
    """Bytes of one device during an outer step: state, segments, results and temporaries.

    They are counted by XLA for the compiled program. With several devices it is a program
    with the segments of one device, or with chunks as large as its share of the batch.
    """
    config, student = experiment.config.copy_and_resolve_references(), experiment.student
    config.distill.update(segments=config.distill.segments // config.distill.devices, devices=1)
    share = math.ceil(min(student.batch_syn, experiment.num_images) / student.batch_devices)
    chunk = student.chunk if student.batch_devices == 1 else min(student.chunk or share, share)
    one_device = experiment._replace(config=config).with_student(batch_devices=1, chunk=chunk)
    memory = (
        one_device.outer_step()
        .lower(*step_inputs(one_device, experiment.num_images))
        .compile()
        .memory_analysis()
    )
    return (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )


def step_seconds(experiment: Experiment, *, compiled: bool) -> float:
    """Seconds of an outer step; `compiled`: whether it needs no first call to compile it."""
    program = experiment.outer_step()
    state, segments, key = step_inputs(experiment, experiment.num_images)

    def run() -> Any:
        nonlocal state  # The step donates it.
        state, metrics = program(state, segments, key)
        return metrics

    if not compiled:
        jax.block_until_ready(run())
    return _seconds(run)


def expert_step_seconds(experiment: Experiment, data: RunData, at_once: int) -> float:
    """Seconds of one training step of `at_once` experts side by side."""
    images, labels = jnp.asarray(data.train), jnp.asarray(data.dataset.train_labels)
    inputs = expert_inputs(experiment, images, labels, _EXPERT_STEPS, at_once)
    run = experts.make_epoch(
        experiment.network,
        experiment.recipe,
        experiment.augmentation,
        side_by_side=at_once > 1,
    )
    run.lower(*inputs).compile()
    rows = inputs[3].shape[-2]
    return _seconds(lambda: run(*inputs)) / min(_EXPERT_STEPS, rows)


def evaluation_epoch_seconds(experiment: Experiment, at_once: int) -> float:
    """Seconds of one epoch of `at_once` evaluation networks side by side."""
    protocol = experiment.protocol
    chunk = evaluate.epochs_a_call(protocol)
    run = evaluate.make_epochs(
        experiment.network, protocol, experiment.augmentation, chunk, side_by_side=at_once > 1
    )

    def seconds(epochs: int) -> float:
        inputs = evaluation_inputs(experiment, epochs, at_once)
        return _seconds(lambda: run(*inputs)) / epochs

    jax.block_until_ready(run(*evaluation_inputs(experiment, 1, at_once)))  # Compiles.
    one = seconds(1)
    return one if one * chunk > _LONG else seconds(min(chunk, protocol.epochs))


def test_seconds(experiment: Experiment, images: np.ndarray) -> float:
    """Seconds of one network on all test images [m, h, w, c]."""
    network, size = experiment.network, min(experiment.config.evaluate.test_batch, len(images))
    params, stats = random_weights(network), network.init_stats()

    def run() -> np.ndarray:
        return evaluate.logits(network, params, stats, images[:size], size)

    run()  # Compiles.
    return _seconds(run) * math.ceil(len(images) / size)


def memory_in_use() -> int:
    """Bytes in use now: of the accelerator if there is one, else of the process."""
    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_in_use" in stats:
        return int(stats["bytes_in_use"])
    return machine.process_memory_bytes() or peak_memory_bytes()


def _seconds(run: Callable[[], Any]) -> float:
    """Seconds of one call of a compiled function."""

    def timed(_=None) -> float:
        start = time.perf_counter()
        jax.block_until_ready(run())
        return time.perf_counter() - start

    first = timed()
    return first if first > _LONG else min(map(timed, itertools.repeat(None, 3)))


def step_inputs(
    experiment: Experiment, num_images: int
) -> tuple[DistillState, TrajectorySegment, jax.Array]:
    """Arguments of an outer step on a set of this many images."""
    network, segments = experiment.network, experiment.config.distill.segments
    first = random_set(network, num_images)
    first = first._replace(step_size=jnp.float32(experiment.outer.initial_step_size))
    params = random_weights(network, segments, len(experiment.student.alignment.offsets))
    segment = TrajectorySegment(params, np.zeros(segments, np.int32))
    return distill.init(first, experiment.outer), segment, jax.random.key(0)


def expert_inputs(
    experiment: Experiment, images: jax.Array, labels: jax.Array, steps: int, at_once: int
) -> tuple:
    """Arguments of an expert epoch in which only the first `steps` batches hold images."""
    size = min(experiment.recipe.batch_size, len(images))
    order = np.full((math.ceil(len(images) / size), size), -1, np.int32)
    used = order[:steps]
    used[:] = np.arange(used.size).reshape(used.shape) % len(images)
    params = random_weights(experiment.network)
    state = ExpertState(params, np.zeros_like(params), np.zeros((), np.int32))
    repeated = (state, order, jax.random.key(0))
    if at_once > 1:
        repeated = jax.tree.map(lambda x: jnp.stack([x] * at_once), repeated)
    state, order, key = jax.device_put(repeated)
    return state, images, labels, order, key


def evaluation_inputs(experiment: Experiment, epochs: int, at_once: int) -> tuple:
    """Arguments of an evaluation call in which only the protocol's last `epochs` are left."""
    network = experiment.network
    params = random_weights(network)
    each = (params, network.init_stats(), np.zeros_like(params), jax.random.key(0))
    if at_once > 1:
        each = jax.tree.map(lambda x: jnp.stack([x] * at_once), each)
    state = EvalState(*jax.device_put(each), epoch=np.int32(experiment.protocol.epochs - epochs))
    first = random_set(network, experiment.num_images)
    return state, first.images, first.labels, 0.01, None


def random_set(network: Network, num_images: int) -> SyntheticSet:
    """Noise images; the classes of their labels take turns."""
    images = np.random.default_rng(0).standard_normal(
        (num_images, *network.image_shape), np.float32
    )
    classes = np.arange(num_images) % network.num_classes
    labels = synthetic.onehot_labels(classes, network.num_classes, 10.0)
    return SyntheticSet(jnp.asarray(images), labels, jnp.float32(0.01))


def random_weights(network: Network, *shape: int) -> np.ndarray:
    """[*shape, P], small enough that nothing overflows."""
    rng = np.random.default_rng(1)
    return 0.05 * rng.standard_normal((*shape, network.num_params), np.float32)
