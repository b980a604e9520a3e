"""The synthetic set and its initialisation.

Images are class-major: all images of class 0 come first, then those of class 1, and so on.

`real_indices` and `correct_indices` choose `ipc` training images of each class, given a key and
the training labels [m]. They return indices [num_classes * ipc], class-major, and raise UserError
if a class is smaller than ipc.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax.errors import UserError


class SyntheticSet(NamedTuple):
    """A distilled set.

    Attributes:
      images: float32 [n, h, w, c] in model space (whitened or normalised).
      labels: logits, float32 [n, k]; their softmax is the label.
      step_size: the student's learning rate alpha, float32 scalar.
    """

    images: jax.Array
    labels: jax.Array
    step_size: jax.Array


def classes(num_classes: int, ipc: int) -> np.ndarray:
    """The class of each synthetic image, int32 [num_classes * ipc]."""
    return np.repeat(np.arange(num_classes, dtype=np.int32), ipc)


def onehot_labels(classes: np.ndarray | jax.Array, num_classes: int, scale: float) -> jax.Array:
    """Logits [n, k], `scale` at the class and 0 elsewhere: soft labels that can be learned."""
    return scale * jax.nn.one_hot(classes, num_classes)


def hard_labels(classes: np.ndarray | jax.Array, num_classes: int) -> jax.Array:
    """Logits [n, k] whose softmax in float32 is exactly the one-hot label."""
    return onehot_labels(classes, num_classes, 1000.0)


def expert_labels(logits: np.ndarray, classes: np.ndarray) -> jax.Array:
    """DATM's soft labels: the mean logits of the experts that classify the image correctly.

    Args:
      logits: z, the logits of every expert on the synthetic images, [e, n, k].
      classes: true classes [n].

    Returns:
      Logits [n, k]: y_i = sum_e 1[e correct on i] z_e(x_i) / sum_e 1[e correct on i]. If no expert
      classifies an image correctly, the mean is over all experts (the released program divides by
      zero there).
    """
    chex.assert_rank(logits, 3)
    chex.assert_shape(classes, (logits.shape[1],))
    correct = np.argmax(logits, -1) == classes[None]
    weights = np.where(correct.any(0), correct, True).astype(np.float32)
    weights /= weights.sum(0)
    return jnp.einsum("en,enk->nk", weights, logits, precision=jax.lax.Precision.HIGHEST)


def class_members(labels: np.ndarray, label: int, ipc: int) -> np.ndarray:
    """The indices of a class; raises UserError if there are fewer than `ipc`."""
    members = np.flatnonzero(labels == label)
    if len(members) < ipc:
        raise UserError(
            f"ipc = {ipc} asks for more real images than class {label} has in the training data "
            f"({len(members)}). Lower ipc, or use more data (data.train_per_class)."
        )
    return members


def _shuffled_class(key: jax.Array, labels: np.ndarray, label: int, ipc: int) -> np.ndarray:
    members = class_members(labels, label, ipc)
    order = jax.random.permutation(jax.random.fold_in(key, label), len(members))
    return members[np.asarray(order)]


def real_indices(key: jax.Array, labels: np.ndarray, num_classes: int, ipc: int) -> np.ndarray:
    """Random training images."""
    return np.concatenate(
        [_shuffled_class(key, labels, label, ipc)[:ipc] for label in range(num_classes)]
    )


def correct_indices(
    key: jax.Array,
    labels: np.ndarray,
    num_classes: int,
    ipc: int,
    predictions: Callable[[int], np.ndarray],
    num_experts: int,
) -> np.ndarray:
    """Random training images that an expert classifies correctly (DATM).

    Expert 0 selects first. If it classifies too few images of a class correctly, the next expert
    adds images, and also selects for the following classes, as in the released program.

    Args:
      key, labels, num_classes, ipc: as above.
      predictions: expert -> its predicted classes of all training images [m].
      num_experts: how many experts there are.

    Raises:
      UserError: also if all experts together classify too few images of a class correctly.
    """
    chosen, expert = [], 0
    for label in range(num_classes):
        order = _shuffled_class(key, labels, label, ipc)
        found: list[int] = []
        for _ in range(num_experts):
            correct = order[predictions(expert)[order] == label]
            found += [i for i in correct.tolist() if i not in found][: ipc - len(found)]
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


def noise_images(key: jax.Array, num_images: int, image_shape: tuple[int, ...]) -> jax.Array:
    """Standard normal images [n, h, w, c] in model space."""
    return jax.random.normal(key, (num_images, *image_shape))
