"""Labels and the names of their classes; random choices that are balanced over classes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dpd_jax.data_schedule import rank_within_class
from dpd_jax.errors import UserError, check_range

if TYPE_CHECKING:
    import jax


def class_names(
    where: str, names: Sequence[str] | None, labels: Sequence[np.ndarray]
) -> tuple[str, ...]:
    """The names, or numbers if there are none. The first labels must contain every class.

    Args:
      where: the source of the labels, for messages.
      names: one per class, or None.
      labels: integers of each split, from 0; the training split first.

    Raises:
      UserError: a label has no name, or a class no training image.
    """
    highest = max(int(part.max()) for part in labels)
    if names is not None and highest >= len(names):
        raise UserError(
            f"{where} has labels up to {highest}, but {len(names)} class_names. Give each class a "
            "name, or remove class_names."
        )
    present = np.unique(labels[0])
    count = highest + 1 if names is None else len(names)
    if len(present) < count:
        first = int(np.setdiff1d(np.arange(len(present) + 1), present)[0])
        raise UserError(
            f"{where} has no training image with label {first}, and {len(present)} of {count} "
            "classes in all. Number the classes from 0 without gaps, e.g. with "
            "`np.unique(labels, return_inverse=True)[1]`."
        )
    return tuple(str(i) for i in range(count)) if names is None else tuple(names)


def random_rank(labels: np.ndarray, seed: tuple[int, int]) -> np.ndarray:
    """The rank of each image in a random order of its class, from 0; [n]."""
    order = np.random.default_rng(seed).permutation(len(labels))
    return rank_within_class(labels, np.argsort(order))


def validation_part(labels: np.ndarray, share: float, key: "jax.Array") -> np.ndarray:
    """Which training images are for validation, bool [n]: a random share of each class of int
    labels [n], at least one image.
    """
    import jax  # Reading data needs no JAX.

    rank = rank_within_class(labels, np.asarray(jax.random.permutation(key, len(labels))))
    counts = np.bincount(labels)
    return rank < np.maximum(np.round(share * counts), 1)[labels]


def hold_out(labels: np.ndarray, names: Sequence[str], share: float, seed: int) -> np.ndarray:
    """Which images are kept back as the test set: a share of each class, at least one; bool [n].

    Raises:
      UserError: the share is not in (0, 1), or a class has one image only.
    """
    check_range("data.test_share", share, "(0, 1)")
    sizes = np.bincount(labels, minlength=len(names))
    smallest = int(sizes.argmin())
    if sizes[smallest] < 2:
        raise UserError(
            f'class "{names[smallest]}" has one image, but a test image of each class is to '
            "be kept back. Add images to it, or give the set a test split."
        )
    kept_back = np.clip(np.rint(share * sizes).astype(int), 1, sizes - 1)
    return random_rank(labels, (seed, 2)) < kept_back[labels]
