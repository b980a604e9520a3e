"""EL2N, the difficulty score by which PAD orders the training images (eq. 3).

The score is the distance between prediction and label, averaged over networks and epochs (Paul
et al. 2021, "Deep Learning on a Data Diet"); a high score is a difficult image. PAD's released
program does not compute it: it contains orders by GraNd scores.
"""

from collections.abc import Iterator
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax import evaluate, experts
from dpd_jax.augment import Augmentation
from dpd_jax.experts import Recipe
from dpd_jax.networks import Network


def el2n(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """|softmax(f(x)) - onehot(y)|_2, [m] in [0, sqrt(2)], of logits [m, k] and int labels [m]."""
    chex.assert_shape(labels, (len(logits),))
    onehot = jax.nn.one_hot(labels, logits.shape[-1])
    return jnp.linalg.norm(jax.nn.softmax(logits) - onehot, axis=-1)


def measure(
    network: Network,
    recipe: Recipe,
    augmentation: Augmentation,
    images: Any,
    labels: jax.Array,
    keys: jax.Array,
    epochs: tuple[int, ...],
    batch_size: int,
) -> Iterator[tuple[int, np.ndarray | None]]:
    """Trains networks side by side as experts on all images, and scores the images.

    Args:
      network, recipe, augmentation: what is trained, and how.
      images, labels: the training set, as for `experts.train_many`.
      keys: one key per network [j].
      epochs: the epochs after which the images, not augmented, are scored.
      batch_size: images scored at a time; speed only.

    Yields:
      (epoch, None) after each epoch from 0 to the last of `epochs`, for progress. At the end
      (last epoch, scores): float32 [j, n], the mean over `epochs`.
    """
    total = np.zeros((len(keys), len(images)), np.float32)
    last = max(epochs)
    trained = experts.train_many(network, recipe, augmentation, images, labels, keys, last)
    for epoch, params, _ in trained:
        if epoch in epochs:
            for number, weights in enumerate(params):
                logits = evaluate.logits(network, weights, {}, images, batch_size)
                total[number] += np.asarray(el2n(jnp.asarray(logits), labels))
        yield epoch, None
    yield last, total / len(set(epochs))
