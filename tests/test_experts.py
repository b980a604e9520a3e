import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dpd_jax import experts
from dpd_jax.errors import UserError
from tests import toys

SGD = experts.Recipe(
    optimizer="sgd",
    learning_rate=0.1,
    decay_epoch=0,
    decay_factor=1.0,
    reset_momentum=False,
    momentum=0.0,
    weight_decay=0.0,
    rho=0.0,
    gsam_alpha=0.0,
    adaptive=True,
    batch_size=8,
    smoothing=toys.smoothing(),
)
GSAM = dataclasses.replace(SGD, optimizer="gsam", rho=0.1, gsam_alpha=0.3)
PLAIN = toys.augmentation()
SOME = toys.augmentation("cutout", "flip")


@dataclasses.dataclass(frozen=True)
class Perceptron:
    """Two layers: all an expert asks of a network, and quick to compile."""

    image_shape: tuple[int, int, int] = (8, 8, 1)
    hidden: int = 12
    num_classes: int = 3

    def init(self, key):
        size = (64 + self.num_classes) * self.hidden
        return jax.random.normal(key, (size,)) / 8

    def apply(self, params, images):
        first, second = jnp.split(params, [64 * self.hidden])
        x = images.reshape(len(images), 64) @ first.reshape(64, self.hidden)
        return jax.nn.relu(x) @ second.reshape(self.hidden, self.num_classes)


NETWORK = Perceptron()


def data(count=20):
    """Images of three classes that a small network can tell apart."""
    draws = np.random.default_rng(0)
    labels = (np.arange(count) % 3).astype(np.int32)
    prototypes = draws.standard_normal((3, *NETWORK.image_shape))
    noise = draws.standard_normal((count, *NETWORK.image_shape))
    return jnp.asarray(prototypes[labels] + 0.3 * noise, jnp.float32), jnp.asarray(labels)


def order_of(count, batch_size=8, steps=None, seed=1):
    steps = steps or -(-count // batch_size)
    key = jax.random.key(seed)
    return experts.epoch_order(key, jnp.arange(count), batch_size=batch_size, steps=steps)


def one_epoch(recipe, order, network=NETWORK, augmentation=PLAIN, seed=0):
    images, labels = data()
    state = experts.init(network, jax.random.key(seed))
    run = experts.make_epoch(network, recipe, augmentation, side_by_side=False)
    return run(state, images, labels, order, jax.random.key(3))


def by_hand(recipe, order, network=NETWORK):
    """An epoch as a plain loop, each batch of its true size, moved by optax."""
    images, labels = data()

    @jax.jit
    def loss_of(params, rows):
        logits = network.apply(params, images[rows])
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels[rows]).mean()

    params = experts.init(network, jax.random.key(0)).params
    mover = optax.chain(
        optax.add_decayed_weights(recipe.weight_decay),
        optax.sgd(recipe.learning_rate, recipe.momentum or None),
    )
    state, total = mover.init(params), 0.0
    for row in np.asarray(order):
        rows = row[row >= 0]
        loss, gradient = jax.value_and_grad(loss_of)(params, rows)
        updates, state = mover.update(gradient, state, params)
        params, total = optax.apply_updates(params, updates), total + float(loss) * len(rows)
    return params, total / np.sum(np.asarray(order) >= 0)


@pytest.mark.parametrize("count", [1, 7, 8, 20])
def test_an_epoch_sees_every_image_once(count):
    order = np.asarray(order_of(count))
    assert order.dtype == np.int32
    flat = order.reshape(-1)
    assert sorted(flat[:count]) == list(range(count))
    assert np.all(flat[count:] == -1)


def test_orders_differ_by_key_and_keep_the_given_indices():
    key = jax.random.key(0)
    some = jnp.array([3, 30, 300, 3000])
    order = experts.epoch_order(key, some, batch_size=3, steps=4)
    assert order.shape == (4, 3)
    assert sorted(np.asarray(order).reshape(-1)[:4]) == [3, 30, 300, 3000]
    assert np.any(order_of(20, seed=1) != order_of(20, seed=2))
    with pytest.raises(ValueError, match="20 images do not fit 2 batches of 8"):
        order_of(20, steps=2)


@pytest.mark.parametrize(
    "changes", [{}, {"momentum": 0.9}, {"momentum": 0.5, "weight_decay": 0.01}], ids=str
)
def test_an_epoch_is_a_plain_loop(changes):
    recipe = dataclasses.replace(SGD, **changes)
    order = order_of(19)  # Batches of 8, 8 and 3. The 3 images are repeated unevenly up to 8.
    state, loss = one_epoch(recipe, order)
    params, expected_loss = by_hand(recipe, order)
    np.testing.assert_allclose(state.params, params, rtol=1e-4, atol=2e-6)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-5)


def test_a_short_batch_that_repeats_evenly_is_exact_under_batch_norm():
    network = toys.convnet(width=4, depth=1, norm="batch")
    order = order_of(20)  # The last 4 images are repeated evenly up to 8: the same moments.
    state, _ = one_epoch(SGD, order, network)
    np.testing.assert_allclose(state.params, by_hand(SGD, order, network)[0], rtol=1e-4, atol=1e-5)


def test_unused_rows_change_nothing_and_compile_nothing():
    run = experts.make_epoch(NETWORK, SGD, SOME, side_by_side=False)
    images, labels = data()
    state = experts.init(NETWORK, jax.random.key(0))
    key = jax.random.key(3)
    tight = run(state, images, labels, order_of(20), key)
    compiled = run._cache_size()
    roomy = run(state, images, labels, order_of(20, steps=5), key)
    chex.assert_trees_all_equal(roomy, tight)
    run(state, images, labels, order_of(13, steps=5), key)
    assert run._cache_size() == compiled + 1  # For the roomier matrix, once.


def test_the_rate_falls_and_the_momentum_starts_anew_after_the_epoch_that_says_so():
    images, labels = data()
    falling = dataclasses.replace(
        SGD, momentum=0.9, decay_epoch=2, decay_factor=0.5, reset_momentum=True
    )
    low = dataclasses.replace(SGD, momentum=0.9, learning_rate=0.05)
    high = dataclasses.replace(SGD, momentum=0.9)
    fresh = experts.init(NETWORK, jax.random.key(0))
    busy = fresh._replace(velocity=jnp.ones_like(fresh.velocity))

    def after(recipe, state, epoch):
        run = experts.make_epoch(NETWORK, recipe, PLAIN, side_by_side=False)
        state = state._replace(epoch=jnp.asarray(epoch, jnp.int32))
        state, _ = run(state, images, labels, order_of(20), jax.random.key(3))
        assert state.epoch == epoch + 1
        return state.params

    for epoch, recipe, state in ((1, high, busy), (2, low, fresh), (3, low, busy)):
        expected = after(recipe, state, epoch)
        np.testing.assert_allclose(after(falling, busy, epoch), expected, rtol=1e-5, atol=1e-6)


def test_smoothing_follows_the_epochs():
    # A cross entropy of almost no weight moves nothing in the first epoch, in the second half.
    gentle = toys.smoothing(loss_scale=1e-6, loss_scale_epochs=2)
    trajectory = train(dataclasses.replace(SGD, smoothing=gentle), epochs=2)
    weights = [np.asarray(params) for _, params, _ in trajectory]
    np.testing.assert_allclose(weights[1], weights[0], rtol=1e-5, atol=1e-5)
    assert np.max(np.abs(weights[2] - weights[1])) > 1e-3


def test_gsam_without_perturbation_is_sgd():
    order = order_of(20)
    still = dataclasses.replace(GSAM, rho=0.0, gsam_alpha=0.0)
    expected = one_epoch(SGD, order)[0].params
    np.testing.assert_allclose(one_epoch(still, order)[0].params, expected, rtol=1e-5, atol=1e-6)
    assert np.max(np.abs(one_epoch(GSAM, order)[0].params - expected)) > 1e-3


@pytest.mark.parametrize("adaptive", [False, True])
def test_gsam_on_a_parabola(adaptive):
    """Where the gradient is linear, every quantity can be written down."""
    curvature = np.array([1.0, 4.0, 0.5, 2.0])
    w = np.array([1.0, -0.5, 2.0, 0.0])
    g = curvature * w
    s = np.abs(w) if adaptive else np.ones(4)
    perturbed = curvature * (w + 0.1 * s**2 * g / np.linalg.norm(s * g))
    vertical = g - (g @ perturbed) / (perturbed @ perturbed) * perturbed
    assert abs(vertical @ perturbed) < 1e-12
    loss, gradient = experts.gsam_gradient(
        lambda w: jnp.sum(curvature.astype(np.float32) * w**2) / 2,
        jnp.asarray(w, jnp.float32),
        rho=0.1,
        alpha=0.7,
        adaptive=adaptive,
    )
    np.testing.assert_allclose(gradient, perturbed - 0.7 * vertical, rtol=1e-5)
    np.testing.assert_allclose(loss, (curvature * w**2).sum() / 2, rtol=1e-6)


def test_gsam_where_the_gradient_vanishes():
    _, gradient = experts.gsam_gradient(
        lambda w: jnp.sum(w**2), jnp.zeros(3), rho=0.1, alpha=0.3, adaptive=True
    )
    np.testing.assert_array_equal(gradient, np.zeros(3))


def train_one(*arguments):
    """`train_many` for one key, without the axis of experts."""
    *others, key, epochs = arguments
    for epoch, params, loss in experts.train_many(*others, key[None], epochs):
        yield epoch, params[0], None if loss is None else loss[0]


def train(recipe=SGD, augmentation=PLAIN, key=0, epochs=3):
    images, labels = data()
    key = jax.random.key(key)
    return list(train_one(NETWORK, recipe, augmentation, images, labels, key, epochs))


@pytest.mark.parametrize("recipe", [SGD, GSAM], ids=lambda recipe: recipe.optimizer)
def test_training_learns(recipe):
    trajectory = train(recipe, epochs=15)
    assert [epoch for epoch, _, _ in trajectory] == list(range(16))
    assert trajectory[0][2] is None
    assert trajectory[15][2] < 0.3 * trajectory[1][2]


def test_the_start_is_a_fresh_network():
    key = jax.random.key(0)
    expected = NETWORK.init(jax.random.fold_in(key, 0))
    np.testing.assert_array_equal(train()[0][1], expected)


def test_the_same_key_gives_the_same_bits_however_long():
    short, long = train(GSAM, SOME, epochs=2), train(GSAM, SOME, epochs=4)
    for (_, ours, _), (_, theirs, _) in zip(short, long[:3], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert np.any(train(GSAM, SOME, key=1, epochs=1)[1][1] != short[1][1])


def test_every_step_is_augmented_anew():
    order = jnp.tile(jnp.arange(8, dtype=jnp.int32), (2, 1))
    images, labels = data()
    seen = []
    for augmentation in (PLAIN, SOME):
        run = experts.make_epoch(NETWORK, SGD, augmentation, side_by_side=False)
        state = experts.init(NETWORK, jax.random.key(0))
        for key in (1, 2):
            moved, _ = run(state, images, labels, order, jax.random.key(key))
            seen.append(np.asarray(moved.params))
    np.testing.assert_array_equal(seen[0], seen[1])  # No key is read.
    assert np.any(seen[2] != seen[3]) and np.any(seen[2] != seen[0])


@pytest.mark.parametrize(
    "network, recipe, augmentation",
    [
        (NETWORK, dataclasses.replace(GSAM, momentum=0.9), SOME),
        (toys.convnet(depth=1), SGD, PLAIN),
    ],
    ids=["perceptron", "convnet"],
)
def test_side_by_side_is_one_at_a_time(network, recipe, augmentation):
    images, labels = data()
    keys = [jax.random.key(i) for i in (5, 6)]
    arguments = (network, recipe, augmentation, images, labels)
    together = list(experts.train_many(*arguments, jnp.stack(keys), 2))
    for i, key in enumerate(keys):
        alone = train_one(*arguments, key, 2)
        for (_, params, loss), (_, ours, our_loss) in zip(alone, together, strict=True):
            np.testing.assert_allclose(ours[i], params, rtol=1e-4, atol=1e-5)
            if loss is not None:
                np.testing.assert_allclose(our_loss[i], loss, rtol=1e-4)


@pytest.mark.parametrize("experts_at_once", [1, 2])
def test_an_epoch_in_parts_is_the_same_to_the_bit(monkeypatch, experts_at_once):
    """The momentum is reset at the start of epoch 1, and only there."""
    recipe = dataclasses.replace(
        GSAM, momentum=0.9, decay_epoch=1, decay_factor=0.5, reset_momentum=True, batch_size=3
    )
    images, labels = data()
    keys = jax.random.split(jax.random.key(5), experts_at_once)
    whole = list(experts.train_many(NETWORK, recipe, SOME, images, labels, keys, 2))

    monkeypatch.setattr(experts, "BATCHES", 2)
    make = functools.partial(experts.make_epoch, batches=2)
    monkeypatch.setattr(experts, "make_epoch", make)
    shown = []
    parts = experts.train_many(
        NETWORK, recipe, SOME, images, labels, keys, 2, progress=shown.append
    )
    for (_, params, loss), (_, ours, our_loss) in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(ours, params)
        if loss is not None:
            np.testing.assert_allclose(our_loss, loss, rtol=1e-6)
    # 20 images are 7 batches: parts of 2, 2, 2 and 1, told when the next part has begun.
    np.testing.assert_allclose(shown, [2 / 7, 4 / 7, 6 / 7, 9 / 7, 11 / 7, 13 / 7])


@pytest.mark.parametrize("share, steps", [(0.2, 1), (0.6, 3), (0.7, 4), (1.0, 5)])
def test_a_share_of_an_epoch_is_its_first_batches(share, steps):
    recipe = dataclasses.replace(SGD, batch_size=4, epoch_share=share)
    images, labels = data()
    root = jax.random.key(5)
    trained = list(experts.train_many(NETWORK, recipe, SOME, images, labels, root[None], 2))

    run = experts.make_epoch(NETWORK, recipe, SOME, side_by_side=False)
    state = experts.init(NETWORK, jax.random.fold_in(root, 0))
    drawn = []
    for epoch in (1, 2):
        order_key, key = jax.random.split(jax.random.fold_in(root, epoch))
        order = experts.epoch_order(order_key, np.arange(20), batch_size=4, steps=5)[:steps]
        state, loss = run(state, images, labels, order, key)
        np.testing.assert_allclose(trained[epoch][1][0], state.params, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(trained[epoch][2], loss, rtol=1e-5)
        drawn.append(frozenset(np.asarray(order).flat))
    assert (drawn[0] == drawn[1]) == (share == 1)


def test_a_batch_larger_than_the_set():
    recipe = dataclasses.replace(SGD, batch_size=1000)
    assert np.isfinite(train(recipe, epochs=1)[1][1]).all()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"optimizer": "adam"}, "'adam'; known are sgd, gsam"),
        ({"learning_rate": 0.0}, "experts.learning_rate = 0.0"),
        ({"learning_rate": float("nan")}, "experts.learning_rate = nan"),
        ({"momentum": 1.0}, "experts.momentum = 1.0"),
        ({"rho": -1.0}, "experts.rho = -1.0"),
        ({"weight_decay": float("inf")}, "experts.weight_decay = inf"),
        ({"batch_size": 0}, "experts.batch_size = 0"),
        ({"epoch_share": 0.0}, "experts.epoch_share = 0.0"),
        ({"decay_epoch": -1}, "experts.decay_epoch = -1"),
        ({"decay_factor": 0.0}, "experts.decay_factor = 0.0"),
    ],
)
def test_impossible_recipes_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(SGD, **changes)


def test_only_what_determines_an_expert_describes_it():
    assert experts.describe(SGD) == experts.describe(dataclasses.replace(SGD, rho=5.0))
    assert experts.describe(GSAM) != experts.describe(dataclasses.replace(GSAM, rho=5.0))
    assert experts.describe(SGD).keys() == {
        "optimizer",
        "learning_rate",
        "momentum",
        "weight_decay",
        "batch_size",
    }
    assert experts.describe(GSAM).keys() == experts.describe(SGD).keys() | {
        "rho",
        "gsam_alpha",
        "adaptive",
    }
    part = dataclasses.replace(SGD, epoch_share=0.25)
    assert experts.describe(part) == experts.describe(SGD) | {"epoch_share": 0.25}
    off = toys.smoothing(loss_scale_epochs=5, penalty_norm="pixel", penalty_target=2.0)
    assert experts.describe(dataclasses.replace(SGD, smoothing=off)) == experts.describe(SGD)
    on = toys.smoothing(loss_scale=0.5, loss_scale_epochs=5, gradient_penalty=1.0)
    other = dataclasses.replace(SGD, smoothing=on, decay_epoch=25, decay_factor=0.5)
    assert experts.describe(other) == experts.describe(SGD) | {
        "decay_epoch": 25,
        "decay_factor": 0.5,
        "reset_momentum": False,
        "loss_scale": 0.5,
        "loss_scale_epochs": 5,
        "gradient_penalty": 1.0,
        "penalty_norm": "image",
        "penalty_target": 1.0,
    }
