"""The forecast of a run's cost, and the exact gradient that fits a memory budget."""

import math
import pathlib
import shutil
import time
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp

from dpd_jax.datasets.model_images import stay_bytes
from dpd_jax.errors import UserError
from dpd_jax.runs import console, cost, expert_training
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.runs.workdir import Workdir, peak_memory_bytes
from dpd_jax.storage.trajectories import TrajectoryStore
from dpd_jax.student import Student

_NOTE = "memory_plan"  # The name of the chosen gradient and its budget in config.json.


def forecast(
    experiment: Experiment,
    data: RunData,
    workdir: Workdir,
    store: TrajectoryStore,
    epochs: Sequence[int],
) -> Experiment:
    """Prints the cost of the remaining work of a run; returns it with the chosen gradient.

    Missing experts are trained to the last of `epochs`, and these are stored.

    Raises:
      UserError: if no gradient fits the budget, or an outer step does not fit the device.
    """
    start = time.monotonic()
    missing = expert_training.missing(experiment, store)
    steps = steps_left(experiment, workdir)
    experiment = choose_gradient(experiment, workdir, steps)
    console.say("forecast, timed on this machine with random weights:")
    total = distillation(experiment, data, store, missing, epochs, steps)
    total += _forecast_evaluation(experiment, data)
    # Expert epochs still to come: those of experts in training, or those the reader caches.
    at_once = min(experiment.config.experts.at_once, len(missing))
    snapshots = 4 * at_once * len(epochs) * experiment.network.num_params
    memory = peak_memory_bytes()
    if _on_host():
        memory += max(_cache_bytes(experiment) if steps > 0 else 0, snapshots)
    spent = long(time.monotonic() - start)
    console.say(
        f"  in all     {long(total)} from now on, after {spent} for this forecast, most of it to "
        f"compile; memory at most about {gigabytes(memory)}"
    )
    return experiment


def steps_left(experiment: Experiment, workdir: Workdir) -> int:
    """The outer steps that a run still has to take."""
    return experiment.config.distill.iterations - (workdir.checkpoints.latest() or 0)


def distillation(experiment, data, store: TrajectoryStore, missing, epochs, steps: int) -> float:
    """Prints the cost of the missing experts, the first set and the outer steps; its seconds."""
    total = _forecast_experts(experiment, data, store, missing, epochs) if missing else 0.0
    if passes := len(experiment.epochs_of_forgetting):
        total += _forecast_forgetting(experiment, data, passes)
    return total + (_forecast_steps(experiment, steps) if steps > 0 else 0.0)


def _forecast_experts(experiment, data, store: TrajectoryStore, missing, epochs) -> float:
    """Prints the cost of training the missing experts; returns its seconds."""
    console.say("  experts    ", end="")
    at_once = min(experiment.config.experts.at_once, len(missing))
    seconds = cost.expert_step_seconds(experiment, data, at_once)
    steps = expert_steps(experiment, len(data.train), len(missing), max(epochs), store.directory)
    size = store_bytes(experiment, len(missing), len(epochs))
    folder = next(p for p in (store.directory, *store.directory.parents) if p.is_dir())
    free = shutil.disk_usage(folder).free
    console.say(
        f"{len(missing)} to train, {steps:,} steps of {short(seconds)}: {long(steps * seconds)}; "
        f"{gigabytes(size)} more in {store.directory}"
        + ("" if size < free else f", WHERE ONLY {gigabytes(free)} ARE FREE")
    )
    if stay_bytes(data.train.shape, experiment.config.data.device_images):
        pixels = math.prod(data.train.shape)
        console.say(
            f"  images     {gigabytes(pixels)} on the device, as bytes (data.device_images), which "
            f"enter model space batch by batch; in float32 {gigabytes(4 * pixels)}"
        )
    return steps * seconds


def _forecast_forgetting(experiment: Experiment, data: RunData, passes: int) -> float:
    """Prints the cost of counting forgotten images; returns its seconds."""
    console.say("  forgetting ", end="")
    seconds = passes * cost.test_seconds(experiment, data.train)
    console.say(f"{passes} passes over the training images: {long(seconds)}")
    return seconds


def _forecast_steps(experiment: Experiment, steps: int) -> float:
    """Prints the cost of the outer steps; returns its seconds."""
    console.say("  distil     ", end="")
    name = experiment.objective.name + " matching"
    if experiment.objective.matches_trajectories:
        name = gradient_name(experiment.student)
    if jax.process_count() > 1:  # The others cannot take part yet.
        experiment = cost.on_one_device(experiment)
    one_device = experiment.config.distill.devices == experiment.student.batch_devices == 1
    try:
        size = f" holds {gigabytes(cost.step_bytes(experiment))}" if one_device else ""
        seconds = cost.step_seconds(experiment, compiled=one_device)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise UserError(
            f"one outer step ({name}) does not fit the memory of this device: "
            f"{str(error).splitlines()[0]}\nSet distill.memory_gigabytes to search for a gradient "
            "that fits, or lower student.batch_syn."
        ) from error
    console.say(
        f"{steps:,} steps of {short(seconds)}: {long(steps * seconds)}; a step{size} ({name})"
    )
    return steps * seconds


def _forecast_evaluation(experiment: Experiment, data: RunData) -> float:
    """Prints the cost of evaluating the set and the baseline; returns its seconds."""
    console.say("  evaluate   ", end="")
    config, epochs = experiment.config.evaluate, experiment.protocol.epochs
    at_once = min(config.at_once, config.num_networks)
    images = experiment.num_images
    alone = cost.evaluation_epoch_seconds(experiment, 1, images)
    group = cost.evaluation_epoch_seconds(experiment, at_once, images) if at_once > 1 else alone
    # The baseline's networks train one by one, each on other images.
    training = math.ceil(config.num_networks / at_once) * group + config.num_networks * alone
    seconds = epochs * training + 2 * config.num_networks * cost.test_seconds(experiment, data.test)
    console.say(f"2 x {config.num_networks} networks, {epochs:,} epochs: {long(seconds)}")
    return seconds


def expert_steps(
    experiment: Experiment, num_images: int, missing: int, last: int, directory: pathlib.Path
) -> int:
    """Training steps until no expert is missing; steps of experts side by side count once.

    `missing` experts train until epoch `last`. The store's `directory` also holds EL2N scores.
    """
    batches = experiment.recipe.num_batches
    at_once, schedule = experiment.config.experts.at_once, experiment.config.data_schedule
    groups = math.ceil(missing / at_once)
    if experiment.schedule is None:
        return groups * last * batches(num_images)
    shares = (end - begin for begin, end in map(experiment.schedule.shares, range(last)))
    steps = groups * sum(batches(math.ceil(share * num_images)) for share in shares)
    scored = len(list((directory / "difficulty").glob("network_*.npz")))
    scoring_groups = math.ceil(max(schedule.score_networks - scored, 0) / at_once)
    return steps + scoring_groups * max(schedule.score_epochs) * batches(num_images)


def store_bytes(experiment: Experiment, num_experts: int, num_epochs: int) -> int:
    """Bytes on disk of this many experts with this many epochs each."""
    number = jnp.dtype(experiment.config.experts.storage).itemsize
    return num_experts * num_epochs * experiment.network.num_params * number


def short(seconds: float) -> str:
    """ "21 ms", "1.3 s"."""
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def long(seconds: float) -> str:
    """ "4.5 s", "45 s", "12 min", "3.4 h"."""
    if seconds < 100:
        return f"{seconds:.{0 if seconds >= 10 else 1}f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def gigabytes(num_bytes: float) -> str:
    """ "1.25 GB", "98 MB", "0.12 MB"; decimal units, as in the config."""
    if num_bytes >= 1e9:
        return f"{num_bytes / 1e9:.2f} GB"
    return f"{num_bytes / 1e6:.{0 if num_bytes >= 1e7 else 2}f} MB"


def choose_gradient(experiment: Experiment, workdir: Workdir, steps: int) -> Experiment:
    """The experiment with the fastest exact gradient that fits `distill.memory_gigabytes`.

    A budget of 0 keeps the gradient of the config. The choice is noted in the workdir. A
    continued run with the same budget, or with no outer steps left, keeps it.

    Raises:
      UserError: if nothing fits, with the memory that each gradient needs.
    """
    budget = experiment.config.distill.memory_gigabytes
    if not budget or not experiment.objective.matches_trajectories:
        return experiment
    noted = workdir.noted(_NOTE)
    if noted and (noted["memory_gigabytes"] == budget or steps <= 0):
        chosen = experiment.with_student(gradient=noted["gradient"], chunk=noted["chunk"])
        console.say(f"memory: {gradient_name(chosen.student)}, as when this run began.")
        return chosen
    if steps <= 0:
        return experiment
    chosen = _first_that_fits(experiment, budget * 1e9)
    values = {"gradient": chosen.student.gradient, "chunk": chosen.student.chunk}
    workdir.note(_NOTE, {"memory_gigabytes": budget} | values)
    return chosen


def exact_gradients(experiment: Experiment) -> Iterator[Experiment]:
    """The experiment with each gradient that is the same up to rounding, the fastest first.

    "nested" keeps fewer weights than "exact". Both follow with smaller chunks, down to one
    image, unless the norm needs whole batches. The mode "tesla" is kept.
    """
    student = experiment.student
    modes = ("tesla",) if student.gradient == "tesla" else ("exact", "nested")
    # Images on one device: devices that share a batch divide their own part into chunks.
    size = math.ceil(min(student.batch_syn, experiment.num_images) / student.batch_devices)
    chunk = min(student.chunk or size, size)
    while True:
        for mode in modes:
            yield experiment.with_student(gradient=mode, chunk=0 if chunk == size else chunk)
        if chunk == 1 or experiment.config.network.norm == "batch":
            return
        chunk = math.ceil(chunk / 2)


def gradient_name(student: Student) -> str:
    """The gradient by its config fields."""
    seen = f"student.chunk={student.chunk}" if student.chunk else "whole batches"
    return f"student.gradient={student.gradient}, {seen}"


def _first_that_fits(experiment: Experiment, budget: float) -> Experiment:
    cached = "the process, its data and distill.cache_gigabytes"
    held = cached if _on_host() else "arrays that are already on the device"
    if (before := _other_bytes(experiment)) >= budget:
        raise UserError(
            f"distill.memory_gigabytes = {budget / 1e9:g} is too little: {held} take "
            f"{gigabytes(before)} before any outer step. Raise it, or lower "
            "distill.cache_gigabytes."
        )
    other, tried, least = 0, "", math.inf
    for candidate in exact_gradients(experiment):
        name = gradient_name(candidate.student)
        with console.note(f"memory: compiling {name}"):
            step = cost.step_bytes(candidate)
        # Measured once, after the first compilation: the compiler takes memory too.
        other = other or _other_bytes(experiment)
        size = other + step
        if size <= budget:
            console.say(
                f"memory: {name} takes {gigabytes(size)} of distill.memory_gigabytes = "
                f"{budget / 1e9:g}{tried and f', since {tried}'}."
            )
            return candidate
        tried += f"{'; ' if tried else ''}{name} needs {gigabytes(size)}"
        least = min(least, size)
    raise UserError(
        f"distill.memory_gigabytes = {budget / 1e9:g} is too little for an exact gradient: "
        f"{tried}. Each includes {gigabytes(other)} for {held}. "
        f"{gigabytes(least)} would be enough; or lower student.batch_syn, network.width or "
        "distill.cache_gigabytes."
    )


def _other_bytes(experiment: Experiment) -> int:
    """Bytes in use now, and those of the cache of expert epochs if it shares this memory."""
    return cost.memory_in_use() + (_cache_bytes(experiment) if _on_host() else 0)


def _cache_bytes(experiment: Experiment) -> int:
    """Bytes of the expert epochs that the segment reader will cache on the host."""
    config = experiment.config
    epochs = config.experts.num_experts * (experiment.curriculum.last_epoch + 1)
    limit = int(config.distill.cache_gigabytes * 1e9)
    return min(limit, 4 * epochs * experiment.network.num_params)


def _on_host() -> bool:
    """Whether the outer step uses the memory of the host."""
    return jax.local_devices()[0].platform == "cpu"
