"""results.json of an architecture search: what every trained network reached."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from dpd_jax.errors import UserError
from dpd_jax.judging.results import put
from dpd_jax.storage import provenance
from dpd_jax.storage.shared_json import SharedJson


class SearchResults:
    """The accuracies of the networks trained so far; each addition is written at once.

    Several processes may add to it. An accuracy that is still missing is null.
    """

    def __init__(self, path: pathlib.Path, settings: dict[str, Any]):
        """Opens the file, or begins it at the first addition.

        Args:
          path: the file.
          settings: all that determines an accuracy beside candidate, architecture and number.

        Raises:
          UserError: if the file is damaged, or is that of other settings.
        """
        self._file = SharedJson(path, "--workdir")
        self._settings = provenance.as_json(settings)
        if not (stored := self._file.read()):
            return
        try:
            other = list(provenance.differences(stored["settings"], self._settings))
            _ = stored["candidates"]
        except (KeyError, TypeError) as error:
            raise UserError(
                f"{path} is damaged ({error!r}). Delete it, and its networks are trained again."
            ) from None
        if other:
            raise UserError(
                f"{path} is of another search ({'; '.join(other)}). Its networks are kept. Name "
                "another --workdir, or continue with its own settings."
            )

    def networks(self) -> set[tuple[str, str, int]]:
        """Those that are stored: candidate (its identity), architecture and number."""
        return {
            (candidate, architecture, number)
            for candidate, entry in self._file.read().get("candidates", {}).items()
            for architecture, found in entry["accuracies"].items()
            for number, accuracy in enumerate(found)
            if accuracy is not None
        }

    def seconds(self, candidate: str) -> float:
        """Seconds spent on a candidate's networks by all processes, compilation included."""
        return self._of(candidate)["seconds"]

    def add(self, candidate: str, found: Sequence[tuple[str, int, float]], seconds: float) -> None:
        """Stores networks trained in `seconds`: each its architecture, number and accuracy."""
        with self._file.changed() as stored:
            stored.setdefault("settings", self._settings)
            empty = {"seconds": 0.0, "accuracies": {}}
            entry = stored.setdefault("candidates", {}).setdefault(candidate, empty)
            for architecture, number, accuracy in found:
                put(entry["accuracies"].setdefault(architecture, []), number, [accuracy])
            entry["seconds"] = round(entry["seconds"] + seconds, 3)

    def array(self, candidate: str, architectures: Sequence[str], networks: int) -> np.ndarray:
        """Accuracies [networks, architectures]; all must have been trained."""
        found = self._of(candidate)["accuracies"]
        return np.array([found[name][:networks] for name in architectures]).T

    def _of(self, candidate: str) -> dict[str, Any]:
        stored = self._file.read().get("candidates", {})
        return stored.get(candidate, {"seconds": 0.0, "accuracies": {}})
