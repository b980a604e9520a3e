"""What the benchmark times: dpd_jax's own functions on random images and weights."""

import contextlib
import dataclasses
import functools
import itertools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax import distill, evaluate, experts, flops, synthetic
from dpd_jax.benchmarks import timing
from dpd_jax.benchmarks.timing import Work
from dpd_jax.distill import TrajectorySegment
from dpd_jax.runs import console
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.segment_reader import SegmentReader
from dpd_jax.storage import trajectories
from dpd_jax.storage.trajectories import TrajectoryStore
from dpd_jax.synthetic import SyntheticSet

_EXPERT_STEPS = 2  # a timed call; an accelerator hides the start of a call in more:
_EXPERT_STEPS_ACCELERATOR = 20
_EVALUATED_IMAGES = 100  # about as many pass through a network in a timed call
_READS = 20  # whose median is what the host needs for a step


class Sweep(NamedTuple):
    """What the distillation step is measured at: gradient modes, student steps N, batches."""

    gradients: tuple[str, ...]
    steps: tuple[int, ...]
    batches: tuple[int, ...]


def distill_step(experiment: Experiment, sweep: Sweep) -> Iterator[list[Work]]:
    """The outer step, augmentation off and on as configured; on as many images as it needs."""
    families = [(), experiment.augmentation.families] if experiment.augmentation.families else [()]
    augmentations = [dataclasses.replace(experiment.augmentation, families=f) for f in families]
    host = _host_seconds(experiment)
    for steps, batch in itertools.product(sweep.steps, sweep.batches):
        group = []
        for gradient, augmentation in itertools.product(sweep.gradients, augmentations):
            student = dataclasses.replace(
                experiment.student,
                gradient=gradient,
                syn_steps=steps,
                batch_syn=batch,
                augmentation=augmentation,
            )
            group.append(_distill_step(experiment._replace(student=student), host))
        yield group


def _distill_step(experiment: Experiment, host: dict[str, float]) -> Work:
    student, segments = experiment.student, experiment.config.distill.segments
    step = distill.make_step(
        experiment.network,
        student,
        experiment.matching,
        experiment.outer,
        experiment.guard,
        segments=segments,
        devices=experiment.config.distill.devices,
    )
    count = flops.student(
        experiment.network, student.gradient, steps=student.syn_steps, batch=student.batch_syn
    )
    row = _row(
        experiment, "distill_step", student.syn_steps, student.batch_syn, segments * count
    ) | {
        "gradient": student.gradient,
        "augmentation": bool(student.augmentation.families),
        "chunk": student.chunk,
        "segments": segments,
    }
    row |= host
    state, segment, key = _material(experiment)
    program = _compile(row, step, state, segment, key)

    def run():
        nonlocal state  # The step takes its state's memory.
        state, metrics = program(state, segment, key)
        return metrics

    return Work(row, run if _fits(row) else None)


def _material(experiment: Experiment) -> tuple[distill.DistillState, TrajectorySegment, jax.Array]:
    """A set of random images, a segment from fresh weights to some nearby, and a key."""
    count = max(experiment.num_images, experiment.student.batch_syn)
    classes = experiment.config.num_classes
    keys = jax.random.split(jax.random.key(experiment.config.seed), 4)
    first = SyntheticSet(
        synthetic.noise_images(keys[0], count, experiment.network.image_shape),
        synthetic.onehot_labels(np.arange(count) % classes, classes, 10.0),
        jnp.float32(experiment.config.synthetic.step_size),
    )
    start = experiment.network.init(keys[1])[None, None]
    shape = (experiment.config.distill.segments, len(experiment.student.matched_steps), start.size)
    moved = start + 0.01 * jax.random.normal(keys[2], shape)
    params = jnp.concatenate([jnp.broadcast_to(start, (shape[0], 1, shape[2])), moved], 1)
    segment = TrajectorySegment(params, jnp.zeros(shape[:1], jnp.int32))
    return distill.init(first, experiment.outer), segment, keys[3]


def expert_training(experiment: Experiment, sweep: Sweep) -> Iterator[list[Work]]:
    """Training steps of experts: one alone, and several side by side as configured.

    On an accelerator, where one alone may leave it idle, five in any case.
    """
    del sweep
    accelerator = jax.default_backend() != "cpu"
    together = {1, experiment.config.experts.at_once} | ({5} if accelerator else set())
    steps = _EXPERT_STEPS_ACCELERATOR if accelerator else _EXPERT_STEPS
    for at_once in sorted(together):
        yield [_expert_training(experiment, at_once, steps)]


def _expert_training(experiment: Experiment, at_once: int, steps: int) -> Work:
    batch, network = experiment.recipe.batch_size, experiment.network
    count = at_once * flops.expert(network, experiment.recipe.optimizer, steps=steps, batch=batch)
    row = _row(experiment, "expert_training", steps, batch, count) | {
        "augmentation": bool(experiment.augmentation.families),
        "optimizer": experiment.recipe.optimizer,
        "at_once": at_once,
    }
    several = at_once > 1
    epoch = experts.make_epoch(
        network, experiment.recipe, experiment.augmentation, side_by_side=several
    )
    keys = jax.random.split(jax.random.key(experiment.config.seed), 4)
    images = synthetic.noise_images(keys[0], steps * batch, network.image_shape)
    labels = jnp.arange(len(images)) % network.num_classes
    order = experts.epoch_order(keys[1], jnp.arange(len(images)), batch_size=batch, steps=steps)
    state, key = experts.init(network, keys[2]), keys[3]
    if several:
        state, order = jax.tree.map(lambda x: jnp.stack([x] * at_once), (state, order))
        key = jax.random.split(key, at_once)
    program = _compile(row, epoch, state, images, labels, order, key)
    run = functools.partial(program, state, images, labels, order, key)
    return Work(row, run if _fits(row) else None)


def evaluation(experiment: Experiment, sweep: Sweep) -> Iterator[list[Work]]:
    """All networks of an evaluation, for some epochs: one after another, and all side by side.

    Their test is left out.
    """
    del sweep
    networks = experiment.config.evaluate.num_networks
    yield [_evaluation(experiment, networks, at_once) for at_once in sorted({1, networks})]


def _evaluation(experiment: Experiment, networks: int, at_once: int) -> Work:
    count, classes = experiment.num_images, experiment.config.num_classes
    epochs = max(1, min(experiment.protocol.epochs, _EVALUATED_IMAGES // count))
    size = min(experiment.protocol.batch_size, count)
    work = networks * flops.GRADIENT * epochs * count * flops.forward(experiment.network)
    row = _row(experiment, "evaluation", epochs * -(-count // size), size, work) | {
        "augmentation": bool(experiment.augmentation.families),
        "epochs": epochs,
        "networks": networks,
        "at_once": at_once,
    }
    several = at_once > 1
    train = evaluate.make_epochs(
        experiment.network,
        experiment.protocol,
        experiment.augmentation,
        epochs,
        side_by_side=several,
    )
    key, image_key = jax.random.split(jax.random.key(experiment.config.seed))
    images = synthetic.noise_images(image_key, count, experiment.network.image_shape)
    labels = synthetic.onehot_labels(np.arange(count) % classes, classes, 10.0)
    state = evaluate.init(experiment.network, key)
    if several:
        each = (state.params, state.stats, state.velocity, state.key)
        each = jax.tree.map(lambda x: jnp.stack([x] * at_once), each)
        state = evaluate.EvalState(*each, state.epoch)
    arguments = (state, images, labels, jnp.float32(experiment.config.synthetic.step_size), None)
    program = _compile(row, train, *arguments)

    def run():
        return [program(*arguments) for _ in range(networks // at_once)]

    return Work(row, run if _fits(row) else None)


def store_read(experiment: Experiment, sweep: Sweep) -> Iterator[list[Work]]:
    """What an outer step reads of the experts, not cached by dpd_jax, in each form of storage.

    The operating system has the files in memory, having just written them.
    """
    del sweep
    works = []
    with contextlib.ExitStack() as stack:
        for storage in trajectories.STORAGE:
            store = stack.enter_context(_store(experiment, storage))
            files = [file for file in store.path(0).rglob("*") if file.is_file()]
            per_expert = sum(file.stat().st_size for file in files)
            row = _row(experiment, "store_read", None, None, 0) | {
                "storage": storage,
                "bytes_per_expert": per_expert,
                "store_bytes": per_expert * experiment.config.experts.num_experts,
                "segments": experiment.config.distill.segments,
            }
            works.append(Work(row, _reading(experiment, store, 0.0)))
        yield works


def _host_seconds(experiment: Experiment) -> dict[str, float]:
    """Seconds the host needs for an outer step's segments: read from disk, or from its cache."""
    fields = {"host_seconds": 0.0, "host_seconds_cached": float("inf")}
    with _store(experiment, experiment.config.experts.storage) as store:
        for field, gigabytes in fields.items():
            read, took = _reading(experiment, store, gigabytes), []
            # Enough that each start epoch has most likely been there before.
            for _ in range(_READS + 5 * experiment.curriculum.last_epoch * (gigabytes > 0)):
                began = time.perf_counter()
                read()
                took.append(time.perf_counter() - began)
            fields[field] = statistics.median(took[-_READS:])
    return fields


@contextlib.contextmanager
def _store(experiment: Experiment, storage: str) -> Iterator[TrajectoryStore]:
    """A store with one expert, whose weights take as many epochs as the plan reads."""
    generator = np.random.default_rng(experiment.config.seed)
    weights = np.asarray(experiment.network.init(jax.random.key(experiment.config.seed)))
    snapshots = {}
    for epoch in experiment.epochs_read:
        snapshots[epoch] = weights
        weights = weights + np.float32(1e-3) * generator.standard_normal(weights.size, np.float32)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        store = TrajectoryStore(pathlib.Path(folder), {}, storage)
        store.write(0, snapshots)
        yield store


def _reading(
    experiment: Experiment, store: TrajectoryStore, cache_gigabytes: float
) -> Callable[[], TrajectorySegment]:
    """Draws and reads the segments of the next step at every call."""
    reader = SegmentReader(
        store,
        experiment.curriculum,
        jax.random.key(experiment.config.seed),
        experts=[0],
        segments=experiment.config.distill.segments,
        offsets=experiment.student.alignment.offsets,
        cache_gigabytes=cache_gigabytes,
    )
    step = -1

    def run() -> TrajectorySegment:
        nonlocal step
        step += 1
        return reader.read(step)

    return run


WORKS: dict[str, Callable[[Experiment, Sweep], Iterator[list[Work]]]] = {
    "distill_step": distill_step,
    "expert_training": expert_training,
    "evaluation": evaluation,
    "store_read": store_read,
}


def _row(
    experiment: Experiment, what: str, steps: int | None, batch: int | None, count: int
) -> dict:
    """The fields every row has, before anything is measured."""
    return {
        "what": what,
        "gradient": None,
        "steps": steps,
        "batch": batch,
        "width": experiment.config.network.width,
        "flops": count,
        "augmentation": None,
        "temp_bytes": None,
        "compile_seconds": None,
    }


def _compile(row: dict, function: Callable, *arguments: Any) -> Callable:
    """Compiles, and notes in the row what that took and how much memory it will."""
    words = " ".join(str(row[name]) for name in ("what", "gradient") if row[name])
    with console.note(f"compiling {words}"):
        program, row["compile_seconds"], row["temp_bytes"] = timing.compiled(function, *arguments)
    return program


def _fits(row: dict) -> bool:
    """Whether it can be run; notes in the row why not."""
    free = timing.free_memory_bytes()
    if free is None or row["temp_bytes"] is None or row["temp_bytes"] < free:
        return True
    row["error"] = f"not run: {free / 2**30:.1f} GiB of memory are free"
    return False
