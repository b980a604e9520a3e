"""The ConvNet of the dataset-distillation papers (Zhao & Bilen, 2021).

Every block is convolution 3x3 with bias, norm, activation, pooling 2x2. Layers
are initialised as PyTorch does, since the papers' experts were.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from dpd_jax.errors import UserError
from dpd_jax.networks import convolution as _convolution
from dpd_jax.networks import norm_activate_pool

# PyTorch's constants, part of what these layers mean rather than settings.
EPSILON = 1e-5
STATS_MOMENTUM = 0.1
GROUPS = 4
LEAKY_SLOPE = 0.01

MAX_DEPTH = 10  # block_10 would sort before block_2 in the raveled vector

NORMS = ("instance", "batch", "layer", "group", "none")
ACTIVATIONS: dict[str, Callable] = {
    "relu": nn.relu,
    "leaky_relu": lambda x: nn.leaky_relu(x, LEAKY_SLOPE),
    "sigmoid": nn.sigmoid,
}
SLOPES = {"relu": 0.0, "leaky_relu": LEAKY_SLOPE}  # below zero, of the piecewise linear ones


def _windows(x: jax.Array) -> jax.Array:
    """[b, h, w, c] -> [b, h // 2, 2, w // 2, 2, c]; an odd last row or column is left out."""
    b, h, w, c = x.shape
    x = x[:, : h // 2 * 2, : w // 2 * 2]
    return x.reshape(b, h // 2, 2, w // 2, 2, c)


def _larger(a: jax.Array, b: jax.Array) -> jax.Array:
    """The larger of two arrays, the first of equal ones; NaN if either is NaN."""
    return jnp.where((a >= b) | (a != a), a, b)


def max_pool(x: jax.Array) -> jax.Array:
    """The largest pixel of each 2x2 window, the first of equal ones as in PyTorch.

    `jnp.max` is differentiated by comparing its result with its operand for
    equality. A compiler may compute the operand twice and round it differently;
    then no pixel, or a wrong one, gets the gradient. A choice between two values
    always hands the gradient to one of them.
    """
    x = _windows(x)
    top, bottom = (_larger(x[:, :, i, :, 0], x[:, :, i, :, 1]) for i in (0, 1))
    return _larger(top, bottom)


def average_pool(x: jax.Array) -> jax.Array:
    """The mean of each 2x2 window."""
    return _windows(x).mean((2, 4))


POOLINGS: dict[str, Callable] = {
    "average": average_pool,
    "max": max_pool,
    "none": lambda x: x,
}


def uniform_init(fan_in: int) -> Callable:
    """PyTorch's initialiser of kernels and biases: uniform within 1 / sqrt(fan_in)."""
    bound = fan_in**-0.5

    def init(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

    return init


class Convolution(nn.Module):
    """3x3 convolution with bias: [b, h, w, i] -> [b, h', w', features].

    `centred` says that a mean over pixels is taken off the result: adding the
    bias would change nothing, so it is left out and its gradient is exactly zero.
    """

    features: int
    padding: int
    method: str
    centred: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = uniform_init(9 * x.shape[-1])
        kernel = self.param("kernel", init, (3, 3, x.shape[-1], self.features))
        bias = self.param("bias", init, (self.features,))
        x = _convolution.convolve(x, kernel, padding=self.padding, method=self.method)
        return x if self.centred else x + bias[None, None, None]


class Norm(nn.Module):
    """Normalises maps [b, h, w, c], then scales and shifts them.

    "instance" and "group" share moments over the pixels of one image and a
    group of channels, "layer" over a whole image (with a scale per element),
    "batch" over the batch and pixels. The variance is the biased one.

    `use_running_stats` replaces the moments of "batch" by the collection
    "stats", which is updated whenever it is mutable.
    """

    kind: str

    @nn.compact
    def __call__(self, x: jax.Array, *, use_running_stats: bool) -> jax.Array:
        b, h, w, c = x.shape
        shape = (h, w, c) if self.kind == "layer" else (c,)
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        groups = {"instance": c, "group": GROUPS, "layer": 1, "batch": c}[self.kind]
        axes = (0, 1, 2, 4) if self.kind == "batch" else (1, 2, 4)
        grouped = x.reshape(b, h, w, groups, c // groups)

        if self.kind == "batch" and use_running_stats:
            mean, variance = (
                self.get_variable("stats", name)[None, None, None, :, None]
                for name in ("mean", "variance")
            )
            centred = grouped - mean
        else:
            mean = grouped.mean(axes, keepdims=True)
            # The mean of squares less the squared mean would lose digits here.
            centred = grouped - mean
            variance = jnp.square(centred).mean(axes, keepdims=True)
            if self.kind == "batch":
                self._update_stats(mean.reshape(c), variance.reshape(c), count=b * h * w)

        normalised = (centred * jax.lax.rsqrt(variance + EPSILON)).reshape(x.shape)
        broadcast = (1,) * (x.ndim - scale.ndim) + shape
        return normalised * scale.reshape(broadcast) + bias.reshape(broadcast)

    def _update_stats(self, mean: jax.Array, variance: jax.Array, *, count: int) -> None:
        if not self.is_mutable_collection("stats"):
            return
        unbiased = variance * (count / (count - 1))
        for name, start, value in (("mean", jnp.zeros, mean), ("variance", jnp.ones, unbiased)):
            running = self.variable("stats", name, start, mean.shape)
            if not self.is_initializing():
                running.value += STATS_MOMENTUM * (value - running.value)


class NormActivatePool(nn.Module):
    """`tail.norm_activate_pool` with the parameters of the norm."""

    slope: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        return norm_activate_pool.norm_activate_pool(x, scale, bias, self.slope, EPSILON)


class Block(nn.Module):
    """Convolution, norm, activation, pooling."""

    width: int
    norm: str
    activation: str
    pooling: str
    padding: int
    convolution: str

    @nn.compact
    def __call__(self, x: jax.Array, *, use_running_stats: bool) -> jax.Array:
        x = Convolution(
            self.width, self.padding, self.convolution, self.norm == "instance", name="conv"
        )(x)
        usual = (self.norm, self.pooling) == ("instance", "average") and self.activation in SLOPES
        if usual and norm_activate_pool.fits(x.shape):
            return NormActivatePool(SLOPES[self.activation], name="norm")(x)
        if self.norm != "none":
            x = Norm(self.norm, name="norm")(x, use_running_stats=use_running_stats)
        return POOLINGS[self.pooling](ACTIVATIONS[self.activation](x))


class Linear(nn.Module):
    """[b, i] -> [b, features]."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = uniform_init(x.shape[-1])
        kernel = self.param("kernel", init, (x.shape[-1], self.features))
        bias = self.param("bias", init, (self.features,))
        return x @ kernel + bias[None]


class ConvNet(nn.Module):
    """Images [b, h, w, c] -> logits [b, num_classes]."""

    num_classes: int
    width: int
    depth: int
    norm: str
    activation: str
    pooling: str
    stem_padding: int
    convolution: str

    @nn.compact
    def __call__(self, images: jax.Array, *, use_running_stats: bool) -> jax.Array:
        x = images
        for i in range(self.depth):
            block = Block(
                width=self.width,
                norm=self.norm,
                activation=self.activation,
                pooling=self.pooling,
                padding=self.stem_padding if i == 0 else 1,
                convolution=self.convolution,
                name=f"block_{i}",
            )
            x = block(x, use_running_stats=use_running_stats)
        return Linear(self.num_classes, name="classifier")(x.reshape(x.shape[0], -1))


def build(
    *,
    image_shape: tuple[int, int, int],
    num_classes: int,
    width: int,
    depth: int,
    norm: str,
    activation: str,
    pooling: str,
    stem_padding: int,
    convolution: str,
) -> ConvNet:
    """A ConvNet whose options are known to fit the images.

    Args:
      image_shape: (height, width, channels).
      num_classes: number of logits.
      width: channels of every block.
      depth: number of blocks, at most MAX_DEPTH.
      norm: one of NORMS.
      activation: a name in ACTIVATIONS.
      pooling: a name in POOLINGS.
      stem_padding: zeros around the image before the first convolution; 3
        makes 28x28 images into 32x32 maps, as the papers do.
      convolution: "auto" or a name in convolution.METHODS.

    Raises:
      UserError: for an unknown option, or more blocks than the images allow.
    """
    for option, value, known in (
        ("norm", norm, NORMS),
        ("activation", activation, ACTIVATIONS),
        ("pooling", pooling, POOLINGS),
    ):
        if value not in known:
            raise UserError(f"network.{option} is {value!r}; choose one of {', '.join(known)}.")
    if norm == "group" and width % GROUPS:
        raise UserError(f"network.width is {width}; norm 'group' needs a multiple of {GROUPS}.")
    grown = min(image_shape[:2]) + 2 * (stem_padding - 1)
    deepest = MAX_DEPTH if pooling == "none" else min(MAX_DEPTH, grown.bit_length() - 1)
    if not 1 <= depth <= deepest:
        raise UserError(
            f"network.depth is {depth}; images of {image_shape[0]}x{image_shape[1]} allow "
            f"1 to {deepest} blocks with stem_padding {stem_padding} and pooling {pooling!r}."
        )
    return ConvNet(
        num_classes=num_classes,
        width=width,
        depth=depth,
        norm=norm,
        activation=activation,
        pooling=pooling,
        stem_padding=stem_padding,
        convolution=_convolution.resolve(convolution),
    )
