"""What networks are trained on to be compared: distilled sets, random real images, all images."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax import synthetic
from dpd_jax.datasets import model_images
from dpd_jax.datasets.labels import validation_part
from dpd_jax.datasets.loading import Dataset
from dpd_jax.datasets.model_images import DeviceImages
from dpd_jax.runs import keys
from dpd_jax.runs.experiment import Experiment
from dpd_jax.storage.distilled_set import DistilledSet

# [n, h, w, c] in model space, label logits [n, k]
Images = tuple[np.ndarray | jax.Array | DeviceImages, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Space:
    """A model space: that of a distilled set, to which real images are brought.

    Attributes:
      name: "zca" or "per_channel".
      digest: a hash of its mean and matrix.
      enter: raw images, uint8 [m, h, w, c] -> float32 [m, h, w, c].
      affine: its mean [g] and matrix [g, g].
    """

    name: str
    digest: str
    enter: Callable[[np.ndarray], np.ndarray]
    affine: tuple[np.ndarray, np.ndarray] = dataclasses.field(compare=False)  # `digest` tells

    @classmethod
    def of(cls, made: DistilledSet) -> "Space":
        digest = hashlib.sha256(made.mean.tobytes() + made.matrix.tobytes()).hexdigest()[:16]
        channels = made.images.shape[-1]
        name = "per_channel" if made.mean.size == channels else "zca"
        return cls(name, digest, made.to_model_space, (made.mean, made.matrix))

    def on_device(self, images: np.ndarray, form: str) -> jax.Array | DeviceImages:
        """Raw images on the device, float32 or bytes as `model_images.stay_bytes` says."""
        if not model_images.stay_bytes(images.shape, form):
            return jnp.asarray(self.enter(images))
        mean, matrix = self.affine
        factors = np.diagonal(matrix)
        diagonal = self.name == "per_channel" and np.array_equal(matrix, np.diag(factors))
        return DeviceImages.of(mean, factors if diagonal else matrix, images)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Something that networks are trained on.

    Attributes:
      name: in the table.
      identity: what determines it, for the store of results.
      num_images: n.
      learning_rate: before the drop.
      label_kind: "soft" or "hard".
      space: of its images.
      draw: number of the network -> its images and labels.
      redrawn: whether each network has images of its own.
      is_whole: whether it is the whole training set, whose results all sets share.
    """

    name: str
    identity: str
    num_images: int
    learning_rate: float
    label_kind: str
    space: Space
    draw: Callable[[int], Images]
    redrawn: bool = False
    is_whole: bool = False


def of_set(name: str, made: DistilledSet, experiment: Experiment) -> Candidate:
    """A distilled set with its labels, at `evaluate.learning_rate` or its own step size."""
    certain = np.max(np.asarray(jax.nn.softmax(made.label_logits)), 1) > 1 - 1e-6
    return Candidate(
        name,
        made.provenance["sha256"],
        len(made.images),
        experiment.config.evaluate.learning_rate or float(made.step_size),
        "hard" if certain.all() else "soft",
        Space.of(made),
        lambda _: (made.images, made.label_logits),
    )


def per_class(made: DistilledSet) -> int:
    """The images of a set's largest class."""
    return int(np.bincount(made.labels).max())


def with_hard_labels(candidate: Candidate, made: DistilledSet) -> Candidate:
    """A set's candidate with the class of each image as its label."""
    if candidate.label_kind == "hard":
        return candidate
    labels = _hard(made.labels, made.label_logits.shape[1])
    return dataclasses.replace(candidate, label_kind="hard", draw=lambda _: (made.images, labels))


def random_real(
    like: Candidate,
    per_class: int,
    dataset: Dataset,
    experiment: Experiment,
    without: np.ndarray | None = None,
) -> Candidate:
    """As many random real images as a set has, drawn anew for each network, with hard labels.

    Args:
      like: the set's candidate; gives the learning rate, but for
        `evaluate.random_real_learning_rate`.
      per_class: images of each class.
      dataset: has the images.
      experiment: gives the seed.
      without: indices of training images that are not drawn.

    Raises:
      UserError: if a class is smaller than `per_class`.
    """
    config = experiment.config
    root = jax.random.fold_in(jax.random.key(config.seed), keys.RANDOM_REAL)
    pool = np.arange(len(dataset.train_labels))
    if without is not None:
        pool = np.setdiff1d(pool, without)
    labels = dataset.train_labels[pool]
    for label in range(config.num_classes):
        synthetic.class_members(labels, label, per_class)

    def draw(number: int) -> Images:
        chosen = synthetic.real_indices(
            jax.random.fold_in(root, number), labels, config.num_classes, per_class
        )
        images = like.space.enter(dataset.train_images[pool[chosen]])
        return images, _hard(labels[chosen], config.num_classes)

    drawn = "" if without is None else f" of {len(pool)}"
    return Candidate(
        f"random real, {per_class} per class",
        f"random real, {per_class} per class{drawn}",
        per_class * config.num_classes,
        config.evaluate.random_real_learning_rate or like.learning_rate,
        "hard",
        like.space,
        draw,
        redrawn=True,
    )


def whole(space: Space, dataset: Dataset, experiment: Experiment) -> Candidate:
    """The whole training set with hard labels, at a learning rate that no set decides."""
    config = experiment.config

    @functools.cache
    def images() -> Images:
        entered = space.on_device(dataset.train_images, config.data.device_images)
        return entered, _hard(dataset.train_labels, config.num_classes)

    return Candidate(
        "whole training set",
        "whole",
        len(dataset.train_labels),
        config.evaluate.learning_rate or config.judging.whole_learning_rate,
        "hard",
        space,
        lambda _: images(),
        is_whole=True,
    )


def validation_indices(dataset: Dataset, experiment: Experiment) -> np.ndarray:
    """Random training images that choose learning rates: `judging.validation_share` of a class."""
    config = experiment.config
    root = jax.random.fold_in(jax.random.key(config.seed), keys.VALIDATION)
    share = config.judging.validation_share
    return np.flatnonzero(validation_part(dataset.train_labels, share, root))


def _hard(classes: np.ndarray, num_classes: int) -> np.ndarray:
    return np.asarray(synthetic.hard_labels(classes, num_classes))
