"""How hard each training image is to learn.

EL2N (Paul et al. 2021, "Deep Learning on a Data Diet"), by which PAD orders the
images (its eq. 3): the distance of a network's prediction from
the label, averaged over networks and epochs. The higher, the harder.

No program of the family computes it: PAD's ships orders of GraNd scores.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax import evaluate, experts
from dpd_jax.augment import Augmentation
from dpd_jax.experts import Recipe
from dpd_jax.networks import Network


def el2n(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """|softmax(f(x)) - onehot(y)|_2 of logits [m, k] and labels int [m]: [m], in [0, sqrt(2)]."""
    onehot = jax.nn.one_hot(labels, logits.shape[-1])
    return jnp.linalg.norm(jax.nn.softmax(logits) - onehot, axis=-1)


def measure(
    network: Network,
    recipe: Recipe,
    augmentation: Augmentation,
    images: jax.Array,
    labels: jax.Array,
    keys: jax.Array,
    epochs: tuple[int, ...],
    batch_size: int,
) -> Iterator[tuple[int, np.ndarray | None]]:
    """Trains networks side by side, each as an expert is, on all images, and scores the images.

    Args:
      network, recipe, augmentation: what is trained, and how.
      images, labels: the training set, float32 [n, h, w, c] in model space and int [n].
      keys: one of each network [j].
      epochs: after which to score; not augmented then.
      batch_size: images scored at once; speed only.

    Yields:
      (epoch, None) after each epoch, from 0, until the last of `epochs`, and
      then (that epoch, float32 [j, n]), the mean over `epochs` of each network.
    """
    total = np.zeros((len(keys), len(images)), np.float32)
    last = max(epochs)
    trained = experts.train_many(network, recipe, augmentation, images, labels, keys, last)
    for epoch, params, _ in trained:
        if epoch in epochs:
            for place, own in enumerate(params):
                logits = evaluate.logits(network, own, {}, images, batch_size)
                total[place] += np.asarray(el2n(logits, labels))
        yield epoch, None
    yield last, total / len(set(epochs))


def places(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The place of each image in its class, from 0, the lowest score first; int [n].

    Of equal scores the earlier image comes first.
    """
    order = np.lexsort((scores, labels))  # Stable: by class, then by score.
    starts = np.searchsorted(labels[order], labels[order])
    found = np.empty(len(labels), np.int64)
    found[order] = np.arange(len(labels)) - starts
    return found
