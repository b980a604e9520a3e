"""The initial synthetic set: real images or noise, and their labels."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax import synthetic
from dpd_jax.runs import console, expert_training
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.storage.trajectories import TrajectoryStore
from dpd_jax.synthetic import SyntheticSet


def initial_set(
    experiment: Experiment,
    data: RunData,
    store: TrajectoryStore | None,
    used: list[int],
    key: jax.Array,
) -> tuple[SyntheticSet, np.ndarray | None]:
    """The set before the first outer step, and the indices [n] of its images; None for noise.

    The store may be None if neither images nor labels depend on the experts `used`.

    Raises:
      UserError: if there are too few training images, or too few that experts get right.
    """
    config = experiment.config
    image_key, label_key = jax.random.split(key)
    classes = synthetic.classes(config.num_classes, config.ipc)
    if config.synthetic.init == "noise":
        real = None
        images = synthetic.noise_images(
            image_key, experiment.num_images, experiment.network.image_shape
        )
    else:
        real = _real_indices(experiment, data, store, used, image_key)
        images = jnp.asarray(data.train[real])
    labels = _labels(experiment, store, used, label_key, images, classes)
    wrong = int(np.sum(np.argmax(labels, -1) != classes))
    if wrong:  # Such labels cost reduced runs much accuracy.
        console.say(
            f"{wrong} of {len(classes)} soft labels favour a wrong class, as the experts do. To "
            "avoid this, use a later epoch (synthetic.label_epoch), images that experts classify "
            "correctly (synthetic.init=correct) or synthetic.labels=hard."
        )
    step_size = jnp.asarray(config.synthetic.step_size, jnp.float32)
    return SyntheticSet(images, labels, step_size), real


def _real_indices(experiment, data, store, used, key) -> np.ndarray:
    """The indices [n] of the training images that `synthetic.init` chooses."""
    config = experiment.config
    wanted = data.dataset.train_labels, config.num_classes, config.ipc
    if config.synthetic.init == "real":
        return synthetic.real_indices(key, *wanted)

    if config.synthetic.init == "correct":

        @functools.cache
        def predictions(place: int) -> np.ndarray:
            with console.note(f"finding the training images that expert {used[place]} gets right"):
                params = expert_training.label_snapshot(experiment, store, used[place])
                return np.argmax(expert_training.logits(experiment, params, data.train), -1)

        return synthetic.correct_indices(key, *wanted, predictions, len(used))

    expert_key, centre_key = jax.random.split(key)
    expert, params = _random_expert(experiment, store, used, expert_key)
    by_features = config.synthetic.cluster_by == "features"
    space = expert_training.features if by_features else expert_training.logits
    with console.note(f"clustering the images of each class by expert {expert}"):
        return synthetic.representative_indices(
            centre_key,
            *wanted,
            lambda members: space(experiment, params, data.train[members]),
            config.synthetic.clusters,
        )


def _labels(experiment, store, used, key, images, classes) -> jax.Array:
    """The label logits [n, k] that `synthetic.labels` chooses."""
    config = experiment.config
    if config.synthetic.labels == "hard":
        return synthetic.hard_labels(classes, config.num_classes)
    if config.synthetic.labels == "onehot":
        return synthetic.onehot_labels(classes, config.num_classes, config.synthetic.label_scale)
    if config.synthetic.labels == "expert":  # One random expert (TESLA).
        _, params = _random_expert(experiment, store, used, key)
        return jnp.asarray(expert_training.logits(experiment, params, images))
    with console.note(f"soft labels from {len(used)} experts"):  # Those that are right (DATM).
        snapshots = (expert_training.label_snapshot(experiment, store, e) for e in used)
        logits = [expert_training.logits(experiment, params, images) for params in snapshots]
    return synthetic.expert_labels(np.stack(logits), classes)


def _random_expert(experiment, store, used, key) -> tuple[int, np.ndarray]:
    """The number of a random expert, and its weights [P]."""
    expert = used[int(jax.random.randint(key, (), 0, len(used)))]
    return expert, expert_training.label_snapshot(experiment, store, expert)
