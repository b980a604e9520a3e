"""The accuracies of trained networks, stored under all that determines them."""

import hashlib
import json
import pathlib
from typing import Any, NamedTuple

import numpy as np

from dpd_jax.errors import UserError
from dpd_jax.storage import atomic


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
    """A JSON file: settings and accuracies of each candidate with each network."""

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
        return list(self._row(settings)["accuracies"])

    def best(self, settings: dict[str, Any]) -> list[float]:
        """The largest test accuracies that are stored, in the order of the networks."""
        row = self._row(settings)
        return list(row.get("best", row["accuracies"]))

    def add(self, settings: dict[str, Any], accuracy: float, best: float | None = None) -> None:
        """Stores the next network's accuracy, and the best of its tests if there were several."""
        row = self._rows.setdefault(key(settings), self._row(settings))
        row["accuracies"].append(accuracy)
        if best is not None:
            row.setdefault("best", []).append(best)
        atomic.write_text(self.path, json.dumps(self._rows, indent=1) + "\n")

    def _row(self, settings: dict[str, Any]) -> dict[str, Any]:
        return self._rows.get(key(settings), {"settings": settings, "accuracies": []})


def key(settings: dict[str, Any]) -> str:
    """A name for settings: 16 hexadecimal digits."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
