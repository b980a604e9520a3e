"""Experts: networks trained on the real images, whose weights after every epoch are the targets.

An epoch is one jitted loop over a matrix of image indices. All randomness of
expert k comes from `fold_in(root, k)`; that of its epoch e (0: the fresh
weights) from `fold_in` of that key with e. The same key gives the same bits.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dpd_jax import compilation
from dpd_jax.augment import Augmentation, augment
from dpd_jax.errors import UserError
from dpd_jax.gsam import gsam_gradient
from dpd_jax.networks import Network
from dpd_jax.smoothing import Smoothing, smoothed


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How an expert is trained.

    Attributes:
      optimizer: whose gradient moves the weights: "sgd" or "gsam".
      learning_rate: of SGD.
      decay_epoch: epochs at that rate; 0 keeps it for all.
      decay_factor: of the rate, after them.
      reset_momentum: whether the momentum starts anew there.
      momentum: heavy ball, PyTorch's form v <- m v + g.
      weight_decay: coupled L2 on every parameter, norms and biases included.
      rho: radius of GSAM's perturbation; sgd has no use for it, nor for the next two.
      gsam_alpha: how much of the part of the gradient that is vertical to the
        perturbed one GSAM takes away; 0 is (A)SAM.
      adaptive: whether the perturbation scales with the weights (ASAM).
      batch_size: images a step; the last batch of an epoch may be smaller.
      smoothing: what is done to the loss (AST).

    Raises:
      UserError: for an unknown optimiser or values out of range.
    """

    optimizer: str
    learning_rate: float
    decay_epoch: int
    decay_factor: float
    reset_momentum: bool
    momentum: float
    weight_decay: float
    rho: float
    gsam_alpha: float
    adaptive: bool
    batch_size: int
    smoothing: Smoothing

    def __post_init__(self):
        if self.optimizer not in _RULES:
            raise UserError(
                f"experts.optimizer: unknown optimiser {self.optimizer!r}; known are "
                f"{', '.join(_RULES)}."
            )
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise UserError(f"experts.learning_rate = {self.learning_rate} must be positive.")
        if self.decay_epoch < 0 or not 0 < self.decay_factor <= 1:
            raise UserError(
                "experts: decay_epoch must not be negative and decay_factor must lie in (0, 1], "
                f"but they are {self.decay_epoch} and {self.decay_factor}."
            )
        if not 0 <= self.momentum < 1:
            raise UserError(f"experts.momentum = {self.momentum} must lie in [0, 1).")
        for name in ("weight_decay", "rho", "gsam_alpha"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UserError(f"experts.{name} = {value} must be finite and not negative.")
        if self.batch_size < 1:
            raise UserError(f"experts.batch_size = {self.batch_size} must be at least 1.")


class ExpertState(NamedTuple):
    """An expert in training; several side by side have a leading axis.

    Attributes:
      params: [P].
      velocity: momentum buffer [P].
      epoch: epochs done, int32.
    """

    params: jax.Array
    velocity: jax.Array
    epoch: jax.Array


def describe(recipe: Recipe) -> dict[str, Any]:
    """The values of a recipe that determine its experts, for the facts of their store."""
    unused = {name for rule in _RULES.values() for name in rule.options}
    unused -= set(_RULES[recipe.optimizer].options)
    if not recipe.decay_epoch:
        unused |= {"decay_epoch", "decay_factor", "reset_momentum"}
    values = dataclasses.asdict(recipe) | {"smoothing": None}
    unused.add("smoothing")  # Told field by field, and only where it does something.
    used = {name: value for name, value in values.items() if name not in unused}
    return used | recipe.smoothing.describe()


class _Rule(NamedTuple):
    """A way to a gradient: a function of (loss, params, recipe), and the options it reads."""

    gradient: Callable
    options: tuple[str, ...]


def _gsam(loss, params, recipe):
    return gsam_gradient(
        loss, params, rho=recipe.rho, alpha=recipe.gsam_alpha, adaptive=recipe.adaptive
    )


_RULES = {
    "sgd": _Rule(lambda loss, params, recipe: jax.value_and_grad(loss)(params), ()),
    "gsam": _Rule(_gsam, ("rho", "gsam_alpha", "adaptive")),
}


def init(network: Network, key: jax.Array) -> ExpertState:
    """An expert before its first epoch."""
    params = network.init(key)
    return ExpertState(params, jnp.zeros_like(params), jnp.zeros((), jnp.int32))


def epoch_order(key: jax.Array, indices: jax.Array, *, batch_size: int, steps: int) -> jax.Array:
    """The batches of one epoch: a random order of `indices` [m], cut from the front.

    An index of -1 stands for none and comes last, so that epochs on other images
    need no other program.

    Returns:
      int32 [steps, batch_size]; -1 fills the last batch, and whole rows beyond
      it, so that epochs on fewer images have the same shape.
    """
    room = steps * batch_size - len(indices)
    if room < 0:
        raise ValueError(f"{len(indices)} images do not fit {steps} batches of {batch_size}")
    order = jax.random.permutation(key, jnp.asarray(indices, jnp.int32))
    order = order[jnp.argsort(order < 0, stable=True)]
    return jnp.pad(order, (0, room), constant_values=-1).reshape(steps, batch_size)


def batch_loss(
    params: jax.Array,
    images: jax.Array,
    labels: jax.Array,
    index: jax.Array,
    key: jax.Array,
    *,
    network: Network,
    augmentation: Augmentation,
) -> jax.Array:
    """Mean cross entropy of one augmented batch, over its images only.

    The places of a short batch repeat its images in turn and weigh nothing.
    They are seen by norms over the batch alone, whose moments then count some
    images once more than others.

    Args:
      params: weights [P].
      images, labels: all of the training set, [n, h, w, c] in model space and int [n].
      index: the batch, int32 [b], with -1 for none at its end.
      key: of the augmentation.
    """
    valid = index >= 0
    count = jnp.maximum(jnp.sum(valid), 1)
    rows = index[jnp.arange(len(index)) % count]
    logits = network.apply(params, augment(key, images[rows], augmentation))
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels[rows])
    return jnp.sum(jnp.where(valid, losses, 0.0)) / count


@functools.cache
def make_epoch(
    network: Network, recipe: Recipe, augmentation: Augmentation, *, side_by_side: bool
) -> Callable:
    """A jitted function that trains for one epoch.

    The same arguments give the same function, so that it is compiled once; the
    number of rows used in `order` may change without compiling again.

    Args:
      network, recipe, augmentation: what is trained, and how.
      side_by_side: whether state, order and key have a leading axis, an expert
        each, all with equally many rows. Each is trained as it would be alone.

    Returns:
      epoch(state, images, labels, order, key) -> (state, loss), with images
      [n, h, w, c] in model space, int labels [n], `order` as of `epoch_order`,
      and the loss (with what the recipe's smoothing adds) the mean over the
      epoch's images, each before its step.
    """

    def epoch(state, images, labels, order, key, steps):
        rate, velocity = _at_epoch(recipe, state)

        def step(i, carry):
            params, velocity, total = carry

            def loss_of(weights):
                loss = batch_loss(
                    weights,
                    images,
                    labels,
                    order[i],
                    jax.random.fold_in(key, i),
                    network=network,
                    augmentation=augmentation,
                )
                return smoothed(
                    loss,
                    weights,
                    images,
                    order[i],
                    state.epoch,
                    network=network,
                    smoothing=recipe.smoothing,
                )

            loss, gradient = _RULES[recipe.optimizer].gradient(loss_of, params, recipe)
            velocity = recipe.momentum * velocity + gradient + recipe.weight_decay * params
            return params - rate * velocity, velocity, total + loss * jnp.sum(order[i] >= 0)

        first = (state.params, velocity, jnp.zeros(()))
        params, velocity, total = jax.lax.fori_loop(0, steps, step, first)
        return ExpertState(params, velocity, state.epoch + 1), total / jnp.sum(order >= 0)

    if side_by_side:
        epoch = jax.vmap(epoch, in_axes=(0, None, None, 0, 0, None))

    @compilation.jit
    def counted(state, images, labels, order, key):
        # One count for all experts: under vmap a count of each would mask every step.
        steps = jnp.max(jnp.sum(order[..., 0] >= 0, axis=-1))
        return epoch(state, images, labels, order, key, steps)

    return counted


def _at_epoch(recipe: Recipe, state: ExpertState) -> tuple[jax.Array | float, jax.Array]:
    """The rate of the epoch that begins, and the velocity it begins with."""
    if not recipe.decay_epoch:
        return recipe.learning_rate, state.velocity
    factor = jnp.where(state.epoch >= recipe.decay_epoch, recipe.decay_factor, 1.0)
    velocity = state.velocity
    if recipe.reset_momentum:
        velocity = jnp.where(state.epoch == recipe.decay_epoch, 0.0, velocity)
    return recipe.learning_rate * factor, velocity


def train(
    network: Network,
    recipe: Recipe,
    augmentation: Augmentation,
    images: jax.Array,
    labels: jax.Array,
    key: jax.Array,
    epochs: int,
) -> Iterator[tuple[int, jax.Array, jax.Array | None]]:
    """Trains one expert; see `train_many`, whose key axis this has not."""
    for epoch, params, loss in train_many(
        network, recipe, augmentation, images, labels, key[None], epochs
    ):
        yield epoch, params[0], None if loss is None else loss[0]


def train_many(
    network: Network,
    recipe: Recipe,
    augmentation: Augmentation,
    images: jax.Array,
    labels: jax.Array,
    keys: jax.Array,
    epochs: int,
    seen: Callable[[int], np.ndarray] | None = None,
) -> Iterator[tuple[int, jax.Array, jax.Array | None]]:
    """Trains several experts side by side.

    Each equals the one trained alone from its key, to rounding.

    Args:
      network, recipe, augmentation: what is trained, and how.
      images, labels: the training set, float32 [n, h, w, c] in model space and int [n].
      keys: one of each expert [k].
      epochs: how many.
      seen: the images of an epoch, counted from 0: int32 [n], each its own index or
        -1 (see `schedule`); None shows all of them to every epoch.

    Yields:
      (epoch, weights [k, P], mean training loss [k]) for epochs 0, before any
      training and with the loss None, to `epochs`. An epoch may still be
      computing when it is yielded.
    """
    images, labels = jnp.asarray(images), jnp.asarray(labels)
    several = len(keys) > 1
    keys = keys if several else keys[0]

    def lead(x: jax.Array) -> jax.Array:
        return x if several else x[None]

    size = min(recipe.batch_size, len(images))
    run = make_epoch(network, recipe, augmentation, side_by_side=several)
    state = _start(network, keys)
    yield 0, lead(state.params), None
    for epoch in range(1, epochs + 1):
        indices = np.arange(len(images)) if seen is None else seen(epoch - 1)
        order, step_keys = _draws(keys, epoch, indices, batch_size=size)
        state, loss = run(state, images, labels, order, step_keys)
        yield epoch, lead(state.params), lead(loss)


def _each(function: Callable, keys: jax.Array) -> Any:
    """A function of one key, of the one there is or of every one [k]."""
    return (jax.vmap(function) if keys.ndim else function)(keys)


@functools.partial(jax.jit, static_argnames="network")
def _start(network: Network, keys: jax.Array) -> ExpertState:
    return _each(lambda key: init(network, jax.random.fold_in(key, 0)), keys)


@functools.partial(jax.jit, static_argnames="batch_size")
def _draws(keys, epoch, indices, *, batch_size: int) -> tuple[jax.Array, jax.Array]:
    """The batches of an epoch on `indices`, and its steps' key; for one expert or several."""
    steps = math.ceil(len(indices) / batch_size)

    def one(key):
        order_key, step_key = jax.random.split(jax.random.fold_in(key, epoch))
        return epoch_order(order_key, indices, batch_size=batch_size, steps=steps), step_key

    return _each(one, keys)
