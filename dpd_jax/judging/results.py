"""The accuracies of trained networks, stored under all that determines them."""

import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dpd_jax.storage.shared_json import SharedJson


class Row(NamedTuple):
    """One candidate with one network.

    Attributes:
      candidate, network: their names.
      settings: everything printed with the number.
      accuracies: of each trained network at its last epoch.
      best: of each network, the largest of its tests.
    """

    candidate: str
    network: str
    settings: dict[str, Any]
    accuracies: list[float]
    best: list[float]

    @property
    def mean(self) -> float:
        return float(np.mean(self.accuracies))

    @property
    def std(self) -> float:
        """Population standard deviation, as in the papers."""
        return float(np.std(self.accuracies))


class Results:
    """A JSON file: settings and accuracies of each candidate with each network.

    Several processes may add to it. An accuracy that is still missing is null.
    """

    def __init__(self, path: pathlib.Path, flag: str = "--workdir"):
        """Messages call the folder by its `flag`. Raises UserError if the file is damaged."""
        self._file = SharedJson(path, flag)
        self._file.read()

    def missing(self, settings: dict[str, Any], count: int) -> list[int]:
        """The numbers below `count` of the networks that are not stored under these settings."""
        found = self.accuracies(settings)[:count]
        gaps = [number for number, accuracy in enumerate(found) if accuracy is None]
        return gaps + list(range(len(found), count))

    def accuracies(self, settings: dict[str, Any]) -> list[float]:
        """What is stored under these settings, in the order of the networks."""
        return list(self._row(settings)["accuracies"])

    def best(self, settings: dict[str, Any]) -> list[float]:
        """The largest test accuracies that are stored, in the order of the networks."""
        row = self._row(settings)
        return list(row.get("best", row["accuracies"]))

    def add(
        self,
        settings: dict[str, Any],
        first: int,
        accuracies: Sequence[float],
        best: Sequence[float] = (),
    ) -> None:
        """Stores the accuracies of the networks `first`, first + 1, ...

        `best` are the best of their tests, if there were several.
        """
        with self._file.changed() as rows:
            row = rows.setdefault(key(settings), {"settings": settings, "accuracies": []})
            put(row["accuracies"], first, accuracies)
            if best:
                put(row.setdefault("best", []), first, best)

    def _row(self, settings: dict[str, Any]) -> dict[str, Any]:
        return self._file.read().get(key(settings), {"accuracies": []})


def put(stored: list[float | None], first: int, values: Sequence[float]) -> None:
    """Puts the values of networks `first`, first + 1, ... into a list; null is still missing."""
    stored += [None] * (first + len(values) - len(stored))
    stored[first : first + len(values)] = values


def key(settings: dict[str, Any]) -> str:
    """A name for settings: 16 hexadecimal digits."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
