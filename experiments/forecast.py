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
from dpd_jax.trajectories import TrajectoryStore
from experiments import budget, rehearsal, screen, teachers
from experiments.build import Plan
from experiments.problem import Problem
from experiments.workdir import Workdir, peak_memory_bytes

_NUMBER = {"float32": 4, "float16": 2, "bfloat16": 2}  # bytes


def before(
    plan: Plan,
    problem: Problem,
    workdir: Workdir,
    store: TrajectoryStore,
    epochs: tuple[int, ...],
) -> Plan:
    """Prints the forecast of what is left of a run.

    Args:
      plan, problem, workdir, store: of the run.
      epochs: those that are kept of missing experts, which are trained to the last.

    Returns:
      The plan, its gradient such that it fits `distill.memory_gigabytes`.

    Raises:
      UserError: if nothing fits, or the device has no room for the step.
    """
    missing = teachers.missing(plan, store)
    steps = plan.config.distill.iterations - (workdir.checkpoints.latest() or 0)
    if steps <= 0:
        return plan
    plan = budget.choose(plan, workdir)
    screen.say("forecast, timed on this machine with made-up weights:")
    total = _tell_experts(plan, problem, store, missing, epochs) if missing else 0.0
    total += _tell_steps(plan, steps)
    total += _tell_evaluation(plan, problem)
    # What grows after this: epochs of experts, as they are trained or in the reader's cache.
    snapshots = 4 * _side_by_side(plan, missing) * len(epochs) * plan.network.num_params
    grows = max(budget.cache_bytes(plan), snapshots) if budget.on_host() else 0
    screen.say(
        f"  in all     {long(total)}; memory at most about "
        f"{budget.gigabytes(peak_memory_bytes() + grows)}"
    )
    return plan


def expert_steps(
    plan: Plan, num_images: int, missing: int, last: int, directory: pathlib.Path
) -> int:
    """Steps of training until no expert is missing, those side by side counted once.

    Args:
      plan: the plan.
      num_images: of the training set.
      missing: how many experts are to be trained.
      last: to which epoch.
      directory: of the store, where the scores are that a data schedule needs.
    """
    size = min(plan.recipe.batch_size, num_images)
    whole = math.ceil(num_images / size)
    groups = math.ceil(missing / plan.config.experts.at_once)
    if plan.schedule is None:
        return groups * last * whole
    shares = (end - begin for begin, end in map(plan.schedule.shares, range(last)))
    count = groups * sum(math.ceil(share * num_images / size) for share in shares)
    scored = len(list((directory / "difficulty").glob("network_*.npz")))
    scoring = max(plan.config.data_schedule.score_networks - scored, 0)
    scoring_groups = math.ceil(scoring / plan.config.experts.at_once)
    return count + scoring_groups * max(plan.config.data_schedule.score_epochs) * whole


def store_bytes(plan: Plan, experts: int, epochs: int) -> int:
    """What so many experts with so many epochs take on disk."""
    return experts * epochs * plan.network.num_params * _NUMBER[plan.config.experts.storage]


def short(seconds: float) -> str:
    """"21 ms", "1.3 s"."""
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def long(seconds: float) -> str:
    """"4.5 s", "45 s", "12 min", "3.4 h"."""
    if seconds < 100:
        return f"{seconds:.{0 if seconds >= 10 else 1}f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _tell_experts(
    plan, problem, store: TrajectoryStore, missing: list[int], epochs: tuple[int, ...]
) -> float:
    """Tells what training them takes, and returns the seconds."""
    screen.begin("  experts    ")
    one = rehearsal.expert_step(plan, problem, _side_by_side(plan, missing))
    count = expert_steps(plan, len(problem.train), len(missing), max(epochs), store.directory)
    screen.say(
        f"{len(missing)} to train, {count:,} steps of {short(one)}: {long(count * one)}; "
        f"{_room(plan, store, len(missing), len(epochs))}"
    )
    return count * one


def _tell_steps(plan: Plan, steps: int) -> float:
    """Tells what the outer steps take, and returns the seconds."""
    screen.begin("  distil     ")
    try:
        cost = rehearsal.step(plan)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise UserError(
            f"one outer step ({budget.name(plan.student)}) does not fit this device's memory: "
            f"{str(error).splitlines()[0]}\nGive distill.memory_gigabytes, and a way that fits is "
            "looked for; or lower student.batch_syn."
        ) from error
    held = "" if cost.bytes is None else f" holds {budget.gigabytes(cost.bytes)}"
    screen.say(
        f"{steps:,} steps of {short(cost.seconds)}: {long(steps * cost.seconds)}; a step"
        f"{held} ({budget.name(plan.student)})"
    )
    return steps * cost.seconds


def _tell_evaluation(plan: Plan, problem: Problem) -> float:
    """Tells what the set's networks, side by side, and the baseline's, one by one, take."""
    screen.begin("  evaluate   ")
    networks = plan.config.evaluate.num_networks
    at_once = min(plan.config.evaluate.at_once, networks)
    alone = rehearsal.evaluation_epoch(plan, 1)
    beside = rehearsal.evaluation_epoch(plan, at_once) if at_once > 1 else alone
    seconds = plan.protocol.epochs * (math.ceil(networks / at_once) * beside + networks * alone)
    seconds += 2 * networks * rehearsal.test_pass(plan, problem.test)
    screen.say(f"2 x {networks} networks, {plan.protocol.epochs:,} epochs: {long(seconds)}")
    return seconds


def _side_by_side(plan: Plan, missing: list[int]) -> int:
    return min(plan.config.experts.at_once, len(missing))


def _room(plan: Plan, store: TrajectoryStore, missing: int, epochs: int) -> str:
    """The store's size, and whether it has the room."""
    needed = store_bytes(plan, missing, epochs)
    told = f"{budget.gigabytes(needed)} more in {store.directory}"
    folder = next(p for p in (store.directory, *store.directory.parents) if p.is_dir())
    free = shutil.disk_usage(folder).free
    return told if needed < free else f"{told}, WHERE ONLY {budget.gigabytes(free)} ARE FREE"
