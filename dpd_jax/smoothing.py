"""AST's loss of smooth experts: a smaller loss in early epochs and a gradient penalty.

Momentum makes better experts, but their weights move too fast for a student. AST (Shen et al.,
"Efficient Dataset Distillation through Alignment with Smooth and High-Quality Expert
Trajectories", eq. 1) therefore trains them with

    lambda_e CE + mu E[(|grad_x sum of logits| - K)^2]

where lambda_e grows to 1 over the first epochs. The gradient penalty uses images without
augmentation, although the cross entropy uses augmented ones.

Paper: lambda from 0.5 over 5 epochs, mu = 1, K = 1, one norm per image.
Released program: lambda from 0.5 over 10 epochs, mu = 2, K = 1, one norm per pixel,
over its channels.
"""

import dataclasses

import jax
import jax.numpy as jnp

from dpd_jax.errors import check_choice, check_range
from dpd_jax.networks import Network

# Name -> the axes of images [b, h, w, c] over which the norm of the gradient is taken.
NORMS = {"image": (1, 2, 3), "pixel": (3,)}


@dataclasses.dataclass(frozen=True)
class Smoothing:
    """Changes to an expert's mean cross entropy. By default there are none.

    Attributes:
      loss_scale: lambda in the first epoch, in (0, 1].
      loss_scale_epochs: epochs in which lambda grows linearly to 1; 0 is off.
      gradient_penalty: mu; 0 is off.
      penalty_norm: "image" (one norm per image) or "pixel" (one per pixel, over its channels).
      penalty_target: K, the norm without penalty.

    Raises:
      UserError: for an unknown norm or a value out of range.
    """

    loss_scale: float = 1.0
    loss_scale_epochs: int = 0
    gradient_penalty: float = 0.0
    penalty_norm: str = "image"
    penalty_target: float = 1.0

    def __post_init__(self):
        check_range("experts.loss_scale", self.loss_scale, "(0, 1]")
        for name in ("loss_scale_epochs", "gradient_penalty", "penalty_target"):
            check_range(f"experts.{name}", getattr(self, name), "[0, inf)")
        check_choice("experts.penalty_norm", self.penalty_norm, NORMS)

    @property
    def scales(self) -> bool:
        """Whether lambda is below 1 in any epoch."""
        return self.loss_scale_epochs > 0 and self.loss_scale < 1

    def describe(self) -> dict[str, float | int | str]:
        """The values that have an effect on an expert, for its provenance; {} if none has."""
        used = ["loss_scale", "loss_scale_epochs"] if self.scales else []
        if self.gradient_penalty:
            used += ["gradient_penalty", "penalty_norm", "penalty_target"]
        return {name: getattr(self, name) for name in used}


NO_SMOOTHING = Smoothing()


def cross_entropy_scale(epoch: jax.Array, smoothing: Smoothing) -> jax.Array:
    """lambda after `epoch` whole epochs, a scalar: 0.5 over 5 epochs is .5 .6 .7 .8 .9 1 1 ..."""
    done = jnp.minimum(epoch / smoothing.loss_scale_epochs, 1.0)
    return smoothing.loss_scale + (1 - smoothing.loss_scale) * done


def gradient_penalty(
    network: Network, smoothing: Smoothing, params: jax.Array, images: jax.Array, valid: jax.Array
) -> jax.Array:
    """Mean of (|d (sum of logits) / d image| - K)^2 over images and norms, a scalar.

    Args:
      network, smoothing: the network of the logits, and the norm and its target K.
      params: weights [P].
      images: [b, h, w, c] in model space.
      valid: which images count, bool [b].
    """
    gradient = jax.grad(lambda x: jnp.sum(network.apply(params, x)))(images)
    squares = jnp.sum(jnp.square(gradient), NORMS[smoothing.penalty_norm])
    # The root has no derivative at 0: a pixel without effect on the logits would give NaN.
    zero = squares == 0
    norms = jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, squares)))
    penalties = jnp.square(norms - smoothing.penalty_target)
    each = jnp.mean(penalties.reshape(len(images), -1), axis=1)
    return jnp.sum(jnp.where(valid, each, 0.0)) / jnp.maximum(jnp.sum(valid), 1)


def smoothed(
    network: Network,
    smoothing: Smoothing,
    loss: jax.Array,
    params: jax.Array,
    images: jax.Array,
    index: jax.Array,
    epoch: jax.Array,
) -> jax.Array:
    """The loss of one batch (AST, eq. 1), given its mean cross entropy.

    Args:
      network, smoothing: what is trained, and how its loss is changed.
      loss: the cross entropy, a scalar.
      params: weights [P].
      images: the whole training set, [n, h, w, c] in model space.
      index: images of the batch, int32 [b], with -1 as padding.
      epoch: whole epochs done before, int32 scalar.
    """
    if smoothing.scales:
        loss = cross_entropy_scale(epoch, smoothing) * loss
    if smoothing.gradient_penalty:
        batch = images[jnp.maximum(index, 0)]
        penalty = gradient_penalty(network, smoothing, params, batch, index >= 0)
        loss += smoothing.gradient_penalty * penalty
    return loss
