"""EL2N scores of the training images, measured once and kept beside the experts.

    experts_dir/
      difficulty/network_000.npz    scores [n] of one network, and their provenance
      ...

Files that are missing, damaged or of another provenance are measured again.
"""

import functools
import json
import pathlib
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax import el2n
from dpd_jax.data_schedule import rank_within_class
from dpd_jax.runs import console, keys, shared_work
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.storage import atomic
from dpd_jax.storage.provenance import as_json


def seen(
    experiment: Experiment, data: RunData, directory: pathlib.Path, provenance: dict
) -> Callable[[int], np.ndarray] | None:
    """The images that the experts see: a function from epoch (from 0) to indices; None is all.

    Directory and provenance are those of the experts.
    """
    schedule = experiment.schedule
    if schedule is None:
        return None
    labels = data.dataset.train_labels
    difficulty = scores(experiment, data, directory / "difficulty", provenance)
    ranks = rank_within_class(labels, difficulty)
    return lambda epoch: schedule.seen(epoch, ranks, labels)


def scores(
    experiment: Experiment, data: RunData, directory: pathlib.Path, provenance: dict
) -> np.ndarray:
    """The mean score of each training image over the networks, [n]; measures what is missing."""
    config = experiment.config.data_schedule
    score_epochs = sorted(set(config.score_epochs))
    provenance = as_json({**provenance, "data_schedule": {"score_epochs": score_epochs}})
    paths = [directory / f"network_{i:03d}.npz" for i in range(config.score_networks)]
    found: dict[int, np.ndarray] = {}

    def missing() -> list[int]:
        for i, path in enumerate(paths):
            if i not in found:
                stored = _load(path, provenance, len(data.train))
                found.update({} if stored is None else {i: stored})
        return [i for i in range(len(paths)) if i not in found]

    if lacking := missing():
        _measure(experiment, data, lacking, missing, paths, provenance)
    return np.mean([found[i] for i in range(len(paths))], axis=0, dtype=np.float64)


def _measure(
    experiment: Experiment, data: RunData, lacking, missing, paths, provenance: dict
) -> None:
    """Measures the missing networks in groups of `experts.at_once`; writes each group's scores."""
    config, at_once = experiment.config.data_schedule, experiment.config.experts.at_once
    root = jax.random.fold_in(jax.random.key(experiment.config.experts.seed), keys.EL2N)
    epochs = tuple(config.score_epochs)
    inputs = functools.cache(lambda: data.on_device(experiment.config))

    def epochs_done(still: list[int]) -> int:
        return (len(lacking) - len(still)) * max(epochs)

    def measure(group: list[int]) -> None:
        finished, start = epochs_done(missing()), time.monotonic()
        measured = el2n.measure(
            experiment.network,
            experiment.recipe,
            experiment.augmentation,
            *inputs(),
            jnp.stack([jax.random.fold_in(root, network) for network in group]),
            epochs,
            experiment.config.evaluate.test_batch,
        )
        for epoch, rows in measured:
            bar.to(finished + epoch * len(group))
            if rows is None:
                continue
            each = (time.monotonic() - start) / len(group)
            for network, scored in zip(group, rows, strict=True):
                # "facts" is the name in files of older versions.
                arrays = {"scores": scored, "facts": json.dumps(provenance), "seconds": each}
                atomic.write_arrays(paths[network], arrays)

    with console.Bar("difficulty", len(lacking) * max(epochs), unit=" epochs") as bar:
        shared_work.share(
            missing,
            measure,
            lambda still: bar.to(epochs_done(still), now="waiting for other processes"),
            folder=paths[0].parent,
            flag="--experts_dir",
            at_once=at_once,
            settings=json.dumps(provenance, sort_keys=True),
        )
        bar.to(len(lacking) * max(epochs))


def seconds(experiment: Experiment, directory: pathlib.Path) -> list[float | None]:
    """The seconds of each network that scored images; None where they are not known."""
    found: list[float | None] = []
    for network in range(experiment.config.data_schedule.score_networks):
        try:
            with np.load(directory / f"network_{network:03d}.npz") as stored:
                found.append(float(stored["seconds"]))
        except Exception:  # Missing, damaged, or of an older version.
            found.append(None)
    return found


def _load(path: pathlib.Path, provenance: dict, num_images: int) -> np.ndarray | None:
    """The scores [n] in a file; None if it is missing, damaged or of another provenance."""
    try:
        with path.open("rb") as file, np.load(file) as stored:
            usable = json.loads(str(stored["facts"])) == provenance
            found = stored["scores"]
    except Exception:  # zip and numpy raise many types for broken files.
        return None
    return found if usable and found.shape == (num_images,) else None
