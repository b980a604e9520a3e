"""The synthetic set: the only thing that is learned, and where it starts.

Images are class-major: all of class 0, then all of class 1, and so on.
"""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax.errors import UserError

# A one-hot vector times this has, in float32, exactly the one-hot vector as its softmax.
_CERTAIN = 1000.0


class SyntheticSet(NamedTuple):
    """A distilled set.

    Attributes:
      images: [n, h, w, c] float32 in model space (whitened or normalised).
      labels: [n, k] float32 logits; softmax makes probabilities of them.
      step_size: the student's learning rate alpha, a float32 scalar.
    """

    images: jax.Array
    labels: jax.Array
    step_size: jax.Array


def classes(num_classes: int, ipc: int) -> np.ndarray:
    """The class of each synthetic image, int32 [num_classes * ipc]."""
    return np.repeat(np.arange(num_classes, dtype=np.int32), ipc)


def hard_labels(classes: np.ndarray, num_classes: int) -> jax.Array:
    """Logits [n, k] whose softmax is exactly the one-hot label."""
    return _CERTAIN * jax.nn.one_hot(classes, num_classes)


def onehot_labels(classes: np.ndarray, num_classes: int, scale: float) -> jax.Array:
    """Logits [n, k] of `scale` at the class and 0 elsewhere: a soft start that can be learned."""
    return scale * jax.nn.one_hot(classes, num_classes)


def expert_labels(logits: np.ndarray, classes: np.ndarray) -> jax.Array:
    """DATM's soft labels: experts' logits averaged over those that are right.

    Args:
      logits: [e, n, k], every expert's logits on the synthetic images.
      classes: true classes [n].

    Returns:
      Logits [n, k]: y_i = sum_e 1[e right on i] z_e(x_i) / sum_e 1[e right on i].
      An image no expert gets right takes the mean over all experts (the
      released program divides by zero there).
    """
    right = np.argmax(logits, -1) == classes[None]
    weights = np.where(right.any(0), right, True).astype(np.float32)
    weights /= weights.sum(0)
    return jnp.einsum("en,enk->nk", weights, logits)


def _members(labels: np.ndarray, label: int, ipc: int) -> np.ndarray:
    """Indices of a class that has at least `ipc` images."""
    members = np.flatnonzero(labels == label)
    if len(members) < ipc:
        raise UserError(
            f"ipc = {ipc} asks for more real images than class {label} has in the training data "
            f"({len(members)}). Lower ipc, or use more data (data.train_per_class)."
        )
    return members


def _shuffled_class(key: jax.Array, labels: np.ndarray, label: int, ipc: int) -> np.ndarray:
    members = _members(labels, label, ipc)
    order = jax.random.permutation(jax.random.fold_in(key, label), len(members))
    return members[np.asarray(order)]


def real_indices(key: jax.Array, labels: np.ndarray, num_classes: int, ipc: int) -> np.ndarray:
    """Indices [num_classes * ipc] of `ipc` random training images a class, class-major.

    Raises:
      UserError: if a class is smaller than ipc.
    """
    chosen = [_shuffled_class(key, labels, c, ipc)[:ipc] for c in range(num_classes)]
    return np.concatenate(chosen)


def correct_indices(
    key: jax.Array,
    labels: np.ndarray,
    num_classes: int,
    ipc: int,
    predictions: Callable[[int], np.ndarray],
    num_experts: int,
) -> np.ndarray:
    """Indices of random training images that an expert classifies correctly (DATM).

    Classes are searched in order. Expert 0 selects first; where a class has too
    few images it gets right, the next expert adds its own, and stays the
    selector for the classes after, as in the released program.

    Args:
      key: randomness of the order within each class.
      labels: training labels [m].
      num_classes, ipc: how many to choose.
      predictions: expert -> its predicted classes of all training images [m].
      num_experts: how many experts there are to ask.

    Raises:
      UserError: if a class is smaller than ipc, or all experts together get
        too few of its images right.
    """
    chosen, expert = [], 0
    for label in range(num_classes):
        order = _shuffled_class(key, labels, label, ipc)
        found: list[int] = []
        for _ in range(num_experts):
            right = order[predictions(expert)[order] == label]
            found += [i for i in right.tolist() if i not in found][: ipc - len(found)]
            if len(found) == ipc:
                break
            expert = (expert + 1) % num_experts
        else:
            raise UserError(
                f"synthetic.init=correct: the {num_experts} experts together classify only "
                f"{len(found)} training images of class {label} correctly, fewer than ipc = {ipc}. "
                "Train the experts longer, or start from random real images (synthetic.init=real)."
            )
        chosen.append(np.array(found))
    return np.concatenate(chosen)


def representative_indices(
    key: jax.Array,
    labels: np.ndarray,
    num_classes: int,
    ipc: int,
    features: Callable[[np.ndarray], np.ndarray],
    clusters: int,
) -> np.ndarray:
    """Indices of training images that stand for the clusters of their class (AST, 3.2.1).

    K-means divides the features of each class; the images nearest to each centre
    are chosen. Clusters are served in turn, the largest first, so that any ipc
    works and no image comes twice: with as many clusters as ipc each gives its
    nearest, with 10 clusters and ipc 50 each gives five.

    The paper has K = ipc, but 10 at 50 images per class. The released program
    has 10 always, and int(ipc / 10) images of each: none at all below ipc 10.

    Args:
      key: randomness of the centres K-means begins with.
      labels: training labels [m].
      num_classes, ipc: how many to choose.
      features: indices [j] -> vectors [j, d] of these training images.
      clusters: K, of each class; 0 means ipc, and more than ipc count as ipc.

    Returns:
      Indices [num_classes * ipc], class-major; within a class the nearest image of
      every cluster comes before the second nearest of any.

    Raises:
      UserError: if a class is smaller than ipc.
    """
    chosen = []
    for label in range(num_classes):
        members = _members(labels, label, ipc)
        seed = int(jax.random.bits(jax.random.fold_in(key, label)))
        count = min(clusters or ipc, ipc)
        ranked = _nearest_first(np.asarray(features(members)), count, seed)
        in_turn = [c[place] for place in range(len(members)) for c in ranked if place < len(c)]
        chosen.append(members[in_turn[:ipc]])
    return np.concatenate(chosen)


def _nearest_first(features: np.ndarray, clusters: int, seed: int) -> list[np.ndarray]:
    """The clusters of points [m, d], largest first, each as indices from its centre outwards."""
    from sklearn import cluster  # Takes a second to import, and only this needs it.

    with warnings.catch_warnings():
        # Fewer distinct points than clusters leave empty ones, which is no harm here.
        warnings.filterwarnings("ignore", message="Number of distinct clusters")
        means = cluster.KMeans(clusters, n_init=1, random_state=seed).fit(features)
    apart = np.linalg.norm(features - means.cluster_centers_[means.labels_], axis=1)
    order = np.argsort(apart, kind="stable")
    found = [order[means.labels_[order] == c] for c in range(clusters)]
    return sorted(found, key=len, reverse=True)


def noise_images(key: jax.Array, num_images: int, image_shape: tuple[int, ...]) -> jax.Array:
    """Standard normal images [n, h, w, c] in model space."""
    return jax.random.normal(key, (num_images, *image_shape))
