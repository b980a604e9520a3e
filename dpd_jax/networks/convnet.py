"""The ConvNet of the dataset-distillation papers (Zhao & Bilen, 2021).

Each block is a 3x3 convolution with bias, a norm, an activation and 2x2 pooling. The
initialisation is PyTorch's, as in the papers.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dpd_jax.errors import UserError, check_choice
from dpd_jax.networks import convolution as _convolution
from dpd_jax.networks import norm_activate_pool
from dpd_jax.networks.precision import current, multiply

# PyTorch's constants. They belong to the definition of these layers and are no settings.
EPSILON = 1e-5
STATS_MOMENTUM = 0.1
GROUPS = 4
LEAKY_SLOPE = 0.01

MAX_DEPTH = 10  # In the raveled vector block_10 would come before block_2.

NORMS = ("instance", "batch", "layer", "group", "none")
ACTIVATIONS: dict[str, Callable] = {
    "relu": nn.relu,
    "leaky_relu": lambda x: nn.leaky_relu(x, LEAKY_SLOPE),
    "sigmoid": nn.sigmoid,
}
SLOPES = {"relu": 0.0, "leaky_relu": LEAKY_SLOPE}  # of the piecewise linear activations, below zero


def _windows(x: jax.Array) -> jax.Array:
    """[b, h, w, c] -> [b, h // 2, 2, w // 2, 2, c]; an odd last row or column is dropped."""
    b, h, w, c = x.shape
    x = x[:, : h // 2 * 2, : w // 2 * 2]
    return x.reshape(b, h // 2, 2, w // 2, 2, c)


def _larger(a: jax.Array, b: jax.Array) -> jax.Array:
    """The larger of two values, the first if they are equal; NaN if either is NaN."""
    return jnp.where((a >= b) | (a != a), a, b)


def max_pool(x: jax.Array) -> jax.Array:
    """The largest pixel of each 2x2 window; of equal pixels the first, as in PyTorch.

    The derivative of `jnp.max` compares the result with the operand. A compiler may compute the
    operand twice and round it differently; then no pixel, or a wrong one, gets the gradient. The
    choice between two values always gives it to one of them.
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
    """PyTorch's initialiser of kernels and biases: uniform in +-1 / sqrt(fan_in)."""
    bound = fan_in**-0.5

    def init(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

    return init


class Convolution(nn.Module):
    """3x3 convolution with bias: [b, h, w, i] -> [b, h', w', features].

    `centred` means that the next layer subtracts the mean over pixels. The bias would have no
    effect then, so it is not added, and its gradient is exactly zero.
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

    The moments are those of one image and one channel ("instance"), one image and a group of
    channels ("group"), a whole image ("layer", with a scale per element), or one channel of the
    whole batch ("batch"). The variance is the biased one.

    With `use_running_stats` the moments of "batch" come from the collection "stats", which is
    updated whenever it is mutable.
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
            mean: Any = self.get_variable("stats", "mean").reshape(1, 1, 1, c, 1)
            variance: Any = self.get_variable("stats", "variance").reshape(1, 1, 1, c, 1)
            centred = grouped - mean
        else:
            mean = grouped.mean(axes, keepdims=True)
            # More precise than the mean of squares minus the squared mean.
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
    """The function `norm_activate_pool` with the parameters of the norm."""

    slope: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        return norm_activate_pool.norm_activate_pool(x, scale, bias, self.slope, EPSILON)


class Block(nn.Module):
    """Convolution, norm, activation and pooling. Records its maps if "maps" is mutable."""

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
        recorded = self.is_mutable_collection("maps") and not self.is_initializing()
        published = (self.norm, self.pooling) == ("instance", "average") and not recorded
        if published and self.activation in SLOPES and norm_activate_pool.fits(x.shape):
            return NormActivatePool(SLOPES[self.activation], name="norm")(x)
        maps = [x]
        if self.norm != "none":
            x = Norm(self.norm, name="norm")(x, use_running_stats=use_running_stats)
            maps.append(x)
        x = ACTIVATIONS[self.activation](x)
        maps.append(x)
        if self.pooling != "none":
            x = POOLINGS[self.pooling](x)
            maps.append(x)
        if recorded:
            self.variable("maps", "maps", tuple).value = tuple(maps)
        return x


class Linear(nn.Module):
    """A linear layer with bias: [b, i] -> [b, features]."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = uniform_init(x.shape[-1])
        kernel = self.param("kernel", init, (x.shape[-1], self.features))
        bias = self.param("bias", init, (self.features,))
        return multiply(jnp.matmul, x, kernel, current()) + bias[None]


class ConvNet(nn.Module):
    """Images [b, h, w, c] -> logits [b, num_classes]. The defaults are the papers' for 32x32.

    Attributes:
      num_classes: number of logits.
      width: channels of every block.
      depth: number of blocks, at most MAX_DEPTH.
      norm: a name in NORMS.
      activation: a name in ACTIVATIONS.
      pooling: a name in POOLINGS.
      stem_padding: zeros around the image before the first convolution. The papers use 3 for 28x28
        images, which gives maps of 32x32.
      convolution: "auto" or a name in convolution.METHODS.
    """

    num_classes: int
    width: int = 128
    depth: int = 3
    norm: str = "instance"
    activation: str = "relu"
    pooling: str = "average"
    stem_padding: int = 1
    convolution: str = "auto"

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


def deepest(side: int, pooling: str) -> int:
    """The largest number of blocks for first maps of this side."""
    return MAX_DEPTH if pooling == "none" else min(MAX_DEPTH, side.bit_length() - 1)


def size_for(image_shape: tuple[int, ...]) -> tuple[int, int]:
    """The depth and the stem padding that suit images (height, width, channels).

    Blocks halve the maps to 4 to 7 pixels a side, but images of 8 pixels have two blocks. Images
    that are up to 4 pixels short of a power of two are padded to it. So the papers' sizes follow:
    depth 3 for 32x32 and, with a stem padding of 3, for 28x28; 4 for 64x64; 5 for 128x128.
    """
    side = min(image_shape[:2])
    border = next((border for border in (0, 1, 2) if (side + 2 * border).bit_count() == 1), 0)
    side += 2 * border
    return max(2 if side >= 8 else 1, side.bit_length() - 3), 1 + border


def build(*, image_shape: tuple[int, int, int], **options) -> ConvNet:
    """A ConvNet for images (height, width, channels); the options are its attributes.

    Raises:
      UserError: for an unknown option value, or more blocks than the images allow.
    """
    net = ConvNet(**options)
    check_choice("network.norm", net.norm, NORMS)
    check_choice("network.activation", net.activation, ACTIVATIONS)
    check_choice("network.pooling", net.pooling, POOLINGS)
    if net.norm == "group" and net.width % GROUPS:
        raise UserError(
            f"network.width = {net.width}, but norm 'group' needs a multiple of {GROUPS}."
        )
    height, width = image_shape[:2]
    side = min(height, width) + 2 * (net.stem_padding - 1)  # of the first maps
    most = deepest(side, net.pooling)
    if not 1 <= net.depth <= most:
        raise UserError(
            f"network.depth = {net.depth}, but images of {height}x{width} allow 1 to {most} "
            f"blocks with stem_padding {net.stem_padding} and pooling {net.pooling!r}."
        )
    return net.clone(convolution=_convolution.resolve(net.convolution))
