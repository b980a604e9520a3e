"""Which way to the same gradient a run takes, so that it fits a memory budget.

The ways are exact, and the same to rounding: the gradient in the memory of one
student step; with weights kept at some steps only, the rest being run again; and
both with the network seeing fewer images at once, down to one.
"""

import dataclasses
import math
from collections.abc import Iterator

import jax

from dpd_jax.errors import UserError
from dpd_jax.runs import console, rehearsal
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.workdir import Workdir
from dpd_jax.student import Student

_NOTE = "memory_plan"  # In config.json: what was taken, and for which budget.


def choose(experiment: Experiment, workdir: Workdir) -> Experiment:
    """The plan with the fastest way that fits `distill.memory_gigabytes`; 0 leaves it as it is.

    What is taken is noted in the workdir, and taken again when the run is
    continued with the same budget: the same to the bit.

    Raises:
      UserError: if nothing fits, with what each way needs.
    """
    limit = experiment.config.distill.memory_gigabytes
    if not limit:
        return experiment
    noted = workdir.noted(_NOTE)
    if noted and noted["memory_gigabytes"] == limit:
        student = dataclasses.replace(
            experiment.student, gradient=noted["gradient"], chunk=noted["chunk"]
        )
        console.say(f"memory: {name(student)}, as when this run began.")
        return experiment._replace(student=student)
    chosen = _first_that_fits(experiment, limit * 1e9)
    workdir.note(
        _NOTE,
        {
            "memory_gigabytes": limit,
            "gradient": chosen.student.gradient,
            "chunk": chosen.student.chunk,
        },
    )
    return chosen


def ways(student: Student, num_images: int, *, splits: bool) -> Iterator[Student]:
    """Students with the same gradient to rounding, in the order of speed.

    Args:
      student: as the config has it; its chunk is the largest there will be, and
        TESLA's gradient stays what it is.
      num_images: in the synthetic set.
      splits: whether the network may see fewer images at once: no norm over the batch.
    """
    modes = ("tesla",) if student.gradient == "tesla" else ("exact", "nested")
    # What one device sees: devices that share a batch chunk their own part of it.
    size = math.ceil(min(student.batch_syn, num_images) / student.batch_devices)
    chunk = min(student.chunk or size, size)
    while True:
        for mode in modes:
            whole = chunk == size
            yield dataclasses.replace(student, gradient=mode, chunk=0 if whole else chunk)
        if chunk == 1 or not splits:
            return
        chunk = math.ceil(chunk / 2)


def name(student: Student) -> str:
    """A way in the config's words."""
    seen = f"student.chunk={student.chunk}" if student.chunk else "whole batches"
    return f"student.gradient={student.gradient}, {seen}"


def gigabytes(num_bytes: float) -> str:
    """ "1.25 GB", "98 MB", "0.12 MB"; of 10^9 and 10^6 bytes, as the config counts."""
    if num_bytes >= 1e9:
        return f"{num_bytes / 1e9:.2f} GB"
    return f"{num_bytes / 1e6:.{0 if num_bytes >= 1e7 else 2}f} MB"


def cache_bytes(experiment: Experiment) -> int:
    """What the epochs of experts kept in memory will take, on the host."""
    config = experiment.config
    epochs = config.experts.num_experts * (experiment.curriculum.last_epoch + 1)
    return min(
        int(config.distill.cache_gigabytes * 1e9), 4 * epochs * experiment.network.num_params
    )


def on_host() -> bool:
    """Whether the step computes in the memory that everything else is in, too."""
    return jax.local_devices()[0].platform == "cpu"


def _first_that_fits(experiment: Experiment, limit: float) -> Experiment:
    splits = experiment.config.network.norm != "batch"
    rest, tried = 0, []
    for student in ways(experiment.student, experiment.num_images, splits=splits):
        if tried and student.gradient == "nested" and tried[-1][1] - _kept(experiment) > limit:
            continue
        candidate = experiment._replace(student=student)
        with console.note(f"memory: compiling {name(student)}"):
            step = rehearsal.step_bytes(candidate)
        # Once, after the compiler has taken what it takes.
        rest = rest or rehearsal.memory_in_use() + (cache_bytes(experiment) if on_host() else 0)
        tried.append((student, rest + step))
        if rest + step <= limit:
            why = f", since {_list(tried[:-1])}" if len(tried) > 1 else ""
            console.say(
                f"memory: {name(student)} takes {gigabytes(rest + step)} of "
                f"distill.memory_gigabytes = {limit / 1e9:g}{why}."
            )
            return candidate
    parts = "the process, its data and distill.cache_gigabytes" if on_host() else "what is held"
    raise UserError(
        f"distill.memory_gigabytes = {limit / 1e9:g} is too little for an exact gradient: "
        f"{_list(tried)}. Of each, {gigabytes(rest)} are there before the first step ({parts}). "
        f"{gigabytes(min(needed for _, needed in tried))} would do; or lower "
        "student.batch_syn, network.width or distill.cache_gigabytes."
    )


def _kept(experiment: Experiment) -> int:
    """The most that nesting can save: the weights of every student step."""
    config, student = experiment.config.distill, experiment.student
    vectors = student.syn_steps * (2 if student.momentum else 1)
    return 4 * vectors * experiment.network.num_params * (config.segments // config.devices)


def _list(tried: list[tuple[Student, float]]) -> str:
    return "; ".join(f"{name(student)} needs {gigabytes(needed)}" for student, needed in tried)
