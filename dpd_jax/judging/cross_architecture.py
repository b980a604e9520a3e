"""Accuracy of networks of several kinds, trained on the same frozen sets.

Every number is kept with the settings that made it, and every trained network is
stored at once: an interrupted evaluation continues with the networks that are missing.
"""

import csv
import dataclasses
import functools
import hashlib
import io
import itertools
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from dpd_jax import evaluate, synthetic
from dpd_jax.augment import Augmentation
from dpd_jax.datasets.loading import Dataset
from dpd_jax.errors import UserError
from dpd_jax.evaluate import Protocol
from dpd_jax.networks import Network
from dpd_jax.runs import console, keys
from dpd_jax.runs.experiment import Experiment
from dpd_jax.storage import atomic
from dpd_jax.storage.distilled_set import DistilledSet
from dpd_jax.storage.provenance import as_json


class Candidate(NamedTuple):
    """Something that networks are trained on.

    Attributes:
      name: in the table.
      identity: what determines it, for the store of results.
      draw: number of the network -> (images [n, h, w, c], label logits [n, k]); the same
        arrays every time, but for random real images.
      learning_rate: before the drop.
      label_kind: "soft", "hard".
    """

    name: str
    identity: str
    draw: Callable[[int], tuple[np.ndarray, np.ndarray]]
    learning_rate: float
    label_kind: str


class Row(NamedTuple):
    """One candidate with one network.

    Attributes:
      candidate, network: their names.
      settings: everything printed with the number.
      accuracies: of each trained network at its last epoch.
    """

    candidate: str
    network: str
    settings: dict[str, Any]
    accuracies: list[float]

    @property
    def mean(self) -> float:
        return float(np.mean(self.accuracies))

    @property
    def std(self) -> float:
        """Population standard deviation, as in the papers."""
        return float(np.std(self.accuracies))


class Results:
    """results.json: settings and accuracies of each candidate with each network."""

    def __init__(self, path: pathlib.Path):
        """Raises UserError if the file is there and cannot be read."""
        self.path = path
        self._rows: dict[str, dict] = {}
        if path.is_file():
            try:
                self._rows = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise UserError(
                    f"{path} is damaged ({error}). Delete it, and its networks are trained again."
                ) from None

    def accuracies(self, settings: dict[str, Any]) -> list[float]:
        """What is stored under these settings, in the order of the networks."""
        row = self._rows.get(_key(settings))
        return list(row["accuracies"]) if row else []

    def add(self, settings: dict[str, Any], accuracy: float) -> None:
        """Stores the next network's accuracy."""
        row = self._rows.setdefault(_key(settings), {"settings": settings, "accuracies": []})
        row["accuracies"].append(accuracy)
        atomic.write_text(self.path, json.dumps(self._rows, indent=1) + "\n")


def _key(settings: dict[str, Any]) -> str:
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def judge(
    candidates: Sequence[Candidate],
    judges: dict[str, Network],
    protocol: Protocol,
    augmentation: Augmentation,
    test: tuple[np.ndarray, np.ndarray],
    results: Results,
    *,
    described: dict[str, Any],
    root: jax.Array,
    num_networks: int,
    test_batch: int,
) -> list[Row]:
    """Trains what is missing and returns a row for each candidate with each network.

    Args:
      candidates: what networks are trained on.
      judges: name -> network.
      protocol, augmentation: how all of them are trained.
      test: test images [m, h, w, c] in model space and labels [m]; seen once, at the end.
      results: the store.
      described: what else determines a number: data, preprocessing, seed.
      root: key; network i uses `fold_in(root, i)`, whatever the candidate.
      num_networks: trained of each kind.
      test_batch: test images at a time; speed only.

    Raises:
      UserError: if a learning rate is not usable, or a candidate does not fit a network.
    """
    rows: list[Row] = []
    total = len(candidates) * len(judges) * num_networks
    with console.Bar("evaluate", total, unit=" networks") as bar:
        for candidate, (name, network) in itertools.product(candidates, judges.items()):
            settings = _settings(candidate, network, protocol, augmentation, described)
            for i in range(len(results.accuracies(settings)), num_networks):
                place, text = len(rows) * num_networks + i, f"{candidate.name}, {name}"
                images, label_logits = candidate.draw(i)
                found = evaluate.evaluate(
                    network,
                    protocol,
                    augmentation,
                    images,
                    label_logits,
                    candidate.learning_rate,
                    test[0],
                    test[1],
                    jax.random.fold_in(root, i),
                    num_networks=1,
                    at_once=1,
                    test_batch=test_batch,
                    progress=functools.partial(_show, bar, place, text),
                )
                results.add(settings, float(found.accuracies[0]))
            accuracies = results.accuracies(settings)[:num_networks]
            rows.append(Row(candidate.name, name, settings, accuracies))
            bar.to(len(rows) * num_networks)
    return rows


def candidates(
    distilled: DistilledSet, dataset: Dataset, name: str, experiment: Experiment, *, whole: bool
) -> list[Candidate]:
    """The set, as many random real images, and the whole training set if asked for.

    All have the learning rate of the set, or `evaluate.learning_rate`. Random real images are
    drawn anew for each network. Real images have hard labels.

    Args:
      distilled: the set.
      dataset: its data; raw images enter the model space of the set.
      name: of the set, in the table.
      experiment: gives `evaluate.learning_rate`, the classes and the seed.
      whole: whether the whole training set is trained on too.

    Raises:
      UserError: if a class of the training set is smaller than the set's.
    """
    config = experiment.config
    rate = config.evaluate.learning_rate or float(distilled.step_size)
    digest, labels = distilled.provenance["sha256"], dataset.train_labels
    certain = np.max(np.asarray(jax.nn.softmax(distilled.label_logits)), 1) > 1 - 1e-6
    kind = "hard" if certain.all() else "soft"
    root = jax.random.fold_in(jax.random.key(config.seed), keys.RANDOM_REAL)
    ipc = int(np.bincount(distilled.labels).max())

    def hard(classes: np.ndarray) -> np.ndarray:
        return np.asarray(synthetic.hard_labels(classes, config.num_classes))

    def random_real(number: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = synthetic.real_indices(
            jax.random.fold_in(root, number), labels, config.num_classes, ipc
        )
        return distilled.to_model_space(dataset.train_images[chosen]), hard(labels[chosen])

    def all_real(_: int) -> tuple[np.ndarray, np.ndarray]:
        return distilled.to_model_space(dataset.train_images), hard(labels)

    found = [
        Candidate(name, digest, lambda _: (distilled.images, distilled.label_logits), rate, kind),
        Candidate("random real", f"random real, {ipc} per class", random_real, rate, "hard"),
    ]
    if whole:
        found.append(Candidate("whole training set", "whole", all_real, rate, "hard"))
    return found


def _show(bar: console.Bar, place: int, text: str, share: float, _: str) -> None:
    bar.to(place + share, now=text)


def _settings(
    candidate: Candidate,
    network: Network,
    protocol: Protocol,
    augmentation: Augmentation,
    described: dict[str, Any],
) -> dict[str, Any]:
    return {
        "set": candidate.identity,
        "network": repr(network.module),
        "learning_rate": candidate.learning_rate,
        "labels": candidate.label_kind,
        "protocol": dataclasses.asdict(protocol),
        "augmentation": as_json(dataclasses.asdict(augmentation)),
        **described,
    }


def markdown(rows: Sequence[Row], caption: str) -> str:
    """A line a candidate, a column a network; the caption says how they were trained."""
    names = list(dict.fromkeys(row.network for row in rows))
    lines = [
        caption,
        "",
        "| trained on | learning rate | labels | " + " | ".join(names) + " |",
        "| --- " * (3 + len(names)) + "|",
    ]
    for candidate in dict.fromkeys(row.candidate for row in rows):
        own = {row.network: row for row in rows if row.candidate == candidate}
        first = next(iter(own.values())).settings
        cells = [_percent(own[name]) if name in own else "" for name in names]
        lines.append(
            f"| {candidate} | {first['learning_rate']:.4g} | {first['labels']} | "
            + " | ".join(cells)
            + " |"
        )
    return "\n".join(lines) + "\n"


def csv_lines(rows: Sequence[Row]) -> str:
    """One line per candidate and network."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    protocol_fields = ("epochs", "batch_size")
    head = ("trained_on", "network", "mean", "std", "networks", "learning_rate", "labels")
    writer.writerow([*head, *protocol_fields])
    for row in rows:
        settings = row.settings
        figures = (f"{row.mean:.6f}", f"{row.std:.6f}", len(row.accuracies))
        how = (settings["learning_rate"], settings["labels"])
        protocol = [settings["protocol"][name] for name in protocol_fields]
        writer.writerow([row.candidate, row.network, *figures, *how, *protocol])
    return text.getvalue()


def _percent(row: Row) -> str:
    return f"{100 * row.mean:.1f} ± {100 * row.std:.1f} ({len(row.accuracies)})"
