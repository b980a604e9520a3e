"""The seconds and bytes of the pieces of a run, on random weights and images.

The programs are those of the run, which therefore finds them compiled.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax import evaluate, experts, synthetic
from dpd_jax.datasets.model_images import DeviceImages, ModelImages
from dpd_jax.distill import DistillState, Metrics
from dpd_jax.evaluate import EvalState
from dpd_jax.experts import ExpertState
from dpd_jax.networks import Network
from dpd_jax.objective import RealBatch
from dpd_jax.runs import machine
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.runs.workdir import device_memory_bytes
from dpd_jax.synthetic import SyntheticSet
from dpd_jax.trajectory_matching import TrajectorySegment

_LONG = 1.0  # seconds; longer calls are timed once, shorter ones several times
_EXPERT_STEPS = 3  # timed together
_EVALUATION_STEPS = 4  # timed of an epoch that has more


def step_bytes(experiment: Experiment) -> int:
    """Bytes of one device during an outer step, as counted by XLA for the compiled program.

    With several devices it is a program with the segments of one device, or with chunks as
    large as its share of the batch.
    """
    alone = on_one_device(experiment)
    program: Any = alone.outer_step()  # Jitted, because it uses one device.
    inputs = step_inputs(alone, experiment.num_images)
    memory = program.lower(*inputs).compile().memory_analysis()
    return (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )


def on_one_device(experiment: Experiment) -> Experiment:
    """The experiment with the part of an outer step that one of its devices has."""
    config, student = experiment.config.copy_and_resolve_references(), experiment.student
    config.distill.update(segments=config.distill.segments // config.distill.devices, devices=1)
    share = math.ceil(min(student.batch_syn, experiment.num_images) / student.batch_devices)
    chunk = student.chunk if student.batch_devices == 1 else min(student.chunk or share, share)
    return experiment._replace(config=config).with_student(batch_devices=1, chunk=chunk)


def step_seconds(experiment: Experiment, *, compiled: bool) -> float:
    """Seconds of an outer step; `compiled`: whether it needs no first call to compile it."""
    inputs = step_inputs(experiment, experiment.num_images)
    run = repeated_step(experiment.outer_step(), *inputs)
    if not compiled:
        jax.block_until_ready(run())
    return _seconds(run)


def expert_step_seconds(experiment: Experiment, data: RunData, at_once: int) -> float:
    """Seconds of one training step of `at_once` experts side by side."""
    images, labels = data.on_device(experiment.config)
    epoch, inputs = expert_epoch(experiment, images, labels, _EXPERT_STEPS, at_once)
    epoch.lower(*inputs).compile()
    rows = inputs[3].shape[-2]
    return _seconds(lambda: epoch(*inputs)) / min(_EXPERT_STEPS, rows)


def evaluation_epoch_seconds(experiment: Experiment, at_once: int, num_images: int) -> float:
    """Seconds of one epoch of `at_once` evaluation networks side by side on so many images."""
    batches = math.ceil(num_images / experiment.protocol.batch_size)
    if batches > _EVALUATION_STEPS:  # A part of the epoch; its batches are alike.
        part = _EVALUATION_STEPS * experiment.protocol.batch_size
        seconds = evaluation_epoch_seconds(experiment, at_once, part)
        return seconds * batches / _EVALUATION_STEPS
    chunk = evaluate.epochs_a_call(experiment.protocol)
    function, inputs = evaluation_epochs(experiment, chunk, 1, at_once, num_images)
    jax.block_until_ready(function(*inputs))  # Compiles.
    one = _seconds(lambda: function(*inputs))
    if one * chunk > _LONG:
        return one
    epochs = min(chunk, experiment.protocol.epochs)
    _, several = evaluation_epochs(experiment, chunk, epochs, at_once, num_images)
    return _seconds(lambda: function(*several)) / epochs


def test_seconds(experiment: Experiment, images: ModelImages | np.ndarray) -> float:
    """Seconds of one network on all test images [m, h, w, c]."""
    network, size = experiment.network, min(experiment.config.evaluate.test_batch, len(images))
    params, stats = random_weights(network), network.init_stats()

    def run() -> np.ndarray:
        return evaluate.logits(network, params, stats, images[:size], size)

    run()  # Compiles.
    return _seconds(run) * math.ceil(len(images) / size)


def memory_in_use() -> int:
    """Bytes in use now: of the accelerator if there is one, else of the process."""
    return (
        device_memory_bytes("bytes_in_use")
        or machine.memory_bytes("/proc/self/status", "VmRSS")
        or machine.peak_memory_bytes()
    )


def _seconds(run: Callable[[], Any]) -> float:
    """Seconds of one call of a compiled function."""

    def timed() -> float:
        start = time.perf_counter()
        jax.block_until_ready(run())
        return time.perf_counter() - start

    first = timed()
    return first if first > _LONG else min(timed() for _ in range(3))


def step_inputs(
    experiment: Experiment, num_images: int
) -> tuple[DistillState, TrajectorySegment | RealBatch, jax.Array]:
    """Arguments of an outer step on a set of this many images."""
    network, segments = experiment.network, experiment.config.distill.segments
    first = random_set(network, num_images)
    first = first._replace(step_size=jnp.float32(experiment.outer.initial_step_size))
    inputs: TrajectorySegment | RealBatch
    if experiment.objective.matches_trajectories:
        params = random_weights(network, segments, len(experiment.student.alignment.offsets))
        inputs = TrajectorySegment(params, np.zeros(segments, np.int32))
    else:
        counts = network.num_classes, experiment.objective.real_batch
        real = random_set(network, math.prod(counts)).images
        inputs = RealBatch(real.reshape(*counts, *network.image_shape))
    return experiment.first_state(first), inputs, jax.random.key(0)


def repeated_step(program: Callable, state, segments, key) -> Callable[[], Metrics]:
    """A function that takes the next outer step at every call; steps donate their state."""

    def run() -> Metrics:
        nonlocal state
        state, metrics = program(state, segments, key)
        return metrics

    return run


def expert_epoch(
    experiment: Experiment,
    images: jax.Array | DeviceImages,
    labels: jax.Array,
    steps: int,
    at_once: int,
) -> tuple[Any, tuple]:
    """A compiled expert epoch and its arguments; only its first `steps` batches hold images."""
    size = min(experiment.recipe.batch_size, len(images))
    order = np.full((math.ceil(len(images) / size), size), -1, np.int32)
    used = order[:steps]
    used[:] = np.arange(used.size).reshape(used.shape) % len(images)
    params = random_weights(experiment.network)
    first = params, np.zeros_like(params), np.zeros((), np.int32)
    state, order, key = _side_by_side((first, order, jax.random.key(0)), at_once)
    epoch = experts.make_epoch(
        experiment.network, experiment.recipe, experiment.augmentation, side_by_side=at_once > 1
    )
    return epoch, (ExpertState(*state), images, labels, order, key, np.int32(0))


def evaluation_epochs(
    experiment: Experiment, chunk: int, epochs: int, at_once: int, num_images: int
) -> tuple[Callable, tuple]:
    """A call of `chunk` evaluation epochs and its arguments; only `epochs` of them are left."""
    network, protocol = experiment.network, experiment.protocol
    params = random_weights(network)
    each = params, network.init_stats(), np.zeros_like(params), jax.random.key(0)
    params, stats, velocity, key = _side_by_side(each, at_once)
    state = EvalState(params, stats, velocity, key, jnp.int32(protocol.epochs - epochs))
    images, labels, _ = random_set(network, num_images)
    function = evaluate.make_epochs(
        network, protocol, experiment.augmentation, chunk, side_by_side=at_once > 1
    )
    return function, (state, images, labels, 0.01, None)


def _side_by_side(tree: Any, count: int) -> Any:
    """The tree on the device, with a leading axis if there are several copies."""
    return jax.tree.map(lambda x: jnp.stack([x] * count) if count > 1 else jax.device_put(x), tree)


def random_set(network: Network, num_images: int) -> SyntheticSet:
    """Noise images; the classes of their labels take turns."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((num_images, *network.image_shape), np.float32)
    classes = np.arange(num_images) % network.num_classes
    labels = synthetic.onehot_labels(classes, network.num_classes, 10.0)
    return SyntheticSet(jnp.asarray(images), labels, jnp.float32(0.01))


def random_weights(network: Network, *shape: int) -> np.ndarray:
    """[*shape, P], small enough that nothing overflows."""
    rng = np.random.default_rng(1)
    return 0.05 * rng.standard_normal((*shape, network.num_params), np.float32)
