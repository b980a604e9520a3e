"""The difficulty of the training images: found beside the experts, or measured.

    experts_dir/
      difficulty/network_000.npz    scores [n] of one network, and the facts that made them
      ...

A file is there whole or not at all, so that interrupted scoring goes on with the
networks that are missing. A file that is damaged, or was made under other facts,
is as good as none.
"""

import json
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax import el2n
from dpd_jax.data_schedule import rank_within_class
from dpd_jax.runs import console, keys
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.storage import atomic
from dpd_jax.storage.provenance import as_json


def seen(
    experiment: Experiment, data: RunData, directory: pathlib.Path, facts: dict
) -> Callable[[int], np.ndarray] | None:
    """What the experts of a plan see: a function from epochs, from 0, to images; None is all.

    Args:
      plan, problem: the experiment.
      directory: that of the experts.
      facts: what determines an expert.
    """
    if experiment.schedule is None:
        return None
    labels = data.dataset.train_labels
    difficulty = scores(experiment, data, directory / "difficulty", facts)
    ranks = rank_within_class(labels, difficulty)
    return lambda epoch: experiment.schedule.seen(epoch, ranks, labels)


def scores(
    experiment: Experiment, data: RunData, directory: pathlib.Path, facts: dict
) -> np.ndarray:
    """The mean score of each training image over the networks, [n]; measures what is missing."""
    config = experiment.config.data_schedule
    facts = as_json({**facts, "data_schedule": {"score_epochs": sorted(set(config.score_epochs))}})
    paths = [directory / f"network_{i:03d}.npz" for i in range(config.score_networks)]
    found = {i: _load(path, facts, len(data.train)) for i, path in enumerate(paths)}
    missing = [i for i, stored in found.items() if stored is None]
    if missing:
        for network, measured in _measure(experiment, data, missing):
            found[network] = measured
            _save(paths[network], measured, facts)
    return np.mean([found[i] for i in range(len(paths))], axis=0, dtype=np.float64)


def _measure(experiment: Experiment, data: RunData, missing: list[int]):
    """(network, scores [n]) of each that is missing, in groups of `experts.at_once`."""
    config, at_once = experiment.config.data_schedule, experiment.config.experts.at_once
    root = jax.random.fold_in(jax.random.key(experiment.config.experts.seed), keys.EL2N)
    images, labels = jnp.asarray(data.train), jnp.asarray(data.dataset.train_labels)
    epochs = tuple(config.score_epochs)
    with console.bar("difficulty", len(missing) * max(epochs), unit=" epochs") as bar:
        for first in range(0, len(missing), at_once):
            group = missing[first : first + at_once]
            measured = el2n.measure(
                experiment.network,
                experiment.recipe,
                experiment.augmentation,
                images,
                labels,
                jnp.stack([jax.random.fold_in(root, network) for network in group]),
                epochs,
                experiment.config.evaluate.test_batch,
            )
            for epoch, rows in measured:
                bar.to(first * max(epochs) + epoch * len(group))
            yield from zip(group, rows, strict=True)


def _load(path: pathlib.Path, facts: dict, num_images: int) -> np.ndarray | None:
    try:
        with path.open("rb") as file, np.load(file) as stored:
            usable = json.loads(str(stored["facts"])) == facts
            found = stored["scores"]
    except Exception:  # Not there, or damaged: zip and numpy raise many kinds.
        return None
    return found if usable and found.shape == (num_images,) else None


def _save(path: pathlib.Path, measured: np.ndarray, facts: dict) -> None:
    def fill(file):
        np.savez(file, scores=measured, facts=json.dumps(facts))

    atomic.write_whole(path, fill, num_bytes=measured.nbytes)
