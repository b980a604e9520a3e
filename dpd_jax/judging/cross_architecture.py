"""Accuracy of networks of several kinds, trained on the same frozen sets.

Every number is kept with the settings that made it, and every trained network is
stored at once: an interrupted evaluation continues with the networks that are missing.
"""

import hashlib
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from dpd_jax import evaluate, networks, synthetic
from dpd_jax.augment import Augmentation
from dpd_jax.errors import UserError
from dpd_jax.evaluate import Protocol
from dpd_jax.networks import Network
from dpd_jax.runs import console
from dpd_jax.storage import atomic


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
    rows = []
    total = len(candidates) * len(judges) * num_networks
    with console.bar("evaluate", total, unit=" networks") as bar:
        for candidate in candidates:
            for name, network in judges.items():
                settings = _settings(candidate, network, protocol, augmentation, described)
                done = results.accuracies(settings)
                for i in range(len(done), num_networks):
                    images, label_logits = candidate.draw(i)
                    before = bar.amount
                    found = evaluate.evaluate(
                        network,
                        protocol,
                        augmentation,
                        images,
                        label_logits,
                        candidate.learning_rate,
                        *test,
                        jax.random.fold_in(root, i),
                        num_networks=1,
                        at_once=1,
                        test_batch=test_batch,
                        progress=lambda share, _, before=before, what=f"{candidate.name}, {name}": (
                            bar.to(before + share, now=what)
                        ),
                    )
                    results.add(settings, float(found.accuracies[0]))
                bar.to(len(rows) * num_networks + num_networks)
                accuracies = results.accuracies(settings)[:num_networks]
                rows.append(Row(candidate.name, name, settings, accuracies))
    return rows


def random_real(
    train: np.ndarray, labels: np.ndarray, num_classes: int, ipc: int, root: jax.Array
) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    """As many random real images as the set has, drawn anew for each network, with hard labels."""
    hard = synthetic.hard_labels(synthetic.classes(num_classes, ipc), num_classes)

    def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = synthetic.real_indices(jax.random.fold_in(root, number), labels, num_classes, ipc)
        return train[chosen], np.asarray(hard)

    return draw


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
        "protocol": protocol._asdict() if hasattr(protocol, "_asdict") else vars(protocol),
        "augmentation": vars(augmentation) | {"families": list(augmentation.families)},
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
    lines = ["trained_on,network,mean,std,networks,learning_rate,labels,epochs,batch_size"]
    for row in rows:
        settings, protocol = row.settings, row.settings["protocol"]
        fields = (
            row.candidate,
            row.network,
            f"{row.mean:.6f}",
            f"{row.std:.6f}",
            len(row.accuracies),
            settings["learning_rate"],
            settings["labels"],
            protocol["epochs"],
            protocol["batch_size"],
        )
        lines.append(",".join(f'"{field}"' if "," in str(field) else str(field) for field in fields))
    return "\n".join(lines) + "\n"


def _percent(row: Row) -> str:
    return f"{100 * row.mean:.1f} ± {100 * row.std:.1f} ({len(row.accuracies)})"
