"""results.json of an architecture search: what every trained network reached."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from dpd_jax.errors import UserError
from dpd_jax.storage import atomic, provenance


class SearchResults:
    """The accuracies of the networks trained so far; each addition is written at once."""

    def __init__(self, path: pathlib.Path, settings: dict[str, Any]):
        """Opens the file, or begins it at the first addition.

        Args:
          path: the file.
          settings: all that determines an accuracy beside candidate, architecture and number.

        Raises:
          UserError: if the file is damaged, or is that of other settings.
        """
        self._path = path
        self._stored: dict[str, Any] = {"settings": provenance.as_json(settings), "candidates": {}}
        if not path.is_file():
            return
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            other = list(provenance.differences(stored["settings"], self._stored["settings"]))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} is damaged ({error!r}). Delete it, and its networks are trained again."
            ) from None
        if other:
            raise UserError(
                f"{path} is of another search ({'; '.join(other)}). Its networks are kept. Name "
                "another --workdir, or continue with its own settings."
            )
        self._stored = stored

    def accuracies(self, candidate: str, architecture: str) -> list[float]:
        """Those of the networks 0, 1, ... of an architecture on a candidate (its identity)."""
        return list(self._of(candidate)["accuracies"].get(architecture, []))

    def seconds(self, candidate: str) -> float:
        """Seconds spent on a candidate's networks, compilation included."""
        return self._of(candidate)["seconds"]

    def add(self, candidate: str, found: Sequence[tuple[str, float]], seconds: float) -> None:
        """Appends the accuracies [(architecture, accuracy)] of networks trained in `seconds`."""
        entry = self._of(candidate)
        for architecture, accuracy in found:
            entry["accuracies"].setdefault(architecture, []).append(accuracy)
        entry["seconds"] = round(entry["seconds"] + seconds, 3)
        self._stored["candidates"][candidate] = entry
        atomic.write_text(self._path, json.dumps(self._stored) + "\n")

    def array(self, candidate: str, architectures: Sequence[str], networks: int) -> np.ndarray:
        """Accuracies [networks, architectures]; all must have been trained."""
        rows = [self.accuracies(candidate, name)[:networks] for name in architectures]
        return np.array(rows).T

    def _of(self, candidate: str) -> dict[str, Any]:
        return self._stored["candidates"].get(candidate, {"seconds": 0.0, "accuracies": {}})
