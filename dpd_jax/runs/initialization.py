"""Where the synthetic set starts: real images or noise, and their labels."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax import synthetic
from dpd_jax.runs import console, expert_training
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.storage.trajectories import TrajectoryStore
from dpd_jax.synthetic import SyntheticSet


class Start(NamedTuple):
    """Attributes:
    synthetic: the first set.
    real: indices of the training images it started from [n], or None for noise.
    """

    synthetic: SyntheticSet
    real: np.ndarray | None


def begin(
    experiment: Experiment, data: RunData, store: TrajectoryStore, used: list[int], key
) -> Start:
    """The set before the first outer step, a function of the plan and the key."""
    config = experiment.config
    image_key, label_key = jax.random.split(key)
    chosen = synthetic.classes(config.num_classes, config.ipc)
    real = _INITS[config.synthetic.init](experiment, data, store, used, image_key)
    if real is None:
        images = synthetic.noise_images(
            image_key, experiment.num_images, experiment.network.image_shape
        )
    else:
        images = jnp.asarray(data.train[real])
    labels = _LABELS[config.synthetic.labels](experiment, store, used, label_key, images, chosen)
    _tell_wrong(labels, chosen)
    step_size = jnp.asarray(config.synthetic.step_size, jnp.float32)
    return Start(SyntheticSet(images, labels, step_size), real)


def _tell_wrong(labels: jax.Array, chosen: np.ndarray) -> None:
    """Says how many labels put another class first, which costs reduced runs many points."""
    wrong = int(np.sum(np.argmax(labels, -1) != chosen))
    if wrong:
        console.say(
            f"{wrong} of {len(chosen)} soft labels put another class than their image's own first: "
            "the experts asked get it wrong. Experts of a later epoch (synthetic.label_epoch), "
            "images experts get right (synthetic.init=correct) or synthetic.labels=hard avoid this."
        )


def _correct(experiment, data, store, used, key):
    @functools.cache
    def predictions(expert: int) -> np.ndarray:
        with console.note(f"asking expert {used[expert]} which training images it gets right"):
            params = expert_training.label_snapshot(experiment, store, used[expert])
            return np.argmax(expert_training.logits(experiment, params, data.train), -1)

    return synthetic.correct_indices(
        key,
        data.dataset.train_labels,
        experiment.config.num_classes,
        experiment.config.ipc,
        predictions,
        len(used),
    )


def _real(experiment, data, store, used, key):
    del store, used
    return synthetic.real_indices(
        key, data.dataset.train_labels, experiment.config.num_classes, experiment.config.ipc
    )


def _kmeans(experiment, data, store, used, key):
    expert_key, centre_key = jax.random.split(key)
    expert = used[int(jax.random.randint(expert_key, (), 0, len(used)))]
    params = expert_training.label_snapshot(experiment, store, expert)
    config = experiment.config
    space = {"features": expert_training.features, "logits": expert_training.logits}[
        config.synthetic.cluster_by
    ]
    with console.note(f"clustering each class as expert {expert} sees it"):
        return synthetic.representative_indices(
            centre_key,
            data.dataset.train_labels,
            config.num_classes,
            config.ipc,
            lambda members: space(experiment, params, data.train[members]),
            config.synthetic.clusters,
        )


_INITS = {"correct": _correct, "real": _real, "kmeans": _kmeans, "noise": lambda *_: None}


def _hard(experiment, store, used, key, images, chosen):
    del store, used, key, images
    return synthetic.hard_labels(chosen, experiment.config.num_classes)


def _onehot(experiment, store, used, key, images, chosen):
    del store, used, key, images
    return synthetic.onehot_labels(
        chosen, experiment.config.num_classes, experiment.config.synthetic.label_scale
    )


def _expert(experiment, store, used, key, images, chosen):
    """The logits of one random expert (TESLA)."""
    del chosen
    expert = used[int(jax.random.randint(key, (), 0, len(used)))]
    params = expert_training.label_snapshot(experiment, store, expert)
    return jnp.asarray(expert_training.logits(experiment, params, images))


def _experts(experiment, store, used, key, images, chosen):
    """The mean logits of the experts that are right (DATM)."""
    del key
    with console.note(f"soft labels from {len(used)} experts"):
        logits = [
            expert_training.logits(
                experiment, expert_training.label_snapshot(experiment, store, expert), images
            )
            for expert in used
        ]
    return synthetic.expert_labels(np.stack(logits), chosen)


_LABELS = {"hard": _hard, "onehot": _onehot, "expert": _expert, "experts": _experts}
