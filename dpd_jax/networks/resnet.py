"""ResNet18 for small images (He et al. 2016), as the dataset-distillation programs have it.

The first convolution is 3x3 without pooling. "average" pooling is their
ResNet18_AP: 2x2 average pooling stands in for every stride of 2, and the
classifier reads the whole last map instead of its mean.
"""

import flax.linen as nn
import jax

from dpd_jax.errors import check_choice
from dpd_jax.networks import layers
from dpd_jax.networks.convnet import Linear, Norm, average_pool

_STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # channels, stride of the first block
_BLOCKS = 2  # a stage


class BasicBlock(nn.Module):
    """Two convolutions 3x3 beside a shortcut: [b, h, w, i] -> [b, h', w', features]."""

    features: int
    stride: int
    norm: str
    average: bool
    convolution: str

    @nn.compact
    def __call__(self, x: jax.Array, *, use_running_stats: bool) -> jax.Array:
        stride = 1 if self.average else self.stride
        pools = self.average and self.stride == 2

        def norm(x: jax.Array, name: str) -> jax.Array:
            return Norm(self.norm, name=name)(x, use_running_stats=use_running_stats)

        def conv(x: jax.Array, size: int, stride: int, name: str) -> jax.Array:
            layer = layers.Conv(
                self.features, size, size // 2, stride, False, self.convolution, name=name
            )
            return layer(x)

        out = nn.relu(norm(conv(x, 3, stride, "conv_0"), "norm_0"))
        out = average_pool(out) if pools else out
        out = norm(conv(out, 3, 1, "conv_1"), "norm_1")
        if self.stride != 1 or x.shape[-1] != self.features:
            x = conv(x, 1, stride, "shortcut_conv")
            x = norm(average_pool(x) if pools else x, "shortcut_norm")
        return nn.relu(out + x)


class Stem(nn.Module):
    """The first convolution, norm and ReLU."""

    stride: int
    norm: str
    convolution: str

    @nn.compact
    def __call__(self, x: jax.Array, *, use_running_stats: bool) -> jax.Array:
        x = layers.Conv(_STAGES[0][0], 3, 1, self.stride, False, self.convolution, name="conv")(x)
        return nn.relu(Norm(self.norm, name="norm")(x, use_running_stats=use_running_stats))


class ResNet18(nn.Module):
    """Images [b, h, w, c] -> logits [b, num_classes]."""

    num_classes: int
    norm: str
    average: bool
    stem_stride: int
    convolution: str

    @nn.compact
    def __call__(self, images: jax.Array, *, use_running_stats: bool) -> jax.Array:
        stem = Stem(self.stem_stride, self.norm, self.convolution, name="block_0")
        x = stem(images, use_running_stats=use_running_stats)
        number = 1
        for features, first_stride in _STAGES:
            for i in range(_BLOCKS):
                block = BasicBlock(
                    features,
                    first_stride if i == 0 else 1,
                    self.norm,
                    self.average,
                    self.convolution,
                    name=f"block_{number}",
                )
                x = block(x, use_running_stats=use_running_stats)
                number += 1
        x = layers.flatten(x) if self.average else x.mean((1, 2))
        return Linear(self.num_classes, name="classifier")(x)


def build(
    *,
    image_shape,
    num_classes: int,
    norm: str = "instance",
    pooling: str = "none",
    convolution: str = "auto",
) -> ResNet18:
    """A ResNet18 for these images; see `convnet.build` for the options.

    Args:
      pooling: "none" has strides of 2; "average" pools instead (ResNet18_AP).

    Raises:
      UserError: for images whose last map would be a single pixel with instance norm, which
        makes it 0, or no pixel; or for an unknown norm or pooling.
    """
    check_choice("network.norm", norm, layers.NORMS)
    check_choice("network.pooling", pooling, ("none", "average"))
    layers.check_side("resnet18", image_shape, 1, 16 if norm == "instance" else 8)
    return ResNet18(
        num_classes, norm, pooling == "average", layers.stem_stride(image_shape), convolution
    )
