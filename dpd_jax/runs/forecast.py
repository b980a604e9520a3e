"""What a run will cost, told before it starts.

Each kind of work is done for a moment on made-up weights, timed, and multiplied;
memory is what that took at most, and what is going to be kept besides. The
programs compiled for it are those the run then uses.
"""

import math
import pathlib
import shutil

import jax

from dpd_jax.errors import UserError
from dpd_jax.runs import budget, console, expert_training, rehearsal
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.runs.workdir import Workdir, peak_memory_bytes
from dpd_jax.storage.trajectories import TrajectoryStore

_NUMBER = {"float32": 4, "float16": 2, "bfloat16": 2}  # bytes


def before(
    experiment: Experiment,
    data: RunData,
    workdir: Workdir,
    store: TrajectoryStore,
    epochs: tuple[int, ...],
) -> Experiment:
    """Prints the forecast of what is left of a run.

    Args:
      plan, problem, workdir, store: of the run.
      epochs: those that are kept of missing experts, which are trained to the last.

    Returns:
      The plan, its gradient such that it fits `distill.memory_gigabytes`.

    Raises:
      UserError: if nothing fits, or the device has no room for the step.
    """
    missing = expert_training.missing(experiment, store)
    steps = experiment.config.distill.iterations - (workdir.checkpoints.latest() or 0)
    if steps <= 0:
        return experiment
    experiment = budget.choose(experiment, workdir)
    console.say("forecast, timed on this machine with made-up weights:")
    total = _tell_experts(experiment, data, store, missing, epochs) if missing else 0.0
    total += _tell_steps(experiment, steps)
    total += _tell_evaluation(experiment, data)
    # What grows after this: epochs of experts, as they are trained or in the reader's cache.
    snapshots = 4 * _side_by_side(experiment, missing) * len(epochs) * experiment.network.num_params
    grows = max(budget.cache_bytes(experiment), snapshots) if budget.on_host() else 0
    console.say(
        f"  in all     {long(total)}; memory at most about "
        f"{budget.gigabytes(peak_memory_bytes() + grows)}"
    )
    return experiment


def expert_steps(
    experiment: Experiment, num_images: int, missing: int, last: int, directory: pathlib.Path
) -> int:
    """Steps of training until no expert is missing, those side by side counted once.

    Args:
      plan: the plan.
      num_images: of the training set.
      missing: how many experts are to be trained.
      last: to which epoch.
      directory: of the store, where the scores are that a data schedule needs.
    """
    size = min(experiment.recipe.batch_size, num_images)
    whole = math.ceil(num_images / size)
    groups = math.ceil(missing / experiment.config.experts.at_once)
    if experiment.schedule is None:
        return groups * last * whole
    shares = (end - begin for begin, end in map(experiment.schedule.shares, range(last)))
    count = groups * sum(math.ceil(share * num_images / size) for share in shares)
    scored = len(list((directory / "difficulty").glob("network_*.npz")))
    scoring = max(experiment.config.data_schedule.score_networks - scored, 0)
    scoring_groups = math.ceil(scoring / experiment.config.experts.at_once)
    return count + scoring_groups * max(experiment.config.data_schedule.score_epochs) * whole


def store_bytes(experiment: Experiment, experts: int, epochs: int) -> int:
    """What so many experts with so many epochs take on disk."""
    return (
        experts
        * epochs
        * experiment.network.num_params
        * _NUMBER[experiment.config.experts.storage]
    )


def short(seconds: float) -> str:
    """ "21 ms", "1.3 s"."""
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def long(seconds: float) -> str:
    """ "4.5 s", "45 s", "12 min", "3.4 h"."""
    if seconds < 100:
        return f"{seconds:.{0 if seconds >= 10 else 1}f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _tell_experts(
    experiment, data, store: TrajectoryStore, missing: list[int], epochs: tuple[int, ...]
) -> float:
    """Tells what training them takes, and returns the seconds."""
    console.begin("  experts    ")
    one = rehearsal.expert_step(experiment, data, _side_by_side(experiment, missing))
    count = expert_steps(experiment, len(data.train), len(missing), max(epochs), store.directory)
    console.say(
        f"{len(missing)} to train, {count:,} steps of {short(one)}: {long(count * one)}; "
        f"{_room(experiment, store, len(missing), len(epochs))}"
    )
    return count * one


def _tell_steps(experiment: Experiment, steps: int) -> float:
    """Tells what the outer steps take, and returns the seconds."""
    console.begin("  distil     ")
    try:
        cost = rehearsal.step(experiment)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise UserError(
            f"one outer step ({budget.name(experiment.student)}) does not fit this device's memory: "
            f"{str(error).splitlines()[0]}\nGive distill.memory_gigabytes, and a way that fits is "
            "looked for; or lower student.batch_syn."
        ) from error
    held = "" if cost.bytes is None else f" holds {budget.gigabytes(cost.bytes)}"
    console.say(
        f"{steps:,} steps of {short(cost.seconds)}: {long(steps * cost.seconds)}; a step"
        f"{held} ({budget.name(experiment.student)})"
    )
    return steps * cost.seconds


def _tell_evaluation(experiment: Experiment, data: RunData) -> float:
    """Tells what the set's networks, side by side, and the baseline's, one by one, take."""
    console.begin("  evaluate   ")
    networks = experiment.config.evaluate.num_networks
    at_once = min(experiment.config.evaluate.at_once, networks)
    alone = rehearsal.evaluation_epoch(experiment, 1)
    beside = rehearsal.evaluation_epoch(experiment, at_once) if at_once > 1 else alone
    seconds = experiment.protocol.epochs * (
        math.ceil(networks / at_once) * beside + networks * alone
    )
    seconds += 2 * networks * rehearsal.test_pass(experiment, data.test)
    console.say(f"2 x {networks} networks, {experiment.protocol.epochs:,} epochs: {long(seconds)}")
    return seconds


def _side_by_side(experiment: Experiment, missing: list[int]) -> int:
    return min(experiment.config.experts.at_once, len(missing))


def _room(experiment: Experiment, store: TrajectoryStore, missing: int, epochs: int) -> str:
    """The store's size, and whether it has the room."""
    needed = store_bytes(experiment, missing, epochs)
    told = f"{budget.gigabytes(needed)} more in {store.directory}"
    folder = next(p for p in (store.directory, *store.directory.parents) if p.is_dir())
    free = shutil.disk_usage(folder).free
    return told if needed < free else f"{told}, WHERE ONLY {budget.gigabytes(free)} ARE FREE"
