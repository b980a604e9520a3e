"""The works of the benchmark: the functions of a run on random images and weights."""

import contextlib
import dataclasses
import functools
import itertools
import pathlib
import statistics
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax import flops
from dpd_jax.benchmarks import device, timing
from dpd_jax.benchmarks.timing import Work
from dpd_jax.runs import console, cost
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.segment_reader import SegmentReader
from dpd_jax.storage import trajectories
from dpd_jax.storage.trajectories import TrajectoryStore
from dpd_jax.trajectory_matching import TrajectorySegment

_EVALUATED_IMAGES = 100  # About this many pass through a network in a timed call.
_READS = 20  # The host time of a step is the median of these.


class Sweep(NamedTuple):
    """The cases of the outer step: gradient modes, student steps N, batch sizes."""

    gradients: tuple[str, ...]
    steps: tuple[int, ...]
    batches: tuple[int, ...]


def distill_step(experiment: Experiment, sweep: Sweep) -> Iterator[list[Work]]:
    """The outer step without augmentation, and with it if the config has one."""
    families = dict.fromkeys([(), experiment.augmentation.families])
    host = _host_seconds(experiment)
    for steps, batch in itertools.product(sweep.steps, sweep.batches):
        group = []
        for gradient, used in itertools.product(sweep.gradients, families):
            case = experiment.with_student(gradient=gradient, syn_steps=steps, batch_syn=batch)
            augmentation = dataclasses.replace(experiment.augmentation, families=used)
            student = dataclasses.replace(case.student, augmentation=augmentation)
            group.append(_distill_step(case._replace(student=student), host))
        yield group


def _distill_step(experiment: Experiment, host: dict[str, float]) -> Work:
    student, segments = experiment.student, experiment.config.distill.segments
    steps, batch = student.syn_steps, student.batch_syn
    count = segments * flops.student(experiment.network, student.gradient, steps=steps, batch=batch)
    row = _row(experiment, "distill_step", steps, batch, count) | {
        "gradient": student.gradient,
        "augmentation": bool(student.augmentation.families),
        "chunk": student.chunk,
        "segments": segments,
        **host,
    }
    inputs = cost.step_inputs(experiment, max(experiment.num_images, batch))
    state, segment, key = jax.device_put(inputs)
    program = _compile(row, experiment.outer_step(), state, segment, key)
    return _work(row, cost.repeated_step(program, state, segment, key))


def expert_training(experiment: Experiment, _: Sweep) -> Iterator[list[Work]]:
    """Training steps of one expert, and of several side by side as configured.

    An accelerator also trains five, because one may leave it idle.
    """
    batch, network, recipe = experiment.recipe.batch_size, experiment.network, experiment.recipe
    accelerator = jax.default_backend() != "cpu"
    steps = 20 if accelerator else 2  # More steps hide the launch overhead of an accelerator.
    for at_once in sorted({1, experiment.config.experts.at_once} | ({5} if accelerator else set())):
        count = at_once * flops.expert(network, recipe.optimizer, steps=steps, batch=batch)
        row = _row(experiment, "expert_training", steps, batch, count) | {
            "augmentation": bool(experiment.augmentation.families),
            "optimizer": recipe.optimizer,
            "at_once": at_once,
        }
        images = cost.random_set(network, steps * batch).images
        labels = jnp.arange(len(images)) % network.num_classes
        epoch, inputs = cost.expert_epoch(experiment, images, labels, steps, at_once)
        yield [_work(row, functools.partial(_compile(row, epoch, *inputs), *inputs))]


def evaluation(experiment: Experiment, _: Sweep) -> Iterator[list[Work]]:
    """Some epochs of all networks of an evaluation: one by one, and side by side; no test."""
    networks = experiment.config.evaluate.num_networks
    yield [_evaluation(experiment, networks, at_once) for at_once in sorted({1, networks})]


def _evaluation(experiment: Experiment, networks: int, at_once: int) -> Work:
    images, protocol = experiment.num_images, experiment.protocol
    epochs = max(1, min(protocol.epochs, _EVALUATED_IMAGES // images))
    size = min(protocol.batch_size, images)
    count = networks * flops.GRADIENT * epochs * images * flops.forward(experiment.network)
    row = _row(experiment, "evaluation", epochs * -(-images // size), size, count) | {
        "augmentation": bool(experiment.augmentation.families),
        "epochs": epochs,
        "networks": networks,
        "at_once": at_once,
    }
    train, inputs = cost.evaluation_epochs(experiment, epochs, epochs, at_once, images)
    program = _compile(row, train, *inputs)
    return _work(row, lambda: [program(*inputs) for _ in range(networks // at_once)])


def store_read(experiment: Experiment, _: Sweep) -> Iterator[list[Work]]:
    """Reading the segments of an outer step, without our cache, in each storage format.

    The operating system has the files in memory, because they were just written.
    """
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
            works.append(_work(row, _read_function(experiment, store, 0.0)))
        yield works


def _host_seconds(experiment: Experiment) -> dict[str, float]:
    """Seconds of the host for the segments of an outer step, from disk and from its cache."""
    fields = {"host_seconds": 0.0, "host_seconds_cached": float("inf")}
    with _store(experiment, experiment.config.experts.storage) as store:
        for field, gigabytes in fields.items():
            read = _read_function(experiment, store, gigabytes)
            # Enough reads that the cache has most likely seen each start epoch.
            reads = _READS + 5 * experiment.curriculum.last_epoch * (gigabytes > 0)
            times = [timing.seconds(read) for _ in range(reads)]
            fields[field] = statistics.median(times[-_READS:])
    return fields


@contextlib.contextmanager
def _store(experiment: Experiment, storage: str) -> Iterator[TrajectoryStore]:
    """A store with one expert that has the epochs to match."""
    generator = np.random.default_rng(experiment.config.seed)
    weights = np.asarray(experiment.network.init(jax.random.key(experiment.config.seed)))
    snapshots = {}
    for epoch in range(experiment.curriculum.last_epoch + 1):
        snapshots[epoch] = weights
        weights = weights + np.float32(1e-3) * generator.standard_normal(weights.size, np.float32)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        store = TrajectoryStore(pathlib.Path(folder), {}, storage)
        store.write(0, snapshots)
        yield store


def _read_function(
    experiment: Experiment, store: TrajectoryStore, cache_gigabytes: float
) -> Callable[[], TrajectorySegment]:
    """A function that draws and reads the segments of the next step at every call."""
    key = jax.random.key(experiment.config.seed)
    reader = SegmentReader(experiment, store, key, [0], cache_gigabytes=cache_gigabytes)
    steps = itertools.count()
    return lambda: reader.read(next(steps))


WORKS: dict[str, Callable[[Experiment, Sweep], Iterator[list[Work]]]] = {
    "distill_step": distill_step,
    "expert_training": expert_training,
    "evaluation": evaluation,
    "store_read": store_read,
}


def _row(
    experiment: Experiment, what: str, steps: int | None, batch: int | None, count: int
) -> dict[str, Any]:
    """The fields of every row before the measurement."""
    shape = dict(steps=steps, batch=batch, width=experiment.config.network.width, flops=count)
    unknown = dict(augmentation=None, temp_bytes=None, compile_seconds=None)
    return {"what": what, "gradient": None} | shape | unknown


def _compile(row: dict, function: Callable, *arguments: Any) -> Callable:
    """Compiles the function and adds the seconds and the memory to the row."""
    name = " ".join(row[field] for field in ("what", "gradient") if row[field])
    with console.note(f"compiling {name}"):
        program, row["compile_seconds"], row["temp_bytes"] = device.compiled(function, *arguments)
    return program


def _work(row: dict, run: Callable[[], Any]) -> Work:
    """The work of a JAX function; it is refused if too little memory is free."""
    free = device.free_memory_bytes()

    def checked_run():
        if free is not None and (row["temp_bytes"] or 0) >= free:
            raise RuntimeError(f"not run: {free / 2**30:.1f} GiB of memory are free")
        return jax.block_until_ready(run())

    return Work(row, checked_run)
