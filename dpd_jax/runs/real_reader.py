"""Real images of every class for each outer step of gradient and distribution matching."""

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax.data_schedule import rank_within_class
from dpd_jax.objective import RealBatch
from dpd_jax.runs import el2n_scores, expert_training
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData


class RealReader:
    """Draws real images without replacement; they depend only on (key, step)."""

    def __init__(
        self, experiment: Experiment, data: RunData, directory: pathlib.Path, key: jax.Array
    ):
        """Measures EL2N scores into `directory` if images are left out by them."""
        self._images = data.train
        used = _used(experiment, data, directory)
        labels = data.dataset.train_labels
        members = [used[labels[used] == label] for label in range(experiment.config.num_classes)]
        # Shorter classes are padded; the padding is never drawn, because it is sorted last.
        self._members = np.full((len(members), max(map(len, members))), -1)
        for row, indices in zip(self._members, members, strict=True):
            row[: len(indices)] = indices
        valid = jnp.asarray(self._members >= 0)
        size = with_real_batch(experiment, data).objective.real_batch
        self._draw = functools.partial(_draw, jax.random.key_data(key), valid=valid, size=size)

    def read(self, step: int) -> RealBatch:
        """The images of one step, [k, b, h, w, c]."""
        places = np.asarray(self._draw(np.int32(step)))
        return RealBatch(self._images[np.take_along_axis(self._members, places, 1)])


def with_real_batch(experiment: Experiment, data: RunData) -> Experiment:
    """The experiment with a real batch that every class can fill."""
    objective = experiment.objective
    smallest = int(_kept(experiment, data).min())
    size = min(objective.real_batch, smallest)
    return experiment._replace(objective=dataclasses.replace(objective, real_batch=size))


@functools.partial(jax.jit, static_argnames="size")
def _draw(raw_key, step, *, valid, size) -> jax.Array:
    """Different places [k, size] among the valid ones of each class; valid: bool [k, m]."""
    key = jax.random.fold_in(jax.random.wrap_key_data(raw_key), step)
    order = jnp.where(valid, jax.random.uniform(key, valid.shape), jnp.inf)
    return jnp.argsort(order, axis=1)[:, :size]


def _used(experiment: Experiment, data: RunData, directory: pathlib.Path) -> np.ndarray:
    """The indices of the training images that are drawn from (PAD's FIEX)."""
    objective, labels = experiment.objective, data.dataset.train_labels
    if not objective.excluded_ratio:
        return np.arange(len(labels))
    provenance = expert_training.provenance(experiment, data)
    scores = el2n_scores.scores(experiment, data, directory / "difficulty", provenance)
    easiest_first = scores if objective.excluded == "hardest" else -scores
    ranks = rank_within_class(labels, easiest_first)
    return np.flatnonzero(ranks < _kept(experiment, data)[labels])


def _kept(experiment: Experiment, data: RunData) -> np.ndarray:
    """How many images of each class are drawn from, [k]; at least one."""
    sizes = np.bincount(data.dataset.train_labels, minlength=experiment.config.num_classes)
    kept = np.round((1 - experiment.objective.excluded_ratio) * sizes).astype(int)
    return np.maximum(kept, 1)
