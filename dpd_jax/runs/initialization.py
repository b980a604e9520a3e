"""The initial synthetic set: real images, noise or an earlier set, and their labels."""

import functools
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from dpd_jax import coreset, synthetic
from dpd_jax.errors import UserError
from dpd_jax.runs import console, expert_training
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.storage import distilled_set
from dpd_jax.storage.distilled_set import DistilledSet
from dpd_jax.storage.trajectories import TrajectoryStore
from dpd_jax.synthetic import SyntheticSet


class Initial(NamedTuple):
    """The set before the first outer step.

    Attributes:
      synthetic: the set.
      real: indices [n] of its training images; None for noise and for an earlier set.
      origin: how images and labels were made, for the report; `expert` and its `epoch` are those
        that chose the images, None if not one expert did.
    """

    synthetic: SyntheticSet
    real: np.ndarray | None
    origin: dict[str, str | int | None]


def earlier_set(config: ConfigDict) -> DistilledSet | None:
    """The set that the run starts from, its images sorted by class; None if from none.

    Raises:
      UserError: if it cannot be read, or has other images or another number of them.
    """
    if config.synthetic.init != "set":
        return None
    path = pathlib.Path(config.synthetic.set).expanduser()
    made = distilled_set.read(path)
    wanted = synthetic.classes(config.num_classes, config.ipc)
    order = np.argsort(made.labels, kind="stable")
    shape, classes = made.images.shape[1:], made.label_logits.shape[1]
    asked = tuple(config.image_shape), config.num_classes
    if (shape, classes) != asked or not np.array_equal(made.labels[order], wanted):
        raise UserError(
            f"synthetic.set: {path} holds {len(order)} images of shape {shape} for {classes} "
            f"classes, and the config asks for {config.ipc} images of shape {asked[0]} for each of "
            f"{asked[1]} classes. Start from a set of the same data and images per class."
        )
    own = ("images", "pictures", "label_logits", "labels")
    return made._replace(**{name: getattr(made, name)[order] for name in own})


def initial_set(
    experiment: Experiment,
    data: RunData,
    store: TrajectoryStore | None,
    used: list[int],
    key: jax.Array,
) -> Initial:
    """Makes the first set.

    The store may be None if neither images nor labels depend on the experts `used`.

    Raises:
      UserError: if there are too few training images, or too few that experts get right; those
        of `earlier_set`.
    """
    config = experiment.config
    image_key, label_key = jax.random.split(key)
    classes = synthetic.classes(config.num_classes, config.ipc)
    earlier = earlier_set(config)
    real, expert = None, None
    if earlier is not None:
        images = jnp.asarray(earlier.images_in(*distilled_set.affine(data.preprocessing)))
    elif config.synthetic.init == "noise":
        images = synthetic.noise_images(
            image_key, experiment.num_images, experiment.network.image_shape
        )
    else:
        real, expert = _real_indices(experiment, data, store, used, image_key)
        images = jnp.asarray(data.train[real])
    if earlier is not None and config.synthetic.labels == "set":
        labels = jnp.asarray(earlier.label_logits)
    else:
        labels = _labels(experiment, store, used, label_key, images, classes)
    wrong = int(np.sum(np.argmax(labels, -1) != classes))
    if wrong:  # Such labels cost reduced runs much accuracy.
        console.say(
            f"{wrong} of {len(classes)} soft labels favour a wrong class, as the experts do. To "
            "avoid this, use a later epoch (synthetic.label_epoch), images that experts classify "
            "correctly (synthetic.init=correct) or synthetic.labels=hard."
        )
    step_size = jnp.asarray(config.synthetic.step_size, jnp.float32)
    origin = {
        "images": config.synthetic.set or config.synthetic.init,
        "labels": config.synthetic.labels,
        "expert": expert,
        "epoch": None if expert is None else experiment.label_epoch,
    }
    return Initial(SyntheticSet(images, labels, step_size), real, origin)


def _real_indices(experiment, data, store, used, key) -> tuple[np.ndarray, int | None]:
    """The training images [n] that `synthetic.init` chooses, and the one expert that chose them."""
    config = experiment.config
    wanted = data.dataset.train_labels, config.num_classes, config.ipc
    if config.synthetic.init == "real":
        return synthetic.real_indices(key, *wanted), None

    if config.synthetic.init == "correct":
        images = functools.cache(lambda: data.on_device(config)[0])

        @functools.cache
        def predictions(place: int) -> np.ndarray:
            with console.note(f"finding the training images that expert {used[place]} gets right"):
                params = expert_training.label_snapshot(experiment, store, used[place])
                return _predictions(experiment, params, images())

        return synthetic.correct_indices(key, *wanted, predictions, len(used)), None

    expert_key, choice_key = jax.random.split(key)
    expert = _random_expert(used, expert_key)
    choose = _by_forgetting if experiment.epochs_of_forgetting else _by_features
    return choose(experiment, data, store, expert, choice_key), expert


def _by_features(experiment, data, store, expert, key) -> np.ndarray:
    """The training images [n] that one expert's features of each class choose."""
    config = experiment.config
    init, ipc, clusters = config.synthetic.init, config.ipc, config.synthetic.clusters
    params = expert_training.label_snapshot(experiment, store, expert)
    by_logits = init == "kmeans" and config.synthetic.cluster_by == "logits"
    space = expert_training.logits if by_logits else expert_training.features

    with console.Bar(init, config.num_classes, unit=" classes") as bar:

        def choose(label: int, members: np.ndarray) -> np.ndarray:
            rows = space(experiment, params, data.train[members])
            if init == "herding":
                places = coreset.herding(rows, ipc)
            elif init == "kcenter":
                places = coreset.k_center(rows, ipc)
            else:
                seed = int(jax.random.bits(jax.random.fold_in(key, label)))
                places = coreset.k_means(rows, ipc, clusters, seed)
            bar.to(label + 1)
            return places

        return coreset.per_class(data.dataset.train_labels, config.num_classes, ipc, choose)


def _by_forgetting(experiment, data, store, expert, key) -> np.ndarray:
    """The training images [n] that one expert forgot most or least often from epoch to epoch.

    Among equals the key decides.
    """
    config, labels = experiment.config, data.dataset.train_labels
    epochs = experiment.epochs_of_forgetting
    images, _ = data.on_device(config)
    correct = np.zeros((len(epochs), len(labels)), bool)
    with console.Bar("forgetting", len(epochs), unit=" epochs") as bar:
        for row, epoch in enumerate(epochs):
            (params,) = store.read(expert, [epoch])
            correct[row] = _predictions(experiment, params, images) == labels
            bar.to(row + 1)
    counts = coreset.forgetting_counts(correct)

    def choose(label: int, members: np.ndarray) -> np.ndarray:
        ties = np.asarray(jax.random.permutation(jax.random.fold_in(key, label), len(members)))
        largest = config.synthetic.init == "forgetting"
        return coreset.by_score(counts[members], config.ipc, ties, largest=largest)

    return coreset.per_class(labels, config.num_classes, config.ipc, choose)


def _predictions(experiment, params, images) -> np.ndarray:
    """The classes [m] that weights [P] predict for images [m, h, w, c] in model space."""
    return np.argmax(expert_training.logits(experiment, params, images), -1)


def _labels(experiment, store, used, key, images, classes) -> jax.Array:
    """The label logits [n, k] that `synthetic.labels` chooses."""
    config = experiment.config
    if config.synthetic.labels == "hard":
        return synthetic.hard_labels(classes, config.num_classes)
    if config.synthetic.labels == "onehot":
        return synthetic.onehot_labels(classes, config.num_classes, config.synthetic.label_scale)
    if config.synthetic.labels == "expert":  # One random expert (TESLA).
        params = expert_training.label_snapshot(experiment, store, _random_expert(used, key))
        return jnp.asarray(expert_training.logits(experiment, params, images))
    with console.note(f"soft labels from {len(used)} experts"):  # Those that are right (DATM).
        snapshots = (expert_training.label_snapshot(experiment, store, e) for e in used)
        logits = [expert_training.logits(experiment, params, images) for params in snapshots]
    return synthetic.expert_labels(np.stack(logits), classes)


def _random_expert(used, key) -> int:
    return used[int(jax.random.randint(key, (), 0, len(used)))]
