"""Evaluation of a linear classifier, whose training is easy to write down, and of ConvNets."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dpd_jax import evaluate
from dpd_jax.errors import UserError
from dpd_jax.evaluate import Protocol
from dpd_jax.synthetic import hard_labels
from tests import toys

PLAIN = toys.augmentation()
AUGMENTED = toys.augmentation("flip", "color")
PROTOCOL = Protocol(
    epochs=7,
    batch_size=4,
    momentum=0.9,
    weight_decay=0.01,
    decay_epoch=4,
    decay_factor=0.1,
    decay_momentum=0.5,
    reset_momentum=True,
)


@dataclasses.dataclass(frozen=True)
class Linear:
    """logits = x W, with the interface of a Network."""

    image_shape: tuple[int, int, int] = (2, 2, 1)
    num_classes: int = 3

    def init(self, key):
        return 0.1 * jax.random.normal(key, (4 * self.num_classes,))

    def init_stats(self):
        return {}

    def apply(self, params, images, stats=None):
        del stats
        return images.reshape(len(images), -1) @ params.reshape(4, self.num_classes)

    def apply_and_update(self, params, images, stats):
        return self.apply(params, images), stats


def toy(num_images, image_shape=(2, 2, 1), seed=0):
    """Images [n, ...] around one centre a class, their label logits, their classes."""
    rng = np.random.default_rng(seed)
    classes = np.arange(num_images) % 3
    centres = np.random.default_rng(1).normal(size=(3, *image_shape))
    images = centres[classes] + 0.1 * rng.normal(size=(num_images, *image_shape))
    return images.astype(np.float32), hard_labels(classes, 3), classes


def by_hand(start, protocol, images, labels, rate, orders):
    """The same training with optax and Python loops."""

    def loss(params, rows):
        logits = Linear().apply(params, images[rows])
        targets = jax.nn.softmax(labels[rows])
        return -jnp.mean(jnp.sum(targets * jax.nn.log_softmax(logits), -1))

    params, losses, optimizer = start, [], None
    for epoch, order in enumerate(orders):
        if epoch in (0, protocol.decay_epoch):
            late = epoch == protocol.decay_epoch
            optimizer = optax.chain(
                optax.add_decayed_weights(protocol.weight_decay),
                optax.sgd(
                    rate * (protocol.decay_factor if late else 1.0),
                    momentum=protocol.decay_momentum if late else protocol.momentum,
                ),
            )
            if not late or protocol.reset_momentum:
                memory = optimizer.init(params)
        seen = []
        for start in range(0, len(order), protocol.batch_size):
            rows = order[start : start + protocol.batch_size]
            value, gradient = jax.value_and_grad(loss)(params, rows)
            updates, memory = optimizer.update(gradient, memory, params)
            params = optax.apply_updates(params, updates)
            seen.append(float(value))
        losses.append(np.mean(seen))
    return params, losses


@pytest.mark.parametrize(("used", "reset_momentum"), [(3, True), (8, False), (10, True)])
def test_epochs_are_sgd_with_a_drop_and_a_short_last_batch(used, reset_momentum):
    protocol = dataclasses.replace(PROTOCOL, reset_momentum=reset_momentum)
    images, _, _ = toy(10)
    labels = jax.random.normal(jax.random.key(5), (10, 3))
    orders = np.stack([np.random.default_rng(e).permutation(10)[:used] for e in range(7)])
    state = evaluate.init(Linear(), jax.random.key(0))
    params, losses = by_hand(state.params, protocol, images, labels, 0.5, orders)
    epochs = evaluate.make_epochs(Linear(), protocol, PLAIN, 7, side_by_side=False)
    state, ours = epochs(state, images, labels, 0.5, orders)
    np.testing.assert_allclose(state.params, params, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours, losses, rtol=1e-5)


def test_an_epoch_uses_every_image_once_in_an_order_of_its_own():
    images, labels, _ = toy(12)
    protocol = dataclasses.replace(PROTOCOL, momentum=0.0, weight_decay=0.0, epochs=2)
    epochs = evaluate.make_epochs(Linear(), protocol, PLAIN, 1, side_by_side=False)
    rate, reached = 1e-3, []
    for seed in (0, 1):
        state = evaluate.init(Linear(), jax.random.key(seed))
        state = state._replace(params=jnp.zeros(12))
        state, _ = epochs(state, images, labels, rate, None)
        reached.append(state.params)

    # Where every image is used once, a small rate sums the gradients at the start.
    def loss(params):
        return optax.softmax_cross_entropy(Linear().apply(params, images), labels / 1000).mean()

    expected = -rate * 3 * jax.grad(loss)(jnp.zeros(12))
    for params in reached:
        np.testing.assert_allclose(params, expected, rtol=0.01, atol=1e-6)
    assert not np.array_equal(*reached)


@pytest.mark.parametrize("chunk", [1, 3])
def test_the_length_of_a_chunk_does_not_matter(chunk):
    images, labels, _ = toy(4)
    state = evaluate.init(Linear(), jax.random.key(0))
    whole = evaluate.make_epochs(Linear(), PROTOCOL, AUGMENTED, 7, side_by_side=False)
    expected, expected_losses = whole(state, images, labels, 0.1, None)
    epochs = evaluate.make_epochs(Linear(), PROTOCOL, AUGMENTED, chunk, side_by_side=False)
    found = []
    while state.epoch < PROTOCOL.epochs:
        state, losses = epochs(state, images, labels, 0.1, None)
        found.append(losses)
    found = np.concatenate(found)
    assert int(state.epoch) == 7
    np.testing.assert_allclose(state.params, expected.params, rtol=1e-6)
    np.testing.assert_allclose(found[:7], expected_losses, rtol=1e-6)
    assert np.isnan(found[7:]).all()


def test_the_same_arguments_are_compiled_once():
    one, other = (
        evaluate.make_epochs(Linear(), dataclasses.replace(PROTOCOL), PLAIN, 2, side_by_side=False)
        for _ in range(2)
    )
    assert one is other


def run(network, num_images, *, protocol=PROTOCOL, augmentation=PLAIN, rate=0.1, **changes):
    images, labels, _ = toy(num_images, network.image_shape)
    test_images, _, test_labels = toy(31, network.image_shape, seed=2)
    settings = dict(num_networks=5, at_once=1, test_batch=8) | changes
    return evaluate.evaluate(
        network,
        protocol,
        augmentation,
        images,
        labels,
        rate,
        test_images,
        test_labels,
        jax.random.key(3),
        **settings,
    )


def test_networks_side_by_side_are_those_one_after_another():
    network = toys.convnet(depth=1, norm="batch")
    protocol = dataclasses.replace(PROTOCOL, epochs=3, decay_epoch=2)
    settings = dict(protocol=protocol, augmentation=AUGMENTED, num_networks=4)
    alone = run(network, 3, at_once=1, **settings)
    assert len(set(alone.losses)) == 4, "every network is another one"
    # Three, then one.
    together = run(network, 3, at_once=3, **settings)
    np.testing.assert_allclose(together.losses, alone.losses, rtol=1e-4)
    np.testing.assert_allclose(together.accuracies, alone.accuracies, atol=1.01 / 31)


def test_it_learns_what_can_be_learned_and_repeats_itself():
    protocol = dataclasses.replace(PROTOCOL, epochs=60, decay_epoch=40, weight_decay=0.0)
    result = run(Linear(), 6, protocol=protocol, rate=0.3)
    assert result.mean == 1.0 and result.std == 0.0
    assert not result.diverged.any()
    again = run(Linear(), 6, protocol=protocol, rate=0.3)
    np.testing.assert_array_equal(result.losses, again.losses)


def test_running_statistics_are_carried_and_used():
    network = toys.convnet(depth=1, norm="batch")
    images, labels, _ = toy(6, (8, 8, 1))
    state = evaluate.init(network, jax.random.key(0))
    epochs = evaluate.make_epochs(network, PROTOCOL, PLAIN, 7, side_by_side=False)
    after, _ = epochs(state, images, labels, 0.1, None)
    before_stats, after_stats = jax.tree.leaves(state.stats), jax.tree.leaves(after.stats)
    assert before_stats and not any(map(np.array_equal, before_stats, after_stats))
    together = evaluate.logits(network, after.params, after.stats, images, 6)
    alone = evaluate.logits(network, after.params, after.stats, images, 1)
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 31, 100])
def test_accuracy_counts_every_image_once(batch_size):
    images, _, classes = toy(31)
    # A classifier that is right by construction, then 9 labels made wrong.
    images = np.eye(4, dtype=np.float32)[classes].reshape(31, 2, 2, 1)
    params = jnp.eye(4, 3).reshape(-1)
    labels = np.where(np.arange(31) < 9, (classes + 1) % 3, classes)
    assert evaluate.accuracy(Linear(), params, {}, images, labels, batch_size) == 22 / 31


def test_a_diverged_network_is_reported_and_still_counted():
    result = run(Linear(), 6, rate=1e30, num_networks=2)
    assert result.diverged.all()
    test_labels = toy(31, seed=2)[2]
    # The argmax of logits that are no numbers is class 0.
    assert result.mean == pytest.approx(np.mean(test_labels == 0))
    assert "2 of them diverged" in str(result)


def test_progress_moves_forward_to_one():
    seen = []
    run(Linear(), 6, at_once=2, progress=lambda fraction, text: seen.append((fraction, text)))
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert 0 < fractions[0] < 0.2
    assert "network 1-2 of 5, epoch 1 of 7, loss" in seen[0][1]
    assert "network 5 of 5, accuracy" in seen[-1][1]


@pytest.mark.parametrize("rate", [0.0, -0.01, float("nan"), float("inf")])
def test_an_impossible_learning_rate_is_refused(rate):
    with pytest.raises(UserError, match="learning rate is .*positive and finite"):
        run(Linear(), 6, rate=rate)


def test_a_set_of_another_shape_is_refused():
    images, labels, _ = toy(6)
    rest = (0.1, images, np.zeros(6), jax.random.key(0))
    settings = dict(num_networks=1, at_once=1, test_batch=1)
    for wrong in ((images, labels[:5]), (images[:, :1], labels), (images[:0], labels[:0])):
        with pytest.raises(UserError, match="does not fit"):
            evaluate.evaluate(Linear(), PROTOCOL, PLAIN, *wrong, *rest, **settings)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"momentum": 1.0},
        {"decay_momentum": -0.1},
        {"weight_decay": float("nan")},
        {"decay_epoch": -1},
    ],
)
def test_a_protocol_out_of_range_is_refused(change):
    with pytest.raises(UserError, match=f"evaluate.{next(iter(change))} = "):
        dataclasses.replace(PROTOCOL, **change)


@pytest.mark.parametrize("name", ["num_networks", "at_once", "test_batch"])
def test_counts_below_one_are_refused(name):
    with pytest.raises(UserError, match=f"evaluate.{name} = 0"):
        run(Linear(), 6, **{name: 0})
