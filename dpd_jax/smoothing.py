"""Smooth experts: a loss that sets in gently and a penalty on steep outputs.

Momentum makes better experts, whose weights move too fast for a student to
follow. AST (Shen et al., "Efficient Dataset Distillation through Alignment with
Smooth and High-Quality Expert Trajectories", eq. 1) holds them back:

    lambda_e CE + mu E[(|grad_x sum of logits| - K)^2]

with lambda_e rising to 1 over the first epochs. The gradient is taken at images
that are not augmented, whatever the cross entropy sees.

Paper: lambda from 0.5 over 5 epochs, mu = 1, K = 1, one norm for a whole image.
Released program: lambda from 0.5 over 10 epochs, mu = 2, K = 1, a norm over the
channels of each pixel.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from dpd_jax.errors import UserError
from dpd_jax.networks import Network

# Name -> the axes of images [b, h, w, c] that share one norm of the gradient.
NORMS = {"image": (1, 2, 3), "pixel": (3,)}


@dataclasses.dataclass(frozen=True)
class Smoothing:
    """What is added to the mean cross entropy of an expert's batch.

    Attributes:
      loss_scale: lambda in the first epoch, in (0, 1].
      loss_scale_epochs: epochs until lambda, growing evenly, is 1; 0 is off.
      gradient_penalty: mu; 0 is off.
      penalty_norm: a name out of `NORMS`.
      penalty_target: K, the norm that costs nothing.

    Raises:
      UserError: for an unknown norm or a value out of range.
    """

    loss_scale: float
    loss_scale_epochs: int
    gradient_penalty: float
    penalty_norm: str
    penalty_target: float

    def __post_init__(self):
        if not 0 < self.loss_scale <= 1:
            raise UserError(f"experts.loss_scale = {self.loss_scale} must lie in (0, 1].")
        if self.loss_scale_epochs < 0:
            raise UserError(
                f"experts.loss_scale_epochs = {self.loss_scale_epochs} must not be negative."
            )
        for name in ("gradient_penalty", "penalty_target"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UserError(f"experts.{name} = {value} must be finite and not negative.")
        if self.penalty_norm not in NORMS:
            raise UserError(
                f"experts.penalty_norm: unknown norm {self.penalty_norm!r}; known are "
                f"{', '.join(NORMS)}."
            )

    @property
    def scales(self) -> bool:
        """Whether lambda is ever other than 1."""
        return self.loss_scale_epochs > 0 and self.loss_scale < 1

    def describe(self) -> dict[str, float | int | str]:
        """The values that change an expert: {} if nothing is on."""
        used = ["loss_scale", "loss_scale_epochs"] if self.scales else []
        if self.gradient_penalty:
            used += ["gradient_penalty", "penalty_norm", "penalty_target"]
        return {name: getattr(self, name) for name in used}


def cross_entropy_scale(epoch: jax.Array, smoothing: Smoothing) -> jax.Array:
    """lambda after `epoch` whole epochs, a scalar: with 0.5 over 5 epochs .5 .6 .7 .8 .9 1 1 ..."""
    done = jnp.minimum(epoch / smoothing.loss_scale_epochs, 1.0)
    return smoothing.loss_scale + (1 - smoothing.loss_scale) * done


def gradient_penalty(
    params: jax.Array,
    images: jax.Array,
    valid: jax.Array,
    *,
    network: Network,
    norm: str,
    target: float,
) -> jax.Array:
    """Mean of (|d (sum of logits) / d image| - target)^2, a scalar.

    Args:
      params: weights [P].
      images: [b, h, w, c] in model space.
      valid: which of them count, bool [b].
      network: whose logits.
      norm: "image" for one norm an image (the paper), "pixel" for one of each
        pixel over its channels, averaged over pixels (the released program).
      target: K.
    """
    slope = jax.grad(lambda x: jnp.sum(network.apply(params, x)))(images)
    squares = jnp.sum(jnp.square(slope), NORMS[norm])
    # The root has no slope at 0, where a pixel nothing looks at would make NaN of everything.
    blind = squares == 0
    norms = jnp.where(blind, 0.0, jnp.sqrt(jnp.where(blind, 1.0, squares)))
    each = jnp.mean(jnp.square(norms - target).reshape(len(images), -1), axis=1)
    return jnp.sum(jnp.where(valid, each, 0.0)) / jnp.maximum(jnp.sum(valid), 1)


def smoothed(
    loss: jax.Array,
    params: jax.Array,
    images: jax.Array,
    index: jax.Array,
    epoch: jax.Array,
    *,
    network: Network,
    smoothing: Smoothing,
) -> jax.Array:
    """The objective of one batch, given its mean cross entropy.

    Args:
      loss: the cross entropy, a scalar.
      params: weights [P].
      images: all of the training set, [n, h, w, c] in model space.
      index: the batch, int32 [b], with -1 for none.
      epoch: whole epochs done before, int32 scalar.
      network, smoothing: what is trained, and what is added.
    """
    if smoothing.scales:
        loss = cross_entropy_scale(epoch, smoothing) * loss
    if smoothing.gradient_penalty:
        loss += smoothing.gradient_penalty * gradient_penalty(
            params,
            images[jnp.maximum(index, 0)],
            index >= 0,
            network=network,
            norm=smoothing.penalty_norm,
            target=smoothing.penalty_target,
        )
    return loss
