"""Training fresh networks on a synthetic set, and their accuracy on test images.

The protocol is the field's own (MTT's `evaluate_synset`): SGD with momentum and
weight decay on augmented batches, one drop of the learning rate, and one look at
the test images, after the last epoch.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax import compilation
from dpd_jax.augment import Augmentation, augment
from dpd_jax.errors import UserError
from dpd_jax.networks import Network
from dpd_jax.student import soft_cross_entropy

# How often a person hears of one group of networks while it trains.
_REPORTS = 20


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a network is trained on a synthetic set.

    Attributes:
      epochs: passes over the set. Papers say 1000; their loops run 1001.
      batch_size: images a step; the last batch of an epoch may be smaller.
      momentum: heavy ball, before the drop.
      weight_decay: coupled L2 on every parameter, norms and biases included.
      decay_epoch: epochs at the full rate, that is, the index of the first
        epoch after the drop (papers: 502). No drop if not below `epochs`.
      decay_factor: factor on the learning rate from then on.
      decay_momentum: momentum from then on.
      reset_momentum: whether the velocity starts at zero after the drop, as
        in the released programs, which make a new optimiser there.

    Raises:
      UserError: for values out of range.
    """

    epochs: int
    batch_size: int
    momentum: float
    weight_decay: float
    decay_epoch: int
    decay_factor: float
    decay_momentum: float
    reset_momentum: bool

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            _at_least_one(f"evaluate.{name}", getattr(self, name))
        for name in ("momentum", "decay_momentum"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise UserError(f"evaluate.{name} = {value} must be in [0, 1).")
        for name in ("weight_decay", "decay_epoch", "decay_factor"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UserError(f"evaluate.{name} = {value} must be finite and not negative.")


class EvalState(NamedTuple):
    """One network in training; several side by side have a leading axis but for `epoch`.

    Attributes:
      params: [P].
      stats: running statistics of its norms, {} if it has none.
      velocity: momentum buffer [P].
      key: randomness of its batches and augmentation.
      epoch: how many it has trained, int32 scalar.
    """

    params: jax.Array
    stats: Any
    velocity: jax.Array
    key: jax.Array
    epoch: jax.Array


_SIDE_BY_SIDE = EvalState(params=0, stats=0, velocity=0, key=0, epoch=None)


class Evaluation(NamedTuple):
    """What several fresh networks made of one synthetic set.

    Attributes:
      accuracies: share of the test images classified correctly, float64 [r].
      losses: mean training loss of the last epoch, float32 [r].
      diverged: which networks ended with a parameter that is not finite,
        bool [r]. Their accuracy is that of the argmax of their logits.
    """

    accuracies: np.ndarray
    losses: np.ndarray
    diverged: np.ndarray

    @property
    def mean(self) -> float:
        return float(np.mean(self.accuracies))

    @property
    def std(self) -> float:
        """Population standard deviation (divisor r), as in the papers' programs."""
        return float(np.std(self.accuracies))

    def __str__(self) -> str:
        count = len(self.accuracies)
        text = f"{100 * self.mean:.2f} ± {100 * self.std:.2f} % ({count} networks)"
        if self.diverged.any():
            text += f", {int(self.diverged.sum())} of them diverged"
        return text


def schedule(protocol: Protocol, learning_rate: Any, epoch: Any) -> tuple[Any, Any, Any]:
    """Learning rate, momentum and whether the velocity is emptied, at the start of an epoch."""
    late = jnp.asarray(epoch) >= protocol.decay_epoch
    rate = learning_rate * jnp.where(late, protocol.decay_factor, 1.0)
    momentum = jnp.where(late, protocol.decay_momentum, protocol.momentum)
    dropped = jnp.asarray(epoch) == protocol.decay_epoch
    return rate, momentum, dropped & (protocol.reset_momentum and protocol.decay_epoch > 0)


def init(network: Network, key: jax.Array) -> EvalState:
    """A fresh network before its first epoch."""
    init_key, train_key = jax.random.split(key)
    params = network.init(init_key)
    return EvalState(
        params=params,
        stats=network.init_stats(),
        velocity=jnp.zeros_like(params),
        key=train_key,
        epoch=jnp.zeros((), jnp.int32),
    )


def _loss(params, stats, images, label_logits, network):
    """-mean_i sum_c softmax(y_i)_c log softmax(f(x_i))_c, and the statistics after the batch."""
    logits, stats = network.apply_and_update(params, images, stats)
    return jnp.mean(soft_cross_entropy(logits, label_logits)), stats


def _epoch(network, protocol, augmentation, state, images, label_logits, learning_rate, order):
    """One pass over the images `order` [m]; returns the state and the mean loss of its batches."""
    rate, momentum, emptied = schedule(protocol, learning_rate, state.epoch)
    order_key, augment_key = jax.random.split(jax.random.fold_in(state.key, state.epoch))
    if order is None:
        order = jax.random.permutation(order_key, len(images))

    def step(carry, batch):
        params, stats, velocity = carry
        rows, place = batch
        x = augment(jax.random.fold_in(augment_key, place), images[rows], augmentation)
        (loss, stats), gradient = jax.value_and_grad(_loss, has_aux=True)(
            params, stats, x, label_logits[rows], network
        )
        velocity = momentum * velocity + gradient + protocol.weight_decay * params
        return (params - rate * velocity, stats, velocity), loss

    size = min(protocol.batch_size, len(order))
    full, rest = divmod(len(order), size)
    batches = (order[: full * size].reshape(full, size), jnp.arange(full))
    carry = (state.params, state.stats, jnp.where(emptied, 0.0, state.velocity))
    carry, losses = jax.lax.scan(step, carry, batches)
    if rest:
        # A step of its own shape: padding would disturb norms over the batch.
        carry, last = step(carry, (order[full * size :], full))
        losses = jnp.append(losses, last)
    params, stats, velocity = carry
    return EvalState(params, stats, velocity, state.key, state.epoch + 1), jnp.mean(losses)


def epochs_a_call(protocol: Protocol) -> int:
    """The `chunk` of `make_epochs` with which `evaluate` trains."""
    return math.ceil(protocol.epochs / _REPORTS)


@functools.cache
def make_epochs(
    network: Network,
    protocol: Protocol,
    augmentation: Augmentation,
    chunk: int,
    *,
    side_by_side: bool,
) -> Callable:
    """A jitted function that trains for `chunk` epochs, or fewer where the protocol ends.

    The same arguments give the same function, so that it is compiled once.

    Args:
      network, protocol, augmentation: what is trained, and how.
      chunk: epochs a call.
      side_by_side: whether the state holds several networks [r, ...], each
        trained as it would be alone.

    Returns:
      epochs(state, images [n,h,w,c], label_logits [n,k], learning_rate,
      orders) -> (state, losses). `losses` [chunk] ([r, chunk] for several
      networks) are the epochs' mean training losses, NaN for those beyond the
      protocol's end. `orders`, int32 [chunk, m], names the images of each epoch
      in order of use, cut into batches from the front; None shuffles all n.
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
        in_axes = (_SIDE_BY_SIDE, None, None, None, None)
        epochs = jax.vmap(epochs, in_axes, (_SIDE_BY_SIDE, 0))
    return compilation.jit(epochs)


@functools.partial(jax.jit, static_argnames="network")
def _batch_logits(network, params, stats, images):
    return network.apply(params, images, stats)


def logits(network: Network, params: Any, stats: Any, images: Any, batch_size: int) -> np.ndarray:
    """Logits [m, k] of images [m, h, w, c] in model space, `batch_size` at a time.

    Batch norm uses `stats`, or where there are none, as of an expert, the moments of
    the `batch_size` images.
    """
    _at_least_one("evaluate.test_batch", batch_size)
    size = min(batch_size, len(images))
    params, out = jnp.asarray(params), []
    for start in range(0, len(images), size):
        # A last short batch begins anew with the first images: one program serves all.
        rows = np.arange(start, start + size) % len(images)
        out.append(_batch_logits(network, params, stats, jnp.asarray(images[rows])))
    return np.concatenate(jax.device_get(out))[: len(images)]


def accuracy(
    network: Network, params: Any, stats: Any, images: Any, labels: Any, batch_size: int
) -> float:
    """The exact share of images [m, h, w, c] whose largest logit is that of their label [m]."""
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
    num_networks: int,
    at_once: int,
    test_batch: int,
    progress: Callable[[float, str], None] | None = None,
) -> Evaluation:
    """Trains fresh networks on a synthetic set and tests each once, at the end.

    Args:
      network, protocol, augmentation: what is trained, and how.
      images, label_logits: the set, [n, h, w, c] in model space and [n, k].
      learning_rate: of the first epochs; papers use the learned step size.
      test_images, test_labels: [m, h, w, c] in model space and [m].
      key: network i is a function of `fold_in(key, i)`, whatever `at_once` is.
      num_networks: r, how many networks.
      at_once: how many train side by side; the numbers agree to rounding.
      test_batch: test images a call.
      progress: called with the share of the work done and a few words.

    Raises:
      UserError: if the learning rate is not positive and finite, or the set
        does not fit the network.
    """
    _check(network, images, label_logits, learning_rate)
    _at_least_one("evaluate.num_networks", num_networks)
    _at_least_one("evaluate.at_once", at_once)
    images, label_logits = jnp.asarray(images), jnp.asarray(label_logits)
    accuracies, losses, diverged = [], [], []

    def tell(first: int, count: int, share: float, text: str) -> None:
        if progress:
            who = f"network {first + 1}" + (f"-{first + count}" if count > 1 else "")
            progress((first + count * share) / num_networks, f"{who} of {num_networks}, {text}")

    for first in range(0, num_networks, at_once):
        count = min(at_once, num_networks - first)
        places = jnp.arange(first, first + count)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, places)
        told = functools.partial(tell, first, count)
        for params, stats, loss in _train(
            network, protocol, augmentation, images, label_logits, learning_rate, keys, told
        ):
            accuracies.append(
                accuracy(network, params, stats, test_images, test_labels, test_batch)
            )
            losses.append(loss)
            diverged.append(not bool(jnp.isfinite(params).all()))
            told(1.0, f"accuracy {100 * accuracies[-1]:.2f} %")
    return Evaluation(np.array(accuracies), np.array(losses, np.float32), np.array(diverged))


def _train(
    network, protocol, augmentation, images, label_logits, learning_rate, keys, told
) -> Iterator[tuple[jax.Array, Any, float]]:
    """Trains one network a key, side by side, and yields (params, stats, last loss) of each."""
    several = len(keys) > 1
    if several:
        state = jax.vmap(functools.partial(init, network), out_axes=_SIDE_BY_SIDE)(keys)
    else:
        state = init(network, keys[0])
    chunk = epochs_a_call(protocol)
    epochs = make_epochs(network, protocol, augmentation, chunk, side_by_side=several)
    for begin in range(0, protocol.epochs, chunk):
        done = min(begin + chunk, protocol.epochs)
        state, losses = epochs(state, images, label_logits, learning_rate, None)
        last = np.atleast_2d(losses)[:, done - begin - 1]
        told(done / protocol.epochs, f"epoch {done} of {protocol.epochs}, loss {last.mean():.4g}")
    for i, loss in enumerate(last):
        trained = (state.params, state.stats)
        if several:
            trained = jax.tree.map(lambda x, i=i: x[i], trained)
        yield *trained, float(loss)


def _check(network: Network, images: Any, label_logits: Any, learning_rate: float) -> None:
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise UserError(
            f"the evaluation's learning rate is {learning_rate}, but must be positive and finite. "
            "It is evaluate.learning_rate, or where that is 0 the set's learned step size: a step "
            "size like this comes from a distillation that diverged."
        )
    expected = (len(images), *network.image_shape), (len(images), network.num_classes)
    if (np.shape(images), np.shape(label_logits)) != expected or not len(images):
        raise UserError(
            f"a synthetic set with images {np.shape(images)} and label logits "
            f"{np.shape(label_logits)} does not fit a network for images {network.image_shape} "
            f"and {network.num_classes} classes."
        )


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise UserError(f"{name} = {value} must be at least 1.")
