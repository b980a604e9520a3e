"""Class-incremental learning from a memory of distilled images (GDumb), by DM's protocol.

The classes come in steps. Each step adds a memory that was made of its own classes alone; no
memory is changed later. After each step fresh networks, with an output for every class of the
data set, are trained on the whole memory so far, and tested on the test images of all classes
seen so far. Outputs of classes not yet seen are not masked. Each of several class orders has
several networks; the figures of a step are the mean and the population deviation of them all.

Every network counts with its last epoch, and is stored at once: the same work again goes on with
the networks that are missing.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from dpd_jax import evaluate
from dpd_jax.datasets import loading
from dpd_jax.datasets.loading import Dataset
from dpd_jax.judging.continual import memories
from dpd_jax.judging.continual.memories import StepSources, Task
from dpd_jax.judging.results import Results
from dpd_jax.runs import console, cost, forecast, keys
from dpd_jax.runs.experiment import Experiment
from dpd_jax.storage.distilled_set import DistilledSet
from dpd_jax.storage.provenance import as_json

_OTHER_CLASSES = 1000.0  # below a row's largest logit: the probability is 0 in float32


def over_all_classes(
    label_logits: np.ndarray, classes: Sequence[int], num_classes: int
) -> np.ndarray:
    """Labels [n, j] over some classes as labels [n, num_classes]; other classes have none of it.

    `classes` [j] are the places of the columns.
    """
    lowest = label_logits.max(1, keepdims=True) - _OTHER_CLASSES
    wide = np.repeat(lowest, num_classes, axis=1)
    wide[:, list(classes)] = label_logits
    return wide


class Row(NamedTuple):
    """One step of one class order: what was trained on, and the accuracies.

    Attributes:
      method: its name.
      order, step: their numbers, from 0.
      seen: classes seen so far.
      learning_rate: before the drop.
      accuracies: of the networks, as fractions.
    """

    method: str
    order: int
    step: int
    seen: int
    learning_rate: float
    accuracies: list[float]


class Judge:
    """Trains networks on the memories of tasks, and tests them.

    The experiment has all classes; it gives the network, the protocol, the augmentation and
    `evaluate.learning_rate`, where 0 is the mean of the learned step sizes. `dataset` is its data.
    """

    def __init__(
        self, experiment: Experiment, dataset: Dataset, results: Results, num_networks: int
    ):
        self._experiment = experiment
        self._dataset = dataset
        self._results = results
        self._num_networks = num_networks
        self._fingerprint = loading.fingerprint(dataset)

    def missing(self, tasks: Sequence[Task]) -> list[int]:
        """For each step, the number of networks still to train on the memories of one order."""
        if not all(task.done for task in tasks):
            return [self._num_networks] * len(tasks)
        sets = [task.distilled_set() for task in tasks]
        return [len(self._missing(self._settings(task, sets[: task.step + 1]))) for task in tasks]

    def total(self, tasks: Sequence[Task]) -> int:
        """The number of networks, trained or not, of one class order."""
        return len(tasks) * self._num_networks

    def seconds(self, missing: Sequence[int]) -> float:
        """Seconds of training and testing this many networks after each step.

        Timed on images of the first step and of all steps; the others are in between.
        """
        experiment, config = self._experiment, self._experiment.config
        ends = []
        for classes in (config.num_classes // len(missing), config.num_classes):
            epoch = cost.evaluation_epoch_seconds(experiment, 1, classes * config.ipc)
            ends.append(epoch * experiment.protocol.epochs)
        ends[1] += cost.test_seconds(experiment, self._dataset.test_images.astype(np.float32))
        share = np.linspace(0, 1, len(missing))
        return float(np.sum(np.interp(share, (0, 1), ends) * missing))

    def judge(self, tasks: Sequence[Task], progress: Callable[[float, str], None]) -> list[Row]:
        """Trains the missing networks of one method and class order; a row for each step.

        `progress` is called with the number of networks that are done, a fraction, and a text.

        Raises:
          UserError: a memory is missing or damaged, or the learning rate cannot be used.
        """
        rows: list[Row] = []
        seen: list[int] = []
        sets: list[DistilledSet] = []
        images: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        for task in tasks:
            made = task.distilled_set()
            sets.append(made)
            seen += task.classes
            images.append(made.images_in(sets[0].mean, sets[0].matrix))
            num_classes = self._experiment.config.num_classes
            labels.append(over_all_classes(made.label_logits, task.classes, num_classes))
            settings = self._settings(task, sets)
            if self._missing(settings):
                tested = np.isin(self._dataset.test_labels, seen)
                test = sets[0].to_model_space(self._dataset.test_images[tested])
                arrays = np.concatenate(images), np.concatenate(labels), test
                self._train(task, settings, *arrays, self._dataset.test_labels[tested], progress)
            accuracies = self._results.accuracies(settings)[: self._num_networks]
            rate = settings["learning_rate"]
            rows.append(Row(task.method, task.order, task.step, len(seen), rate, accuracies))
            progress(len(rows) * self._num_networks, task.label)
        return rows

    def _train(self, task: Task, settings, images, labels, test, test_labels, progress) -> None:
        """Trains and tests the networks that the results lack, and adds them."""
        experiment = self._experiment
        root = jax.random.fold_in(jax.random.key(task.order), keys.EVALUATION)
        root = jax.random.fold_in(root, task.step)
        for number in self._missing(settings):
            done = task.step * self._num_networks + number
            found = evaluate.evaluate(
                experiment.network,
                experiment.protocol,
                experiment.augmentation,
                images,
                labels,
                settings["learning_rate"],
                test,
                test_labels,
                jax.random.fold_in(root, number),
                num_networks=1,
                at_once=1,
                test_batch=experiment.config.evaluate.test_batch,
                progress=functools.partial(_tell, progress, done, task),
            )
            self._results.add(settings, number, found.accuracies.tolist())

    def _missing(self, settings: dict[str, Any]) -> list[int]:
        """The numbers of the networks that the results lack."""
        return self._results.missing(settings, self._num_networks)

    def _settings(self, task: Task, sets: Sequence[DistilledSet]) -> dict[str, Any]:
        """All that determines the accuracies on the sets so far, and is stored with them."""
        experiment = self._experiment
        learned = float(np.mean([made.step_size for made in sets]))
        return {
            "sets": [made.provenance["sha256"] for made in sets],
            "method": task.method,
            "order": task.order,
            "step": task.step,
            "network": repr(experiment.network.module),
            "learning_rate": experiment.config.evaluate.learning_rate or learned,
            "protocol": dataclasses.asdict(experiment.protocol),
            "augmentation": as_json(dataclasses.asdict(experiment.augmentation)),
            "data": self._fingerprint,
            "test_images": len(self._dataset.test_labels),
        }


def _tell(progress, done: int, task: Task, share: float, _: str) -> None:
    progress(done + share, task.label)


def run(
    judges: Mapping[str, Judge],
    orders: Sequence[Mapping[str, list[Task]]],
    sources: StepSources,
) -> Iterator[list[Row]]:
    """Does what is missing, one class order after the other; yields all rows after each.

    Args:
      judges: method -> the judge of its memories.
      orders: for each class order, method -> its tasks.
      sources: of all tasks.

    Raises:
      UserError: if a memory cannot be made or judged. Finished work is kept.
    """
    _forecast(judges, orders, sources)
    left = [sum(not task.done for task in memories.flat([order])) for order in orders]
    rows: list[Row] = []
    for number, order in enumerate(orders):
        memories.make(memories.flat([order]), sources, sum(left[number + 1 :]))
        totals = [judges[method].total(own) for method, own in order.items()]
        with console.Bar("networks", sum(totals)) as bar:
            for place, (method, own) in enumerate(order.items()):
                progress = functools.partial(_show, bar, sum(totals[:place]))
                rows += judges[method].judge(own, progress)
        yield rows


def _show(bar: console.Bar, before: int, done: float, text: str) -> None:
    bar.to(before + done, now=text)


def _forecast(judges, orders, sources: StepSources) -> None:
    """Prints the cost of all that is missing."""
    console.say("forecast, timed on this machine with random weights:")
    total = memories.seconds(memories.flat(orders), sources)
    for method, judge in judges.items():
        networks = np.sum([judge.missing(order[method]) for order in orders], axis=0)
        if networks.any():
            seconds = judge.seconds(networks.tolist())
            console.say(f"  {method}: {networks.sum()} networks, {forecast.long(seconds)}")
            total += seconds
    console.say(f"  in all {forecast.long(total)}, compilation not counted")
