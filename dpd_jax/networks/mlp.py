"""A perceptron with two hidden layers of 128, as in the dataset-distillation programs."""

import flax.linen as nn
import jax

from dpd_jax.networks import layers
from dpd_jax.networks.convnet import Linear

_HIDDEN = (128, 128)


class MLP(nn.Module):
    """Images [b, h, w, c] -> logits [b, num_classes]."""

    num_classes: int

    @nn.compact
    def __call__(self, images: jax.Array, *, use_running_stats: bool) -> jax.Array:
        x = layers.flatten(images)
        for i, features in enumerate(_HIDDEN):
            x = nn.relu(Linear(features, name=f"block_{i}")(x))
        return Linear(self.num_classes, name="classifier")(x)


def build(*, image_shape, num_classes: int) -> MLP:
    """A perceptron for images of any size."""
    del image_shape  # Flax finds it.
    return MLP(num_classes)
