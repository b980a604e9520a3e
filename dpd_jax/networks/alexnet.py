"""AlexNet, as the dataset-distillation programs have it: five convolutions, no norm, no dropout."""

import flax.linen as nn
import jax

from dpd_jax.networks import layers
from dpd_jax.networks.convnet import Linear, max_pool

# Channels, kernel size, whether 2x2 max pooling follows.
_STAGES = ((128, 5, True), (192, 5, True), (256, 3, False), (192, 3, False), (192, 3, True))


class AlexNet(nn.Module):
    """Images [b, h, w, c] -> logits [b, num_classes]."""

    num_classes: int
    stem_padding: int
    stem_stride: int
    convolution: str

    @nn.compact
    def __call__(self, images: jax.Array, *, use_running_stats: bool) -> jax.Array:
        x = images
        for i, (features, size, pooled) in enumerate(_STAGES):
            block = layers.ConvBlock(
                features,
                size,
                size // 2 + (self.stem_padding - 1 if i == 0 else 0),
                self.stem_stride if i == 0 else 1,
                "none",
                self.convolution,
                name=f"block_{i}",
            )
            x = block(x, use_running_stats=use_running_stats)
            x = max_pool(x) if pooled else x
        return Linear(self.num_classes, name="classifier")(layers.flatten(x))


def build(
    *, image_shape, num_classes: int, stem_padding: int = 1, convolution: str = "auto"
) -> AlexNet:
    """An AlexNet for these images; see `convnet.build` for the options.

    Raises:
      UserError: for images smaller than 8x8.
    """
    layers.check_side("alexnet", image_shape, stem_padding, 8)
    return AlexNet(num_classes, stem_padding, layers.stem_stride(image_shape), convolution)
