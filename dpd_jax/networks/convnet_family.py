"""All ConvNets of one shape as one network, whose norm, activation and pooling are data.

Architectures that share a program are compiled once, and train side by side under `jax.vmap`.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dpd_jax.networks import convnet
from dpd_jax.networks.convnet import ACTIVATIONS, EPSILON, GROUPS, NORMS, STATS_MOMENTUM

POOLINGS = ("average", "max")  # of the networks that pool
_BATCH, _LAYER, _NONE = (NORMS.index(name) for name in ("batch", "layer", "none"))


def choice(norm: str, activation: str, pooling: str) -> dict[str, jax.Array]:
    """The entries of a family's statistics that make it this ConvNet.

    Args:
      norm, activation: names in `convnet.NORMS` and `convnet.ACTIVATIONS`.
      pooling: a name in POOLINGS; "none" for a family without pooling.
    """
    numbers = {
        "norm": NORMS.index(norm),
        "activation": tuple(ACTIVATIONS).index(activation),
        "pooling": 0 if pooling == "none" else POOLINGS.index(pooling),
    }
    return {name: jnp.int32(number) for name, number in numbers.items()}


def _shared(values: jax.Array, norm: jax.Array) -> jax.Array:
    """Values [b, c], one per image and channel, averaged over what the norm has in common."""
    b, c = values.shape
    groups = values.reshape(b, GROUPS, c // GROUPS).mean(2)
    averaged = {
        "instance": values,
        "batch": jnp.broadcast_to(values.mean(0, keepdims=True), (b, c)),
        "layer": jnp.broadcast_to(values.mean(1, keepdims=True), (b, c)),
        "group": jnp.repeat(groups, c // GROUPS, axis=1),
        "none": jnp.zeros_like(values),
    }
    return jnp.stack([averaged[name] for name in NORMS])[norm]


class AnyNorm(nn.Module):
    """`convnet.Norm` of a kind that is data: an index in NORMS.

    It has the parameters of every kind. Those that its kind does not use have no effect.
    """

    @nn.compact
    def __call__(self, x: jax.Array, norm: jax.Array, *, use_running_stats: bool) -> jax.Array:
        b, h, w, c = x.shape
        running = [
            self.variable("stats", name, start, (c,))
            for name, start in (("mean", jnp.zeros), ("variance", jnp.ones))
        ]
        from_stats = use_running_stats & (norm == _BATCH)

        def moment(values: jax.Array, stored: Any) -> jax.Array:
            own = _shared(values.mean((1, 2)), norm)
            return jnp.where(from_stats, stored.value[None], own)[:, None, None]

        mean = moment(x, running[0])
        centred = x - mean
        variance = moment(jnp.square(centred), running[1])
        if not use_running_stats and not self.is_initializing():
            unbiased = variance * (b * h * w / (b * h * w - 1))
            # Of the other kinds too, which do not read them.
            for stored, value in zip(running, (mean, unbiased), strict=True):
                stored.value += STATS_MOMENTUM * (value[0, 0, 0] - stored.value)

        is_none, is_layer = norm == _NONE, norm == _LAYER
        inverse = jnp.where(is_none, 1.0, jax.lax.rsqrt(variance + EPSILON))

        def parameter(name: str, start: Any, neutral: float) -> jax.Array:
            per_channel = self.param(name, start, (c,))[None, None]
            per_element = self.param(f"layer_{name}", start, (h, w, c))
            used = jnp.where(is_layer, per_element, per_channel)
            return jnp.where(is_none, neutral, used)[None]

        scale = parameter("scale", nn.initializers.ones, 1.0)
        return centred * inverse * scale + parameter("bias", nn.initializers.zeros, 0.0)


class ConvNetFamily(nn.Module):
    """Images [b, h, w, c] -> logits [b, num_classes], as the ConvNet that its statistics choose.

    `choice` makes these statistics; those at the start are the first of every list. With the same
    key, the weights of a fresh network are those of the chosen ConvNet.

    Attributes:
      pooled: whether blocks pool, which decides the shapes of maps.
      num_classes, width, depth, stem_padding, convolution: as of `convnet.ConvNet`; the width is a
        multiple of GROUPS.
    """

    num_classes: int
    width: int
    depth: int
    pooled: bool
    stem_padding: int
    convolution: str

    @nn.compact
    def __call__(self, images: jax.Array, *, use_running_stats: bool) -> jax.Array:
        chosen = {
            name: self.variable("stats", name, lambda: jnp.int32(0)).value
            for name in ("norm", "activation", "pooling")
        }
        x = images
        for i in range(self.depth):
            x = _Block(
                self.width, self.pooled, self.stem_padding if i == 0 else 1, self.convolution,
                name=f"block_{i}",
            )(x, chosen, use_running_stats=use_running_stats)  # fmt: skip
        return convnet.Linear(self.num_classes, name="classifier")(x.reshape(x.shape[0], -1))


class _Block(nn.Module):
    width: int
    pooled: bool
    padding: int
    convolution: str

    @nn.compact
    def __call__(
        self, x: jax.Array, chosen: dict[str, jax.Array], *, use_running_stats: bool
    ) -> jax.Array:
        x = convnet.Convolution(self.width, self.padding, self.convolution, False, name="conv")(x)
        x = AnyNorm(name="norm")(x, chosen["norm"], use_running_stats=use_running_stats)
        x = jax.lax.switch(chosen["activation"], tuple(ACTIVATIONS.values()), x)
        if not self.pooled:
            return x
        return jax.lax.switch(chosen["pooling"], [convnet.POOLINGS[name] for name in POOLINGS], x)
