"""VGG11, as the dataset-distillation programs have it: norms, and one linear classifier."""

import flax.linen as nn
import jax

from dpd_jax.errors import check_choice
from dpd_jax.networks import layers
from dpd_jax.networks.convnet import Linear, max_pool

# Channels, whether 2x2 max pooling follows.
_STAGES = (
    (64, True),
    (128, True),
    (256, False),
    (256, True),
    (512, False),
    (512, True),
    (512, False),
    (512, True),
)


class VGG11(nn.Module):
    """Images [b, h, w, c] -> logits [b, num_classes]."""

    num_classes: int
    norm: str
    stem_padding: int
    convolution: str

    @nn.compact
    def __call__(self, images: jax.Array, *, use_running_stats: bool) -> jax.Array:
        x = images
        for i, (features, pooled) in enumerate(_STAGES):
            padding = self.stem_padding if i == 0 else 1
            block = layers.ConvBlock(
                features, 3, padding, 1, self.norm, self.convolution, name=f"block_{i}"
            )
            x = block(x, use_running_stats=use_running_stats)
            x = max_pool(x) if pooled else x
        # At 64x64 the last map is 2x2. PAD's program keeps every second pixel: the first.
        return Linear(self.num_classes, name="classifier")(layers.flatten(x[:, ::2, ::2]))


def build(
    *,
    image_shape,
    num_classes: int,
    norm: str = "instance",
    stem_padding: int = 1,
    convolution: str = "auto",
) -> VGG11:
    """A VGG11 for these images; see `convnet.build` for the options.

    Raises:
      UserError: for images smaller than 32x32, or a norm that is not "instance" or "batch".
    """
    check_choice("network.norm", norm, layers.NORMS)
    layers.check_side("vgg11", image_shape, stem_padding, 32)
    return VGG11(num_classes, norm, stem_padding, convolution)
