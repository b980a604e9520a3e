"""LeNet, as the dataset-distillation programs have it: two convolutions 5x5, two hidden layers."""

import flax.linen as nn
import jax

from dpd_jax.networks import layers
from dpd_jax.networks.convnet import Linear, max_pool


class LeNet(nn.Module):
    """Images [b, h, w, c] -> logits [b, num_classes]."""

    num_classes: int
    stem_padding: int
    stem_stride: int
    convolution: str

    @nn.compact
    def __call__(self, images: jax.Array, *, use_running_stats: bool) -> jax.Array:
        x = images
        stems = ((6, self.stem_padding - 1, self.stem_stride), (16, 0, 1))
        for i, (features, padding, stride) in enumerate(stems):
            block = layers.ConvBlock(
                features, 5, padding, stride, "none", self.convolution, name=f"block_{i}"
            )
            x = max_pool(block(x, use_running_stats=use_running_stats))
        x = layers.flatten(x)
        for i, features in enumerate((120, 84), start=2):
            x = nn.relu(Linear(features, name=f"block_{i}")(x))
        return Linear(self.num_classes, name="classifier")(x)


def build(
    *, image_shape, num_classes: int, stem_padding: int = 1, convolution: str = "auto"
) -> LeNet:
    """A LeNet for these images; see `convnet.build` for the options.

    Raises:
      UserError: for images smaller than 16x16.
    """
    layers.check_side("lenet", image_shape, stem_padding, 16)
    return LeNet(num_classes, stem_padding, layers.stem_stride(image_shape), convolution)
