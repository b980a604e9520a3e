"""Training of fresh networks on a synthetic set, and their accuracy on test images.

The protocol is that of the papers (MTT's `evaluate_synset`): SGD with momentum and weight decay on
augmented batches, and one drop of the learning rate. The accuracy is that after the last epoch. The
best of several tests is a separate number, because the test images choose it.
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

from dpd_jax import compilation
from dpd_jax.augment import Augmentation, augment
from dpd_jax.errors import UserError, check_range
from dpd_jax.networks import Network
from dpd_jax.student import soft_cross_entropy


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a network is trained on a synthetic set. The default is that of MTT's program.

    Attributes:
      epochs: passes over the set. The papers say 1000; their loops run 1001.
      batch_size: images per step; the last batch of an epoch may be smaller.
      momentum: heavy-ball momentum before the drop.
      weight_decay: coupled L2 on every parameter, including norms and biases.
      decay_epoch: index of the first epoch after the drop of the learning rate. There is no drop
        if it is not below `epochs`.
      decay_factor: factor on the learning rate after the drop.
      decay_momentum: momentum after the drop.
      reset_momentum: whether the velocity is set to zero at the drop, as in the released programs,
        which create a new optimiser there.
      test_every: epochs between tests during training; 0 = one test, after the last epoch.

    Raises:
      UserError: for values out of range.
    """

    epochs: int = 1001
    batch_size: int = 128
    momentum: float = 0.9
    weight_decay: float = 5e-4
    decay_epoch: int = 502
    decay_factor: float = 0.1
    decay_momentum: float = 0.9
    reset_momentum: bool = True
    test_every: int = 0

    def __post_init__(self):
        for names, interval in (
            (("epochs", "batch_size"), "[1, inf)"),
            (("momentum", "decay_momentum"), "[0, 1)"),
            (("weight_decay", "decay_epoch", "decay_factor", "test_every"), "[0, inf)"),
        ):
            for name in names:
                check_range(f"evaluate.{name}", getattr(self, name), interval)


class EvalState(NamedTuple):
    """A network in training; several networks have a leading axis, except in `epoch`.

    Attributes:
      params: weights [P].
      stats: running statistics of its norms; {} if it has none.
      velocity: momentum buffer [P].
      key: randomness of its batches and its augmentation.
      epoch: epochs done, int32 scalar.
    """

    params: jax.Array
    stats: Any
    velocity: jax.Array
    key: jax.Array
    epoch: jax.Array


SIDE_BY_SIDE = EvalState._make((0, 0, 0, 0, None))  # The axes of several networks.


class Evaluation(NamedTuple):
    """The results of r networks trained on one synthetic set.

    Attributes:
      accuracies: share of the test images that is classified correctly after the last epoch,
        float64 [r].
      losses: mean training loss of the last epoch, float32 [r].
      diverged: whether a weight is not finite at the end, bool [r]. Such a network's accuracy is
        still that of the largest logits.
      best: largest share in any test (see `Protocol.test_every`), float64 [r]. It is chosen on the
        test images, so it is too high.
    """

    accuracies: np.ndarray
    losses: np.ndarray
    diverged: np.ndarray
    best: np.ndarray

    @property
    def mean(self) -> float:
        return float(np.mean(self.accuracies))

    @property
    def std(self) -> float:
        """Population standard deviation (divisor r), as in the released programs."""
        return float(np.std(self.accuracies))

    def __str__(self) -> str:
        count = len(self.accuracies)
        text = f"{100 * self.mean:.2f} ± {100 * self.std:.2f} % ({count} networks)"
        if self.diverged.any():
            text += f", {int(self.diverged.sum())} of them diverged"
        if (self.best > self.accuracies).any():
            text += (
                f"; best on test {100 * np.mean(self.best):.2f} ± {100 * np.std(self.best):.2f} %"
            )
        return text


def schedule(protocol: Protocol, learning_rate: Any, epoch: Any) -> tuple[Any, Any, Any]:
    """Learning rate, momentum, and whether the velocity is set to zero, at an epoch's start."""
    late = jnp.asarray(epoch) >= protocol.decay_epoch
    rate = learning_rate * jnp.where(late, protocol.decay_factor, 1.0)
    momentum = jnp.where(late, protocol.decay_momentum, protocol.momentum)
    reset = jnp.asarray(epoch) == protocol.decay_epoch
    return rate, momentum, reset & (protocol.reset_momentum and protocol.decay_epoch > 0)


def init(network: Network, key: jax.Array) -> EvalState:
    """A fresh network before its first epoch."""
    init_key, train_key = jax.random.split(key)
    params = network.init(init_key)
    velocity, epoch = jnp.zeros_like(params), jnp.zeros((), jnp.int32)
    return EvalState(params, network.init_stats(), velocity, train_key, epoch)


def _epoch(network, protocol, augmentation, state, images, label_logits, learning_rate, order):
    """One epoch on the images `order` [m]: the new state and the mean loss of its batches."""
    rate, momentum, reset = schedule(protocol, learning_rate, state.epoch)
    order_key, augment_key = jax.random.split(jax.random.fold_in(state.key, state.epoch))
    if order is None:
        order = jax.random.permutation(order_key, len(images))

    def step(carry, batch):
        params, stats, velocity = carry
        rows, number = batch
        x = augment(jax.random.fold_in(augment_key, number), images[rows], augmentation)

        def loss_of(params):
            logits, updated = network.apply_and_update(params, x, stats)
            return jnp.mean(soft_cross_entropy(logits, label_logits[rows])), updated

        (loss, stats), gradient = jax.value_and_grad(loss_of, has_aux=True)(params)
        velocity = momentum * velocity + gradient + protocol.weight_decay * params
        return (params - rate * velocity, stats, velocity), loss

    size = min(protocol.batch_size, len(order))
    full, rest = divmod(len(order), size)
    batches = (order[: full * size].reshape(full, size), jnp.arange(full))
    carry = (state.params, state.stats, jnp.where(reset, 0.0, state.velocity))
    carry, losses = jax.lax.scan(step, carry, batches)
    if rest:
        # A step of another shape, because padding would change norms over the batch.
        carry, last = step(carry, (order[full * size :], full))
        losses = jnp.append(losses, last)
    params, stats, velocity = carry
    return EvalState(params, stats, velocity, state.key, state.epoch + 1), jnp.mean(losses)


def epochs_a_call(protocol: Protocol) -> int:
    """Epochs in one call of the compiled function (the `chunk` of `make_epochs`)."""
    # 20 progress reports per group of networks, or one test after each call.
    return protocol.test_every or math.ceil(protocol.epochs / 20)


@functools.cache
def make_epochs(
    network: Network,
    protocol: Protocol,
    augmentation: Augmentation,
    chunk: int,
    *,
    side_by_side: bool,
) -> Callable:
    """Compiles the training of up to `chunk` epochs, once for each set of arguments.

    Args:
      network, protocol, augmentation: what is trained, and how.
      chunk: epochs per call.
      side_by_side: whether the state holds several networks [r, ...].

    Returns:
      epochs(state, images [n, h, w, c], label_logits [n, k], learning_rate,
      orders) -> (state, losses). `orders`, int32 [chunk, m] or [r, chunk, m], are the images of
      each epoch in order of use; None shuffles all n. `losses`, [chunk] or [r, chunk], are the mean
      training losses of the epochs. Epochs after the protocol's last do nothing and have loss NaN.
    """

    def epochs(state, images, label_logits, learning_rate, orders):
        data = (images, label_logits, learning_rate)

        def body(state, order):
            return jax.lax.cond(
                state.epoch < protocol.epochs,
                lambda: _epoch(network, protocol, augmentation, state, *data, order),
                lambda: (state, jnp.full((), jnp.nan)),
            )

        return jax.lax.scan(body, state, orders, length=chunk)

    if side_by_side:
        in_axes = (SIDE_BY_SIDE, None, None, None, 0)
        epochs = jax.vmap(epochs, in_axes, (SIDE_BY_SIDE, 0))
    return compilation.jit(epochs)


@functools.partial(jax.jit, static_argnames="network")
def _batch_logits(network, params, stats, images):
    return network.apply(params, images, stats)


@functools.partial(jax.jit, static_argnames="network")
def _batch_features(network, params, images):
    return network.features(params, images)


def _in_batches(function: Callable, images: Any, size: int) -> np.ndarray:
    """`function` of images, `size` at a time, as one array [m, ...]."""
    # The last batch is padded with the first images, so that one compilation is enough.
    rows = np.resize(np.arange(len(images)), (math.ceil(len(images) / size), size))
    found = [function(jnp.asarray(images[row])) for row in rows]
    return np.concatenate(jax.device_get(found))[: len(images)]


def logits(network: Network, params: Any, stats: Any, images: Any, batch_size: int) -> np.ndarray:
    """The logits float32 [m, k] of images without augmentation.

    Args:
      network, params: the network and its weights [P].
      stats: running statistics; {} for an expert, whose batch norm, if any, then uses the moments
        of each batch.
      images: [m, h, w, c] in model space.
      batch_size: images at a time; speed only, except for such a batch norm.

    Raises:
      UserError: if `batch_size` is below 1.
    """
    check_range("evaluate.test_batch", batch_size, "[1, inf)")
    chex.assert_rank([params, images], [1, 4])
    function = functools.partial(_batch_logits, network, jnp.asarray(params), stats)
    return _in_batches(function, images, min(batch_size, len(images)))


def features(network: Network, params: Any, images: Any, batch_size: int) -> np.ndarray:
    """The classifier's inputs for images; otherwise as `logits`. Returns [m, f]."""
    # Always whole batches: calls for classes of different sizes need one compilation.
    return _in_batches(functools.partial(_batch_features, network, params), images, batch_size)


def accuracy(
    network: Network, params: Any, stats: Any, images: Any, labels: Any, batch_size: int
) -> float:
    """The share of images [m, h, w, c] whose largest logit is that of their label [m]."""
    chex.assert_shape(labels, (len(images),))
    predictions = np.argmax(logits(network, params, stats, images, batch_size), -1)
    return float(np.mean(predictions == np.asarray(labels)))


def evaluate(
    network: Network,
    protocol: Protocol,
    augmentation: Augmentation,
    images: Any,
    label_logits: Any,
    learning_rate: float,
    test_images: Any,
    test_labels: Any,
    key: jax.Array,
    *,
    num_networks: int = 5,
    at_once: int = 1,
    test_batch: int = 500,
    first: int = 0,
    progress: Callable[[float, str], None] | None = None,
    trained: Callable[[int, jax.Array, Any], None] | None = None,
) -> Evaluation:
    """Trains fresh networks on a synthetic set and tests them.

    Args:
      network, protocol, augmentation: what is trained, and how.
      images, label_logits: the set, [n, h, w, c] in model space and [n, k]. Images may also be a
        pytree that is read as `images[rows]`, like `model_images.DeviceImages`.
      learning_rate: before the drop; the papers use the learned step size.
      test_images, test_labels: [m, h, w, c] in model space and int [m].
      key: randomness; network i uses `fold_in(key, i)`.
      num_networks: r, how many networks.
      at_once: how many train side by side; speed only, up to rounding.
      test_batch: test images at a time; speed only.
      first: number of the first network; the earlier ones are not trained.
      progress: called with the share of the work that is done and a short text.
      trained: called with the number, weights [P] and running statistics of each trained network.

    Raises:
      UserError: if the learning rate is not positive and finite, or the set does not fit the
        network.
    """
    _check(network, images, label_logits, learning_rate)
    check_range("evaluate.num_networks", num_networks, "[1, inf)")
    check_range("evaluate.at_once", at_once, "[1, inf)")
    chex.assert_shape(test_images, (None, *network.image_shape))
    chex.assert_shape(test_labels, (len(test_images),))
    images, label_logits = jax.tree.map(jnp.asarray, (images, label_logits))
    results = []

    def report(begin: int, count: int, share: float, text: str) -> None:
        if progress:
            name = f"network {begin + 1}" + (f"-{begin + count}" if count > 1 else "")
            done = (begin - first + count * share) / num_networks
            progress(done, f"{name} of {first + num_networks}, {text}")

    for begin in range(first, first + num_networks, at_once):
        numbers = range(begin, min(begin + at_once, first + num_networks))
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.array(numbers))
        report_group = functools.partial(report, begin, len(numbers))
        best = np.zeros(len(numbers))
        for tested in _train(
            network, protocol, augmentation, images, label_logits, learning_rate, keys, report_group
        ):
            group, losses = tested
            shares = [
                accuracy(network, params, stats, test_images, test_labels, test_batch)
                for params, stats in group
            ]
            best = np.maximum(best, shares)
        report_group(1.0, f"accuracy {100 * np.mean(shares):.2f} %")
        for i, (number, (params, stats)) in enumerate(zip(numbers, group, strict=True)):
            if trained:
                trained(number, params, stats)
            results.append((shares[i], losses[i], not bool(jnp.isfinite(params).all()), best[i]))
    return Evaluation(*map(np.array, zip(*results, strict=True)))


def _train(
    network, protocol, augmentation, images, label_logits, learning_rate, keys, report
) -> Iterator[tuple[list[tuple[jax.Array, Any]], np.ndarray]]:
    """Trains one network per key, side by side.

    Yields the (params, stats) of each network and their last losses [r], whenever the networks are
    to be tested, and after the last epoch.
    """
    several = len(keys) > 1
    if several:
        state = jax.vmap(functools.partial(init, network), out_axes=SIDE_BY_SIDE)(keys)
    else:
        state = init(network, keys[0])
    chunk = epochs_a_call(protocol)
    epochs = make_epochs(network, protocol, augmentation, chunk, side_by_side=several)
    for begin in range(0, protocol.epochs, chunk):
        done = min(begin + chunk, protocol.epochs)
        state, losses = epochs(state, images, label_logits, learning_rate, None)
        last = np.atleast_2d(losses)[:, done - begin - 1]
        report(done / protocol.epochs, f"epoch {done} of {protocol.epochs}, loss {last.mean():.4g}")
        if protocol.test_every or done == protocol.epochs:
            trained = (state.params, state.stats)
            yield (
                (
                    [jax.tree.map(lambda x, i=i: x[i], trained) for i in range(len(keys))]
                    if several
                    else [trained]
                ),
                last,
            )


def _check(network: Network, images: Any, label_logits: Any, learning_rate: float) -> None:
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise UserError(
            f"the evaluation's learning rate is {learning_rate}, but must be positive and finite. "
            "It is evaluate.learning_rate, or the learned step size if that is 0. A learned step "
            "size like this comes from a distillation that diverged."
        )
    expected = (len(images), *network.image_shape), (len(images), network.num_classes)
    if (np.shape(images), np.shape(label_logits)) != expected or not len(images):
        raise UserError(
            f"a synthetic set with images {np.shape(images)} and label logits "
            f"{np.shape(label_logits)} does not fit a network for images {network.image_shape} "
            f"and {network.num_classes} classes."
        )
