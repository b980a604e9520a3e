"""Layers that several networks share, initialised as PyTorch does."""

import flax.linen as nn
import jax

from dpd_jax.errors import UserError
from dpd_jax.networks import convolution
from dpd_jax.networks.convnet import Norm, uniform_init

NORMS = ("instance", "batch")  # of the networks that judge


class Conv(nn.Module):
    """Convolution [b, h, w, i] -> [b, h', w', features].

    Attributes:
      features: channels of the result.
      size: side of the kernel.
      padding: zeros added on each of the four sides.
      stride: step between neighbouring places.
      use_bias: whether a bias is added.
      method: a name in convolution.METHODS.
    """

    features: int
    size: int
    padding: int
    stride: int
    use_bias: bool
    method: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = uniform_init(self.size**2 * x.shape[-1])
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", init, shape)
        x = convolution.convolve(
            x, kernel, padding=self.padding, method=self.method, stride=self.stride
        )
        if not self.use_bias:
            return x
        return x + self.param("bias", init, (self.features,))[None, None, None]


class ConvBlock(nn.Module):
    """Convolution with bias, a norm if any, ReLU."""

    features: int
    size: int
    padding: int
    stride: int
    norm: str
    method: str

    @nn.compact
    def __call__(self, x: jax.Array, *, use_running_stats: bool) -> jax.Array:
        conv = Conv(self.features, self.size, self.padding, self.stride, True, self.method)
        x = conv.copy(name="conv")(x)
        if self.norm != "none":
            x = Norm(self.norm, name="norm")(x, use_running_stats=use_running_stats)
        return nn.relu(x)


def flatten(x: jax.Array) -> jax.Array:
    """[b, ...] -> [b, all the rest]."""
    return x.reshape(x.shape[0], -1)


def stem_stride(image_shape: tuple[int, int, int]) -> int:
    """Stride of the first convolution: 2 for images of 64 pixels and more (PAD, appendix)."""
    return 2 if min(image_shape[:2]) >= 64 else 1


def check_side(name: str, image_shape: tuple[int, int, int], stem_padding: int, least: int) -> None:
    """Raises UserError if images are too small for a network.

    Args:
      name: of the network, for the message.
      image_shape: (height, width, channels).
      stem_padding: as in the config; 3 makes 32x32 maps of 28x28 images.
      least: the smallest side of the first map.
    """
    side = min(image_shape[:2]) + 2 * (stem_padding - 1)
    if side < least:
        raise UserError(
            f"network {name!r} needs images of at least {least}x{least}; these are "
            f"{image_shape[0]}x{image_shape[1]}. Choose a network with fewer poolings, e.g. "
            "convnet with a smaller network.depth, or mlp."
        )
