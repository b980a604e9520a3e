"""8-bit images, seen in model space."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax.datasets import whitening
from dpd_jax.datasets.whitening import Preprocessing

_ROWS_AT_ONCE = 4000


class ModelImages:
    """Reads as a float32 array [n, h, w, c] in model space, but keeps one byte a value.

    `images[rows]`, with an index as for numpy, brings only these rows into model space. For passes
    over all images `on_device` is faster.

    Attributes:
      shape: (n, h, w, c).
    """

    def __init__(self, preprocessing: Preprocessing, images: np.ndarray):
        """Of images uint8 [n, h, w, c], which are shared and not copied."""
        self._preprocessing = preprocessing
        self._images = images
        self.shape = images.shape
        self.ndim = images.ndim

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, rows) -> np.ndarray:
        chosen = self._images[rows]
        images = chosen.reshape(-1, *self.shape[1:])
        return whitening.transform(self._preprocessing, images).reshape(chosen.shape)


def on_device(images: ModelImages | np.ndarray) -> jax.Array:
    """All images in model space on the device; on the host only a part of them at a time."""
    if len(images) <= _ROWS_AT_ONCE:
        return jnp.asarray(images[:])
    whole = jnp.zeros(images.shape, jnp.float32)
    for start in range(0, len(images), _ROWS_AT_ONCE):
        whole = _placed(whole, images[start : start + _ROWS_AT_ONCE], start)
    return whole


@functools.partial(jax.jit, donate_argnums=0)
def _placed(whole: jax.Array, part: jax.Array, start: int) -> jax.Array:
    return jax.lax.dynamic_update_slice_in_dim(whole, part, start, 0)
