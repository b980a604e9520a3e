"""The memories of class-incremental learning: one ordinary run for each step of each class order.

A run distils the training images of the classes of its step, and knows no others: its experts
have as many outputs as the step has classes.
"""

import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dpd_jax.datasets import loading
from dpd_jax.datasets.loading import Dataset
from dpd_jax.errors import UserError
from dpd_jax.runs import console, expert_training, forecast, loop, real_reader, report, run_data
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.runs.sources import Sources
from dpd_jax.runs.workdir import Workdir
from dpd_jax.storage import distilled_set
from dpd_jax.storage.distilled_set import DistilledSet


class Task(NamedTuple):
    """The run that makes the memory of one step.

    Attributes:
      method: its name in the table.
      order, step: their numbers, from 0.
      classes: the classes of the step, among those of the whole experiment.
      experiment, workdir: those of the run.
    """

    method: str
    order: int
    step: int
    classes: tuple[int, ...]
    experiment: Experiment
    workdir: Workdir

    @property
    def label(self) -> str:
        return f"{self.method}, class order {self.order}, step {self.step + 1}"

    @property
    def done(self) -> bool:
        return report.distilled(self.workdir, self.experiment.config)

    def distilled_set(self) -> DistilledSet:
        """The memory; raises UserError if the file is missing or damaged."""
        return distilled_set.read(self.workdir.path / "distilled.npz")


def class_steps(num_classes: int, steps: int, order: int) -> list[tuple[int, ...]]:
    """The classes of each step in a class order: DM's permutations, by NumPy's legacy seeds.

    Raises:
      UserError: if the steps would have different numbers of classes, or one class each.
    """
    possible = [n for n in range(1, num_classes // 2 + 1) if num_classes % n == 0]
    if steps not in possible:
        raise UserError(
            f"{steps} steps do not divide {num_classes} classes into equal parts of at least two. "
            f"Possible numbers of steps are {', '.join(map(str, possible))}."
        )
    permuted = np.random.RandomState(order).permutation(num_classes)
    return [tuple(sorted(part.tolist())) for part in np.split(permuted, steps)]


def plan(
    method: str, experiment: Experiment, folder: pathlib.Path, *, steps: int, order: int
) -> list[Task]:
    """The tasks of one class order. Their seed is its number, and each has a folder of its own.

    Raises:
      UserError: as `class_steps`; or one of the folders holds a run of another config.
    """
    tasks = []
    for step, classes in enumerate(class_steps(experiment.config.num_classes, steps, order)):
        config = experiment.config.copy_and_resolve_references()
        kept = tuple(config.data.classes) or range(config.num_classes)
        config.seed, config.num_classes = order, len(classes)
        config.data.classes = tuple(kept[c] for c in classes)
        name = f"step={step + 1}of{steps}"
        workdir = Workdir(folder / method / f"order={order}" / name, config.lock())
        own = Experiment.from_config(config)
        tasks.append(Task(method, order, step, classes, own, workdir))
    return tasks


def flat(orders: Sequence[Mapping[str, list[Task]]]) -> list[Task]:
    """All tasks, in order; `orders` has for each class order the tasks of each method."""
    return [task for order in orders for own in order.values() for task in own]


class StepSources(Sources):
    """The data and the experts of tasks; the whole data set is read once."""

    def __init__(
        self, data_dir, cache, experts_dir, tasks: Sequence[Task], whole: Dataset, earlier=None
    ):
        """As `Sources`; `whole` holds all classes of the experiment."""
        sharing = [task.experiment for task in tasks]
        super().__init__(data_dir, cache, experts_dir, sharing, earlier)
        self._whole = whole
        self._classes = {tuple(x.experiment.config.data.classes): x.classes for x in tasks}

    def _load(self, config) -> RunData:
        own = loading.of_classes(self._whole, self._classes[tuple(config.data.classes)])
        return run_data.prepare(config, own, self._cache)


def seconds(tasks: Sequence[Task], sources: StepSources) -> float:
    """Prints what the missing memories cost, timed on one of each method; returns the seconds."""
    total = 0.0
    for method in dict.fromkeys(task.method for task in tasks):
        missing = [task for task in tasks if task.method == method and not task.done]
        if not missing:
            continue
        data = sources.data(missing[0].experiment.config)
        experiment = real_reader.with_real_batch(missing[0].experiment, data)
        store, epochs = sources.store(experiment, data)
        experts = expert_training.missing(experiment, store)
        steps = experiment.config.distill.iterations
        console.say(f"  {method}: {len(missing)} memories to make")
        one = forecast.distillation(experiment, data, store, experts, epochs, steps)
        total += len(missing) * one
    return total


def make(tasks: Sequence[Task], sources: StepSources, later: int) -> None:
    """Makes the missing memories; the time left is for `later` ones too.

    Raises:
      UserError: if a run fails; finished ones are kept.
    """
    missing = [task for task in tasks if not task.done]
    start = time.monotonic()
    for number, task in enumerate(missing):
        left = len(missing) - number + later
        pace = (time.monotonic() - start) / number if number else 0.0
        time_left = f", about {forecast.long(pace * left)}" if pace else ""
        console.say(f"\n[memories left: {left}{time_left}] {task.label}")
        try:
            loop.run(task.experiment, task.workdir, sources, evaluated=False)
        except UserError as error:
            raise UserError(f"the memory of {task.label} cannot be made: {error}") from error
