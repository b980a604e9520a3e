"""Differentiable augmentation, as every trajectory-matching program applies it.

This is DSA (Zhao and Bilen, "Dataset Condensation with Differentiable Siamese
Augmentation", ICML 2021) in the form its successors run: a call draws ONE of
the six families, each equally likely, and applies it to the whole batch with
parameters drawn for each image alone. Nothing is shared between calls, so
nothing is siamese.

Every operation is affine in the images and takes its draws as arguments;
`augment` makes the draws. There are no data-dependent shapes and no custom
derivatives, so each may be traced under jit, scan, grad, jvp and vmap.
"""

import dataclasses
import difflib
import math

import jax
import jax.numpy as jnp
from jax import lax

from dpd_jax.errors import UserError

FAMILIES = ("color", "crop", "cutout", "flip", "scale", "rotate")


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Which families are drawn from, and how strong each is. Raises UserError.

    Attributes:
      families: the families to draw from, some of FAMILIES; () leaves images alone.
      brightness: an image is shifted by at most half of this, up or down.
      saturation: the largest factor on a pixel's distance from its grey.
      contrast: factors on the distance from the image's mean are in [this, this + 1).
      crop_ratio: the largest shift, as a share of the side.
      cutout_ratio: the side of the hole, as a share of the image's.
      flip_probability: the chance of a mirror image.
      scale_ratio: the largest factor r on the sampling grid; factors are in [1/r, r).
      rotate_degrees: the largest angle, either way.
    """

    families: tuple[str, ...]
    brightness: float
    saturation: float
    contrast: float
    crop_ratio: float
    cutout_ratio: float
    flip_probability: float
    scale_ratio: float
    rotate_degrees: float

    def __post_init__(self):
        if isinstance(self.families, str):
            raise UserError(
                f"augment.families is the text {self.families!r}; give a tuple of names, "
                f"such as {FAMILIES}."
            )
        # Lists arrive from JSON and the command line; a static argument must be hashable.
        object.__setattr__(self, "families", tuple(self.families))
        for family in self.families:
            if family not in FAMILIES:
                near = difflib.get_close_matches(str(family), FAMILIES, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise UserError(
                    f"augment.families names {family!r}, which is no augmentation.{hint} "
                    f"Known: {', '.join(FAMILIES)}."
                )
        self._require("scale_ratio", self.scale_ratio >= 1, "at least 1")
        self._require("flip_probability", 0 <= self.flip_probability <= 1, "between 0 and 1")
        for name in ("crop_ratio", "cutout_ratio"):
            self._require(name, 0 <= getattr(self, name) <= 1, "between 0 and 1")

    def _require(self, name: str, satisfied: bool, rule: str):
        if not satisfied:
            raise UserError(f"augment.{name} is {getattr(self, name)}; it must be {rule}.")


def augment(key: jax.Array, images: jax.Array, augmentation: Augmentation) -> jax.Array:
    """Applies one randomly drawn family to a batch, with draws for each image alone.

    Args:
      key: consumed, unless there is no family to draw from.
      images: [b, h, w, c] in model space, h = w.
      augmentation: static.

    Returns:
      The augmented images, shape and dtype unchanged.

    Raises:
      UserError: the images are not square.
    """
    if not augmentation.families:
        return images
    count, height, width, _ = images.shape
    if height != width:
        raise UserError(
            f"The images are {height}x{width}, and augmentation takes square ones. Crop, pad or "
            "resize the data set to a square, or set augment.families=()."
        )
    family_key, draws_key = jax.random.split(key)
    uniforms = jax.random.uniform(draws_key, (count, 3))
    branches = [
        lambda x, u, apply=_APPLY[family]: apply(x, u, augmentation)
        for family in augmentation.families
    ]
    family = jax.random.randint(family_key, (), 0, len(branches))
    return lax.switch(family, branches, images, uniforms)


def brightness(images: jax.Array, uniform: jax.Array, strength: float) -> jax.Array:
    """Shifts each image [b, h, w, c] by (U - 1/2) * strength; U: [b] in [0, 1)."""
    return images + _per_image((uniform - 0.5) * strength, images)


def saturation(images: jax.Array, uniform: jax.Array, strength: float) -> jax.Array:
    """Multiplies each pixel's distance from its mean over channels by U * strength."""
    grey = jnp.mean(images, axis=3, keepdims=True)
    return (images - grey) * _per_image(uniform * strength, images) + grey


def contrast(images: jax.Array, uniform: jax.Array, strength: float) -> jax.Array:
    """Multiplies each image's distance from its mean by U + strength."""
    mean = jnp.mean(images, axis=(1, 2, 3), keepdims=True)
    return (images - mean) * _per_image(uniform + strength, images) + mean


def color(
    images: jax.Array,
    uniforms: tuple[jax.Array, jax.Array, jax.Array],
    *,
    brightness_strength: float,
    saturation_strength: float,
    contrast_strength: float,
) -> jax.Array:
    """Brightness, saturation and contrast in this order, each with its own U: [b]."""
    images = brightness(images, uniforms[0], brightness_strength)
    images = saturation(images, uniforms[1], saturation_strength)
    return contrast(images, uniforms[2], contrast_strength)


def crop(images: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Shifts each image: out[y, x] = in[y + row, x + column], zero outside.

    Args:
      images: [b, h, w, c].
      rows, columns: integers [b].
    """
    height, width = images.shape[1:3]
    y, x = jnp.arange(height)[None, :], jnp.arange(width)[None, :]
    return _resample(images, y + rows[:, None], x + columns[:, None])


def cutout(images: jax.Array, rows: jax.Array, columns: jax.Array, side: int) -> jax.Array:
    """Sets to zero the square whose first row is row - side // 2, and so for columns.

    Args:
      images: [b, h, w, c].
      rows, columns: integers [b], the centres; the square may reach outside.
      side: in pixels.
    """

    def inside(length: int, centre: jax.Array) -> jax.Array:
        offset = jnp.arange(length)[None, :] - (centre[:, None] - side // 2)
        return (offset >= 0) & (offset < side)

    height, width = images.shape[1:3]
    hole = inside(height, rows)[:, :, None, None] & inside(width, columns)[:, None, :, None]
    return jnp.where(hole, jnp.zeros((), images.dtype), images)


def flip(images: jax.Array, uniform: jax.Array, probability: float) -> jax.Array:
    """Mirrors left and right the images [b, h, w, c] with U < probability; U: [b]."""
    return jnp.where((uniform < probability)[:, None, None, None], images[:, :, ::-1], images)


def scale(images: jax.Array, uniform_x: jax.Array, uniform_y: jax.Array, ratio: float) -> jax.Array:
    """Stretches the sampling grid about the centre by s_x and s_y, uniform in [1/ratio, ratio).

    A factor above 1 shrinks the content, and zeros come in at the border. Bilinear.

    Args:
      images: [b, h, w, c].
      uniform_x, uniform_y: [b] in [0, 1); x runs along a row.
      ratio: at least 1.
    """

    def sources(length: int, uniform: jax.Array) -> jax.Array:
        factor = uniform * (ratio - 1 / ratio) + 1 / ratio
        middle = (length - 1) / 2
        return factor[:, None] * (jnp.arange(length) - middle)[None, :] + middle

    height, width = images.shape[1:3]
    return _resample(images, sources(height, uniform_y), sources(width, uniform_x))


def rotate(images: jax.Array, uniform: jax.Array, degrees: float) -> jax.Array:
    """Rotates about the centre by (2U - 1) * degrees, counter-clockwise as seen. Bilinear.

    Zeros come in from outside. Its transpose is a scatter-add: on a GPU the
    order of its sums, and so the last bit of image gradients, is fixed only
    under `--xla_gpu_deterministic_ops`.

    Args:
      images: [b, n, n, c].
      uniform: [b] in [0, 1).
      degrees: the largest angle.
    """
    count, size, _, channels = images.shape
    angle = (2 * uniform - 1) * math.radians(degrees)
    cosine, sine = jnp.cos(angle)[:, None, None], jnp.sin(angle)[:, None, None]
    middle = (size - 1) / 2
    y = (jnp.arange(size) - middle)[None, :, None]
    x = (jnp.arange(size) - middle)[None, None, :]
    source_y, source_x = cosine * y + sine * x + middle, cosine * x - sine * y + middle
    flat = images.reshape(count, size * size, channels)

    def neighbour(below: int, right: int) -> jax.Array:
        row, column = jnp.floor(source_y) + below, jnp.floor(source_x) + right
        inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
        weight = jnp.where(inside, _hat(source_y - row) * _hat(source_x - column), 0)
        index = jnp.where(inside, row * size + column, 0).astype(jnp.int32)
        pixels = jnp.take_along_axis(flat, index.reshape(count, -1, 1), axis=1)
        return weight.reshape(count, -1, 1).astype(images.dtype) * pixels

    total = neighbour(0, 0) + neighbour(0, 1) + neighbour(1, 0) + neighbour(1, 1)
    return total.reshape(images.shape)


def _color(images: jax.Array, uniforms: jax.Array, settings: Augmentation) -> jax.Array:
    return color(
        images,
        (uniforms[:, 0], uniforms[:, 1], uniforms[:, 2]),
        brightness_strength=settings.brightness,
        saturation_strength=settings.saturation,
        contrast_strength=settings.contrast,
    )


def _crop(images: jax.Array, uniforms: jax.Array, settings: Augmentation) -> jax.Array:
    most = int(images.shape[1] * settings.crop_ratio + 0.5)
    shifts = _integers(uniforms, 2 * most + 1) - most
    return crop(images, shifts[:, 0], shifts[:, 1])


def _cutout(images: jax.Array, uniforms: jax.Array, settings: Augmentation) -> jax.Array:
    size = images.shape[1]
    side = int(size * settings.cutout_ratio + 0.5)
    # An even hole has its centre between pixels: one more place for it.
    centres = _integers(uniforms, size + 1 - side % 2)
    return cutout(images, centres[:, 0], centres[:, 1], side)


def _flip(images: jax.Array, uniforms: jax.Array, settings: Augmentation) -> jax.Array:
    return flip(images, uniforms[:, 0], settings.flip_probability)


def _scale(images: jax.Array, uniforms: jax.Array, settings: Augmentation) -> jax.Array:
    return scale(images, uniforms[:, 0], uniforms[:, 1], settings.scale_ratio)


def _rotate(images: jax.Array, uniforms: jax.Array, settings: Augmentation) -> jax.Array:
    return rotate(images, uniforms[:, 0], settings.rotate_degrees)


_APPLY = {
    "color": _color,
    "crop": _crop,
    "cutout": _cutout,
    "flip": _flip,
    "scale": _scale,
    "rotate": _rotate,
}


def _integers(uniforms: jax.Array, count: int) -> jax.Array:
    """Uniform draws in [0, 1) as integers uniform in {0, ..., count - 1}."""
    return jnp.floor(uniforms * count).astype(jnp.int32)


def _per_image(values: jax.Array, images: jax.Array) -> jax.Array:
    return values[:, None, None, None].astype(images.dtype)


def _hat(distance: jax.Array) -> jax.Array:
    """The weight linear interpolation gives a neighbour at this distance."""
    return jnp.maximum(1 - jnp.abs(distance), 0)


def _resample(images: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Reads each image at rows [b, h] x columns [b, w], bilinearly, zero outside.

    Two matrix products with hat weights: unlike a gather's, their transpose is
    no scatter. Full precision, so that whole shifts move pixels unchanged.
    """

    def weights(sources: jax.Array, length: int) -> jax.Array:
        distance = sources[:, :, None] - jnp.arange(length)[None, None, :]
        return _hat(distance).astype(images.dtype)

    height, width = images.shape[1:3]
    precision = lax.Precision.HIGHEST
    images = jnp.einsum("byi,bijc->byjc", weights(rows, height), images, precision=precision)
    return jnp.einsum("bxj,byjc->byxc", weights(columns, width), images, precision=precision)
