"""Runs compared by their accuracy on validation images over time, experts included."""

import json
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dpd_jax.errors import UserError
from dpd_jax.presets import fields
from dpd_jax.runs.workdir import read_metrics
from dpd_jax.storage import atomic
from dpd_jax.storage.provenance import differences

# Runs with other values of these have other validation images.
_IMAGES = (
    "name",
    "source",
    "train_split",
    "train_per_class",
    "classes",
    "validation_share",
    "seed",
)
_SHARES = (0.8, 0.9, 0.95, 1.0)  # of the accuracy that every run reaches


class Progress(NamedTuple):
    """The evaluations of a run on the way.

    Attributes:
      name: in the table.
      images: what decides its validation images, field -> value.
      minutes: of each evaluation, those of the experts included [e].
      expert_minutes: those of the experts alone.
      means, stds: accuracies as fractions [e].
      networks: trained in each evaluation.
    """

    name: str
    images: dict[str, object]
    minutes: np.ndarray
    expert_minutes: float
    means: np.ndarray
    stds: np.ndarray
    networks: int

    def minutes_to(self, accuracy: float) -> float | None:
        """The minutes until the first evaluation with at least this accuracy, or None."""
        reached = np.flatnonzero(self.means >= accuracy)
        return float(self.minutes[reached[0]]) if len(reached) else None


def read(path: pathlib.Path) -> Progress:
    """Reads the folder of a run, which may be going on.

    Raises:
      UserError: if it is no run, has no evaluations on the way, or does not know what its experts
        took.
    """
    try:
        stored = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not the folder of a run: {error}.") from None
    lines = [line for line in read_metrics(path) if "validation_accuracy" in line]
    if not lines:
        raise UserError(
            f"{path} has no accuracies on the way. Make it with --config.evaluate.every=100 "
            "--config.data.validation_share=0.1."
        )
    seconds = stored.get("experts", {"seconds": 0.0})["seconds"]
    if seconds is None:
        raise UserError(
            f"{path} uses experts of an older version, which did not note the time of their "
            "training. Train new ones with another --experts_dir."
        )
    accuracies = [line["validation_accuracy"] for line in lines]
    flat = fields.flat(stored["config"])
    return Progress(
        str(path),
        {name: flat[f"data.{name}"] for name in _IMAGES},
        np.array([seconds + line["seconds"] for line in lines]) / 60,
        seconds / 60,
        np.mean(accuracies, axis=1),
        np.std(accuracies, axis=1),
        len(accuracies[0]),
    )


def compare(
    runs: Sequence[Progress], accuracies: Sequence[float], folder: pathlib.Path, title: str
) -> str:
    """Writes progress.md and progress.png; returns the table.

    Args:
      runs: with the same validation images.
      accuracies: whose minutes are in the table, fractions; () are shares of the accuracy that
        every run reaches.
      folder: for the files.
      title: of the plot.

    Raises:
      UserError: if the runs have different validation images.
    """
    from dpd_jax.plots import curves  # Matplotlib takes a second to import.

    for run in runs:
        if found := list(differences(run.images, runs[0].images)):
            raise UserError(
                f"{run.name} and {runs[0].name} have different validation images: "
                f"{'; '.join(found)}. Compare runs of the same data."
            )
    reached = min(float(run.means.max()) for run in runs)
    accuracies = accuracies or [share * reached for share in _SHARES]
    text = _table(runs, accuracies)
    atomic.write_text(folder / "progress.md", text)
    drawn = []
    for run in runs:
        parts = (run.minutes, 100 * run.means, 100 * run.stds)
        drawn.append(curves.Curve(run.name, *(part.tolist() for part in parts)))
    panel = curves.Panel(drawn, "minutes, experts included", "validation accuracy, %")
    curves.save(folder / "progress.png", [[panel]], title=title)
    return text


def _table(runs: Sequence[Progress], accuracies: Sequence[float]) -> str:
    columns = " | ".join(f"{100 * accuracy:.1f} %" for accuracy in accuracies)
    networks = sorted({run.networks for run in runs})
    lines = [
        "Minutes until the first evaluation with this accuracy on validation images, experts "
        f"included, evaluations not; {' or '.join(map(str, networks))} network(s) each.",
        "",
        f"| run | experts | {columns} | best | all steps |",
        "| --- " * (4 + len(accuracies)) + "|",
    ]
    for run in runs:
        times = [run.minutes_to(accuracy) for accuracy in accuracies]
        cells = " | ".join("not reached" if time is None else f"{time:.1f}" for time in times)
        lines.append(
            f"| {run.name} | {run.expert_minutes:.1f} | {cells} | {100 * run.means.max():.1f} % | "
            f"{run.minutes[-1]:.1f} |"
        )
    return "\n".join(lines) + "\n"
