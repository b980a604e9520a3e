"""8-bit images, seen in model space: on the host (`ModelImages`) and on the device."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax.datasets import whitening
from dpd_jax.datasets.whitening import Preprocessing

FORMS = ("auto", "float32", "bytes")

_ROWS_AT_ONCE = 4000
_FLOAT32_BYTES = 1e9  # of images that "auto" keeps in float32 on any device
_FLOAT32_SHARE = 1 / 8  # of the memory of an accelerator, which is larger


class ModelImages:
    """Reads as a float32 array [n, h, w, c] in model space, but keeps one byte a value.

    `images[rows]`, with an index as for numpy, brings only these rows into model space. For passes
    over all images `on_device` is faster.

    Attributes:
      shape: (n, h, w, c).
    """

    def __init__(self, preprocessing: Preprocessing, images: np.ndarray):
        """Of images uint8 [n, h, w, c], which are shared and not copied."""
        self.preprocessing = preprocessing
        self.pixels = images
        self.shape = images.shape
        self.ndim = images.ndim

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows) -> np.ndarray:
        chosen = self.pixels[rows]
        images = chosen.reshape(-1, *self.shape[1:])
        return whitening.transform(self.preprocessing, images).reshape(chosen.shape)


class _OnDevice:
    """Images [n, h, w, c] that jitted functions take as an argument and read as `images[rows]`."""

    shape: tuple[int, ...]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DeviceImages(_OnDevice):
    """8-bit images on the device; `images[rows]`, float32 [..., h, w, c], is in model space.

    Attributes:
      pixels: uint8 [n, h, w, c].
      values: float32 [256, g], what each byte becomes at each of g places. Looked up, the values
        are those of `whitening.transform` to the bit, whatever the compiler does.
      matrix: float32 [g, g], by which g values are then multiplied together; None if g = c.
    """

    pixels: jax.Array
    values: jax.Array
    matrix: jax.Array | None

    @classmethod
    def of(cls, mean: np.ndarray, matrix: np.ndarray, images: np.ndarray) -> "DeviceImages":
        """Of raw images uint8 [n, h, w, c], and `mean` and `matrix` of a `Preprocessing`."""
        pixels = jax.device_put(images)  # On a CPU not copied, if they begin at a multiple of 64.
        values = np.arange(256, dtype=np.float32)[:, None] / np.float32(255) - mean
        if matrix.ndim == 1:
            return cls(pixels, jnp.asarray(values * matrix), None)
        return cls(pixels, jnp.asarray(values), jnp.asarray(matrix))

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.pixels.shape

    def __getitem__(self, rows: Any) -> jax.Array:
        return _entered(self, rows)


@jax.jit
def _entered(images: DeviceImages, rows: Any) -> jax.Array:
    chosen = images.pixels[rows]
    size = images.values.shape[1]
    groups = images.values[chosen.reshape(-1, size), jnp.arange(size)]
    if images.matrix is not None:
        groups = jnp.matmul(groups, images.matrix, precision="highest")
    return groups.reshape(chosen.shape)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class JoinedImages(_OnDevice):
    """Images `first` [f, h, w, c], float32 in model space, and after them those of `rest`."""

    first: jax.Array
    rest: DeviceImages

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return (len(self.first) + len(self.rest), *self.first.shape[1:])

    def __getitem__(self, rows: Any) -> jax.Array:
        before = len(self.first)
        chosen = self.rest[jnp.maximum(rows - before, 0)]
        first = self.first[jnp.minimum(rows, before - 1)]
        return jnp.where((rows < before)[..., None, None, None], first, chosen)


def stay_bytes(shape: tuple[int, ...], form: str) -> bool:
    """Whether images of this shape [n, h, w, c] stay bytes on the device.

    `form` is one of FORMS; "auto" is float32 up to 1 GB, or an eighth of an accelerator's memory.
    """
    if form != "auto":
        return form == "bytes"
    device = jax.local_devices()[0]
    known = None if device.platform == "cpu" else device.memory_stats()
    share = _FLOAT32_SHARE * (known or {}).get("bytes_limit", 0)
    return 4 * math.prod(shape) > max(_FLOAT32_BYTES, share)


def on_device(images: ModelImages, form: str = "float32") -> jax.Array | DeviceImages:
    """All images on the device, float32 in model space or as bytes (see `stay_bytes`).

    On the host float32 is there only for a part of them at a time.
    """
    if stay_bytes(images.shape, form):
        return DeviceImages.of(
            images.preprocessing.mean, images.preprocessing.matrix, images.pixels
        )
    if len(images) <= _ROWS_AT_ONCE:
        return jnp.asarray(images[:])
    whole = jnp.zeros(images.shape, jnp.float32)
    for start in range(0, len(images), _ROWS_AT_ONCE):
        whole = _placed(whole, images[start : start + _ROWS_AT_ONCE], start)
    return whole


def joined(first: np.ndarray, images: jax.Array | DeviceImages) -> jax.Array | JoinedImages:
    """Images float32 [f, h, w, c] in model space, and after them those of `on_device`."""
    if isinstance(images, DeviceImages):
        return JoinedImages(jnp.asarray(first), images)
    return jnp.concatenate([first, images])


@functools.partial(jax.jit, donate_argnums=0)
def _placed(whole: jax.Array, part: jax.Array, start: int) -> jax.Array:
    return jax.lax.dynamic_update_slice_in_dim(whole, part, start, 0)
