"""Differentiable augmentation (DSA), as the programs for trajectory matching use it.

Zhao and Bilen, "Dataset Condensation with Differentiable Siamese Augmentation", ICML 2021. A call
draws one of six families with equal probability and applies it to the whole batch, with parameters
drawn for each image. Two calls share nothing, so in trajectory matching the augmentation is not
siamese.

Every operation is affine in the images and takes the random numbers as arguments; `augment` draws
them. All work under jit, scan, grad, jvp and vmap.
"""

import dataclasses
import functools
import math

import chex
import jax
import jax.numpy as jnp
from jax import lax

from dpd_jax.errors import UserError, check_choice, check_range

FAMILIES = ("color", "crop", "cutout", "flip", "scale", "rotate")


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The families of operations and their strengths. The default is DSA's published strategy.

    Attributes:
      families: the families to draw from, names from `FAMILIES`; () is no augmentation.
      brightness: the largest change is half of this, up or down.
      saturation: largest factor on a pixel's distance from its mean over channels.
      contrast: the factor on the distance from the image's mean is in [this, this + 1).
      crop_ratio: largest shift, as a share of the image's height or width.
      cutout_ratio: side of the hole, as a share of the image's shorter side.
      flip_probability: probability of a mirror image.
      scale_ratio: largest factor r on the sampling grid; factors are in [1/r, r).
      rotate_degrees: largest angle, to either side.

    Raises:
      UserError: for an unknown family or a value out of range.
    """

    families: tuple[str, ...] = FAMILIES
    brightness: float = 1.0
    saturation: float = 2.0
    contrast: float = 0.5
    crop_ratio: float = 0.125
    cutout_ratio: float = 0.5
    flip_probability: float = 0.5
    scale_ratio: float = 1.2
    rotate_degrees: float = 15.0

    def __post_init__(self):
        if isinstance(self.families, str):
            raise UserError(
                f"augment.families is the text {self.families!r}; give a tuple of names, "
                f"such as {FAMILIES}."
            )
        # A list (from JSON, for example) is not hashable, as a static argument must be.
        object.__setattr__(self, "families", tuple(self.families))
        for family in self.families:
            check_choice("augment.families", family, FAMILIES)
        check_range("augment.scale_ratio", self.scale_ratio, "[1, inf)")
        for name in ("flip_probability", "crop_ratio", "cutout_ratio"):
            check_range(f"augment.{name}", getattr(self, name), "[0, 1]")


def augment(
    key: jax.Array, images: jax.Array, augmentation: Augmentation, *, shared: bool = False
) -> jax.Array:
    """Applies one randomly drawn family to a batch, with parameters drawn for each image.

    Args:
      key: randomness of the family and its parameters.
      images: [b, h, w, c] in model space; the result has the same shape and dtype.
      augmentation: the families and their strengths; static under jit.
      shared: whether all images have the same parameters. Then two batches that are augmented with
        the same key are augmented in the same way (the siamese form of DSA and DM).
    """
    chex.assert_rank(images, 4)
    if not augmentation.families:
        return images
    family_key, draws_key = jax.random.split(key)
    uniforms = jax.random.uniform(draws_key, (1 if shared else len(images), 3))
    uniforms = jnp.broadcast_to(uniforms, (len(images), 3))
    branches = [
        functools.partial(_APPLY[family], settings=augmentation) for family in augmentation.families
    ]
    family = jax.random.randint(family_key, (), 0, len(branches))
    return lax.switch(family, branches, images, uniforms)


def brightness(images: jax.Array, uniform: jax.Array, strength: float) -> jax.Array:
    """Adds (U - 1/2) * strength to each image [b, h, w, c]; U: [b] in [0, 1)."""
    return images + _per_image((uniform - 0.5) * strength, images)


def saturation(images: jax.Array, uniform: jax.Array, strength: float) -> jax.Array:
    """Multiplies each pixel's distance from its mean over channels by U * strength; U: [b]."""
    grey = jnp.mean(images, axis=3, keepdims=True)
    return (images - grey) * _per_image(uniform * strength, images) + grey


def contrast(images: jax.Array, uniform: jax.Array, strength: float) -> jax.Array:
    """Multiplies each image's distance from its mean by U + strength; U: [b]."""
    mean = jnp.mean(images, axis=(1, 2, 3), keepdims=True)
    return (images - mean) * _per_image(uniform + strength, images) + mean


def crop(images: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Shifts images [b, h, w, c] by rows and columns, integers [b]; zero outside.

    out[y, x] = in[y + row, x + column].
    """
    height, width = images.shape[1:3]
    y, x = jnp.arange(height)[None, :], jnp.arange(width)[None, :]
    return _resample(images, y + rows[:, None], x + columns[:, None])


def cutout(images: jax.Array, rows: jax.Array, columns: jax.Array, side: int) -> jax.Array:
    """Sets a square of each image [b, h, w, c] to zero; it may reach outside the image.

    Its first row and column are centre - side // 2, for centres (rows, columns), integers [b].
    """

    def inside(length: int, centre: jax.Array) -> jax.Array:
        offset = jnp.arange(length)[None, :] - (centre[:, None] - side // 2)
        return (offset >= 0) & (offset < side)

    height, width = images.shape[1:3]
    hole = inside(height, rows)[:, :, None, None] & inside(width, columns)[:, None, :, None]
    return jnp.where(hole, jnp.zeros((), images.dtype), images)


def flip(images: jax.Array, uniform: jax.Array, probability: float) -> jax.Array:
    """Mirrors the images [b, h, w, c] with U < probability left to right; U: [b]."""
    return jnp.where((uniform < probability)[:, None, None, None], images[:, :, ::-1], images)


def scale(images: jax.Array, uniform_x: jax.Array, uniform_y: jax.Array, ratio: float) -> jax.Array:
    """Stretches the sampling grid of images [b, h, w, c] about the centre. Bilinear.

    The factors along a row and a column are uniform in [1/ratio, ratio), from U_x and U_y: [b]. A
    factor above 1 shrinks the content; the border is filled with zeros.
    """

    def sources(length: int, uniform: jax.Array) -> jax.Array:
        factor = uniform * (ratio - 1 / ratio) + 1 / ratio
        middle = (length - 1) / 2
        return factor[:, None] * (jnp.arange(length) - middle)[None, :] + middle

    height, width = images.shape[1:3]
    return _resample(images, sources(height, uniform_y), sources(width, uniform_x))


def rotate(images: jax.Array, uniform: jax.Array, degrees: float) -> jax.Array:
    """Rotates images [b, h, w, c] by (2U - 1) * degrees, counter-clockwise; U: [b]. Bilinear.

    Pixels from outside the image are zero. The gradient is a scatter-add: on a GPU its order of
    summation, and so the last bit of image gradients, is only fixed with
    `--xla_gpu_deterministic_ops`.

    Args:
      images: [b, h, w, c].
      uniform: U, [b] in [0, 1).
      degrees: the largest angle.
    """
    count, height, width, channels = images.shape
    angle = (2 * uniform - 1) * math.radians(degrees)
    cosine, sine = jnp.cos(angle)[:, None, None], jnp.sin(angle)[:, None, None]
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    y = (jnp.arange(height) - middle_y)[None, :, None]
    x = (jnp.arange(width) - middle_x)[None, None, :]
    source_y, source_x = cosine * y + sine * x + middle_y, cosine * x - sine * y + middle_x
    flat = images.reshape(count, height * width, channels)

    def neighbour(below: int, right: int) -> jax.Array:
        row, column = jnp.floor(source_y) + below, jnp.floor(source_x) + right
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        weight = jnp.where(inside, _hat(source_y - row) * _hat(source_x - column), 0)
        index = jnp.where(inside, row * width + column, 0).astype(jnp.int32)
        pixels = jnp.take_along_axis(flat, index.reshape(count, -1, 1), axis=1)
        return weight.reshape(count, -1, 1).astype(images.dtype) * pixels

    total = neighbour(0, 0) + neighbour(0, 1) + neighbour(1, 0) + neighbour(1, 1)
    return total.reshape(images.shape)


def color(images: jax.Array, uniforms: jax.Array, settings: Augmentation) -> jax.Array:
    """Brightness, saturation and contrast, in this order; uniforms: [b, 3] in [0, 1)."""
    images = brightness(images, uniforms[:, 0], settings.brightness)
    images = saturation(images, uniforms[:, 1], settings.saturation)
    return contrast(images, uniforms[:, 2], settings.contrast)


def _crop(images: jax.Array, uniforms: jax.Array, settings: Augmentation) -> jax.Array:
    down, right = (int(length * settings.crop_ratio + 0.5) for length in images.shape[1:3])
    rows = _integers(uniforms[:, 0], 2 * down + 1) - down
    columns = _integers(uniforms[:, 1], 2 * right + 1) - right
    return crop(images, rows, columns)


def _cutout(images: jax.Array, uniforms: jax.Array, settings: Augmentation) -> jax.Array:
    height, width = images.shape[1:3]
    side = int(min(height, width) * settings.cutout_ratio + 0.5)
    # The centre of an even hole lies between pixels, which gives one more position.
    more = 1 - side % 2
    rows, columns = (
        _integers(uniforms[:, 0], height + more),
        _integers(uniforms[:, 1], width + more),
    )
    return cutout(images, rows, columns, side)


# Family -> function of images [b, h, w, c], uniform random numbers [b, 3] and the settings.
_APPLY = {
    "color": color,
    "crop": _crop,
    "cutout": _cutout,
    "flip": lambda x, u, settings: flip(x, u[:, 0], settings.flip_probability),
    "scale": lambda x, u, settings: scale(x, u[:, 0], u[:, 1], settings.scale_ratio),
    "rotate": lambda x, u, settings: rotate(x, u[:, 0], settings.rotate_degrees),
}


def _integers(uniforms: jax.Array, count: int) -> jax.Array:
    """Integers uniform in {0, ..., count - 1}, from uniform numbers in [0, 1)."""
    return jnp.floor(uniforms * count).astype(jnp.int32)


def _per_image(values: jax.Array, images: jax.Array) -> jax.Array:
    return values[:, None, None, None].astype(images.dtype)


def _hat(distance: jax.Array) -> jax.Array:
    """The weight of a neighbour at this distance in linear interpolation."""
    return jnp.maximum(1 - jnp.abs(distance), 0)


def _resample(images: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Interpolates each image bilinearly at rows [b, h] x columns [b, w]; zero outside.

    Two matrix products, whose gradient needs no scatter as that of a gather would. Full precision,
    so that shifts by whole pixels do not change pixel values.
    """

    def weights(sources: jax.Array, length: int) -> jax.Array:
        distance = sources[:, :, None] - jnp.arange(length)[None, None, :]
        return _hat(distance).astype(images.dtype)

    height, width = images.shape[1:3]
    precision = lax.Precision.HIGHEST
    images = jnp.einsum("byi,bijc->byjc", weights(rows, height), images, precision=precision)
    return jnp.einsum("bxj,byjc->byxc", weights(columns, width), images, precision=precision)
