"""Experts: networks trained on the real images. Their weights after each epoch are the targets.

An epoch is a few calls of one jitted loop over a matrix of image indices. All randomness of an
expert comes from its key: `fold_in(key, 0)` gives the first weights, `fold_in(key, e)` the batches
and the augmentation of epoch e.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from dpd_jax import compilation
from dpd_jax.augment import Augmentation, augment
from dpd_jax.errors import check_choice, check_range
from dpd_jax.gsam import gsam_gradient
from dpd_jax.networks import Network
from dpd_jax.smoothing import NO_SMOOTHING, Smoothing, smoothed

BATCHES = 25  # of one compiled call; between calls progress is shown


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How an expert is trained. The default is FTD's flat experts, which DATM, PAD and DPD use.

    Attributes:
      optimizer: "sgd" or "gsam".
      learning_rate: of SGD; GSAM replaces the gradient only.
      decay_epoch: epochs at this rate; 0 means all.
      decay_factor: factor on the rate after them, in (0, 1].
      reset_momentum: whether the momentum is set to zero when the rate changes.
      momentum: heavy-ball momentum in PyTorch's form, v <- m v + g.
      weight_decay: coupled L2 on every parameter, including norms and biases.
      rho: radius of GSAM's perturbation. SGD uses neither this nor the next two.
      gsam_alpha: GSAM subtracts this share of the part of the gradient that is orthogonal to the
        perturbed gradient; 0 is SAM or ASAM.
      adaptive: whether the perturbation is scaled by the weights (ASAM).
      batch_size: images per step; the last batch of an epoch may be smaller.
      epoch_share: share of the batches of an epoch that are trained on, in (0, 1]. Below 1 an epoch
        is a random part of the images, drawn anew each time, and the weights are kept more often
        than once in a pass over them.
      smoothing: AST's changes to the loss.

    Raises:
      UserError: for an unknown optimiser or values out of range.
    """

    optimizer: str = "gsam"
    learning_rate: float = 0.01
    decay_epoch: int = 0
    decay_factor: float = 1.0
    reset_momentum: bool = False
    momentum: float = 0.0
    weight_decay: float = 0.0
    rho: float = 0.01
    gsam_alpha: float = 0.3
    adaptive: bool = True
    batch_size: int = 256
    epoch_share: float = 1.0
    smoothing: Smoothing = NO_SMOOTHING

    def __post_init__(self):
        check_choice("experts.optimizer", self.optimizer, ("sgd", "gsam"))
        for name, interval in (
            ("learning_rate", "(0, inf)"),
            ("decay_epoch", "[0, inf)"),
            ("decay_factor", "(0, 1]"),
            ("momentum", "[0, 1)"),
            ("weight_decay", "[0, inf)"),
            ("rho", "[0, inf)"),
            ("gsam_alpha", "[0, inf)"),
            ("batch_size", "[1, inf)"),
            ("epoch_share", "(0, 1]"),
        ):
            check_range(f"experts.{name}", getattr(self, name), interval)

    def num_batches(self, num_images: int) -> int:
        """Batches of an epoch on this many images."""
        # A share is a decimal number: rounding removes the error of its binary form.
        return math.ceil(round(self.epoch_share * math.ceil(num_images / self.batch_size), 6))


class ExpertState(NamedTuple):
    """An expert in training; several experts have a leading axis.

    Attributes:
      params: weights [P].
      velocity: momentum buffer [P].
      epoch: epochs done, int32 scalar.
    """

    params: jax.Array
    velocity: jax.Array
    epoch: jax.Array


def describe(recipe: Recipe) -> dict[str, Any]:
    """The values of a recipe that determine its experts, for their provenance."""
    unused = {"smoothing"}  # Its fields are added one by one, if they have an effect.
    if recipe.optimizer == "sgd":
        unused |= {"rho", "gsam_alpha", "adaptive"}
    if not recipe.decay_epoch:
        unused |= {"decay_epoch", "decay_factor", "reset_momentum"}
    if recipe.epoch_share == 1:  # Such experts have the description they had before shares.
        unused |= {"epoch_share"}
    values = dataclasses.asdict(recipe)
    used = {name: value for name, value in values.items() if name not in unused}
    return used | recipe.smoothing.describe()


def init(network: Network, key: jax.Array) -> ExpertState:
    """An expert before its first epoch."""
    params = network.init(key)
    return ExpertState(params, jnp.zeros_like(params), jnp.zeros((), jnp.int32))


def epoch_order(key: jax.Array, indices: jax.Array, *, batch_size: int, steps: int) -> jax.Array:
    """The batches of one epoch: the images in random order.

    Args:
      key: randomness of the order.
      indices: image indices [m]; -1 is padding, so that epochs on fewer images have the same
        shapes and need no second compilation.
      batch_size, steps: images per batch, and number of batches.

    Returns:
      int32 [steps, batch_size]. Padding (-1) comes last, also in whole rows.

    Raises:
      ValueError: if the indices do not fit the batches.
    """
    room = steps * batch_size - len(indices)
    if room < 0:
        raise ValueError(f"{len(indices)} images do not fit {steps} batches of {batch_size}")
    order = jax.random.permutation(key, jnp.asarray(indices, jnp.int32))
    order = order[jnp.argsort(order < 0, stable=True)]
    return jnp.pad(order, (0, room), constant_values=-1).reshape(steps, batch_size)


def batch_loss(
    network: Network,
    augmentation: Augmentation,
    params: jax.Array,
    images: jax.Array,
    labels: jax.Array,
    index: jax.Array,
    key: jax.Array,
) -> jax.Array:
    """Mean cross entropy of one augmented batch.

    Short batches are padded with repeated images of weight 0. Only norms over the batch depend on
    them: their moments count some images more often than others.

    Args:
      network, augmentation: what is trained, and how its images are augmented.
      params: weights [P].
      images, labels: the whole training set, [n, h, w, c] in model space and int [n].
      index: images of the batch, int32 [b], with padding of -1 at the end.
      key: randomness of the augmentation.

    Returns:
      A scalar, the mean over the images that are not padding.
    """
    valid = index >= 0
    count = jnp.maximum(jnp.sum(valid), 1)
    rows = index[jnp.arange(len(index)) % count]
    logits = network.apply(params, augment(key, images[rows], augmentation))
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels[rows])
    return jnp.sum(jnp.where(valid, losses, 0.0)) / count


@functools.cache
def make_epoch(
    network: Network,
    recipe: Recipe,
    augmentation: Augmentation,
    *,
    side_by_side: bool,
    batches: int = BATCHES,
) -> Callable:
    """Compiles the training of a part of an epoch, once for each set of arguments.

    Args:
      network, recipe, augmentation: what is trained, and how.
      side_by_side: whether state, order and key have a leading axis of experts. All experts must
        have the same number of batches.
      batches: of a part. The last part of an epoch may have fewer.

    Returns:
      part(state, images, labels, order, key, first=0) -> (state, loss), with images [n, h, w, c] in
      model space, int labels [n], `order` from `epoch_order`, and the number of the part's first
      batch. The losses of all parts add up to the mean over the images of the epoch, including the
      terms of the recipe's smoothing. Parts and the number of batches used in `order` may change
      without a new compilation.
    """

    def part(state, images, labels, order, key, first, steps):
        rate, velocity = _at_epoch(recipe, state, first)
        last = jnp.minimum(first + batches, steps)

        def step(i, carry):
            params, velocity, total = carry

            def loss_of(weights):
                index, step_key = order[i], jax.random.fold_in(key, i)
                loss = batch_loss(network, augmentation, weights, images, labels, index, step_key)
                return smoothed(
                    network, recipe.smoothing, loss, weights, images, index, state.epoch
                )

            if recipe.optimizer == "gsam":
                rho, alpha, adaptive = recipe.rho, recipe.gsam_alpha, recipe.adaptive
                loss, gradient = gsam_gradient(
                    loss_of, params, rho=rho, alpha=alpha, adaptive=adaptive
                )
            else:
                loss, gradient = jax.value_and_grad(loss_of)(params)
            velocity = recipe.momentum * velocity + gradient + recipe.weight_decay * params
            return params - rate * velocity, velocity, total + loss * jnp.sum(order[i] >= 0)

        start = (state.params, velocity, jnp.zeros(()))
        params, velocity, total = jax.lax.fori_loop(first, last, step, start)
        done = ExpertState(params, velocity, state.epoch + (last == steps))
        return done, total / jnp.sum(order >= 0)

    if side_by_side:
        part = jax.vmap(part, in_axes=(0, None, None, 0, 0, None, None))

    @compilation.jit
    def counted(state, images, labels, order, key, first=0):
        # One count for all experts: with a count for each, vmap would mask every step.
        steps = jnp.max(jnp.sum(order[..., 0] >= 0, axis=-1))
        return part(state, images, labels, order, key, first, steps)

    return counted


def _at_epoch(
    recipe: Recipe, state: ExpertState, first: Any
) -> tuple[jax.Array | float, jax.Array]:
    """Learning rate and velocity at the start of the part of an epoch with batch `first`."""
    if not recipe.decay_epoch:
        return recipe.learning_rate, state.velocity
    factor = jnp.where(state.epoch >= recipe.decay_epoch, recipe.decay_factor, 1.0)
    velocity = state.velocity
    if recipe.reset_momentum:
        reset = (state.epoch == recipe.decay_epoch) & (jnp.asarray(first) == 0)
        velocity = jnp.where(reset, 0.0, velocity)
    return recipe.learning_rate * factor, velocity


def train_many(
    network: Network,
    recipe: Recipe,
    augmentation: Augmentation,
    images: Any,
    labels: jax.Array,
    keys: jax.Array,
    epochs: int,
    seen: Callable[[int], np.ndarray] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Iterator[tuple[int, jax.Array, jax.Array | None]]:
    """Trains several experts side by side; each equals the expert trained alone, up to rounding.

    Args:
      network, recipe, augmentation: what is trained, and how.
      images, labels: the training set, float32 [n, h, w, c] in model space and int [n]. Images may
        also be a pytree that is read as `images[rows]`, like `model_images.DeviceImages`.
      keys: one key per expert [k].
      epochs: how many.
      seen: epoch, from 0 -> its images: int32 [n], each its own index or -1
        (see `DataSchedule.seen`). None means that every epoch sees all images.
      progress: called with the epochs that are done, within an epoch too.

    Yields:
      (epoch, weights [k, P], mean training loss [k]) for epoch 0, the first weights with loss
      None, to `epochs`. The arrays may still be in computation.
    """
    images, labels = jax.tree.map(jnp.asarray, (images, labels))
    chex.assert_rank([images, keys], [4, 1])
    chex.assert_shape(labels, (len(images),))
    several = len(keys) > 1
    keys = keys if several else keys[0]

    def with_axis(x: jax.Array) -> jax.Array:
        return x if several else x[None]

    size = min(recipe.batch_size, len(images))
    run = make_epoch(network, recipe, augmentation, side_by_side=several)
    state = _start(network, keys)
    yield 0, with_axis(state.params), None
    for epoch in range(1, epochs + 1):
        indices = np.arange(len(images)) if seen is None else seen(epoch - 1)
        steps = recipe.num_batches(int(np.sum(np.asarray(indices) >= 0)))
        order, step_keys = _draws(keys, epoch, indices, np.int32(steps), batch_size=size)
        losses: list[jax.Array] = []
        for first in range(0, steps, BATCHES):
            state, loss = run(state, images, labels, order, step_keys, np.int32(first))
            losses.append(loss)
            if len(losses) > 1 and progress:
                jax.block_until_ready(losses[-2])  # The device works on the next part.
                progress(epoch - 1 + first / steps)
        yield epoch, with_axis(state.params), with_axis(functools.reduce(jnp.add, losses))


def _each(function: Callable, keys: jax.Array) -> Any:
    """Applies a function of one key to one key or to several keys [k]."""
    return (jax.vmap(function) if keys.ndim else function)(keys)


@functools.partial(jax.jit, static_argnames="network")
def _start(network: Network, keys: jax.Array) -> ExpertState:
    return _each(lambda key: init(network, jax.random.fold_in(key, 0)), keys)


@functools.partial(jax.jit, static_argnames="batch_size")
def _draws(keys, epoch, indices, steps, *, batch_size: int) -> tuple[jax.Array, jax.Array]:
    """The first `steps` batches of an epoch and the key of its steps, for one expert or several.

    The batches have rows for all images whatever `steps` is, so that it needs no new compilation.
    """
    rows = math.ceil(len(indices) / batch_size)

    def one(key):
        order_key, step_key = jax.random.split(jax.random.fold_in(key, epoch))
        order = epoch_order(order_key, indices, batch_size=batch_size, steps=rows)
        return jnp.where(jnp.arange(rows)[:, None] < steps, order, -1), step_key

    return _each(one, keys)
