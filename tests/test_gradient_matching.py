"""Gradient matching (DC, DSA) against loops over classes and rows in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpd_jax import gradient_matching, networks
from dpd_jax.objective import Objective, RealBatch
from dpd_jax.student import soft_cross_entropy
from dpd_jax.synthetic import SyntheticSet, classes, hard_labels
from tests import toys

NETWORK = toys.convnet()
IPC, REAL = 2, 3
KEY = jax.random.key(5)


def the_set(seed=0):
    labels = hard_labels(classes(3, IPC), 3)
    images = jax.random.normal(jax.random.key(seed), (3 * IPC, *NETWORK.image_shape))
    return SyntheticSet(images, labels, jnp.float32(0.1))


def real():
    return RealBatch(jax.random.normal(jax.random.key(9), (3, REAL, *NETWORK.image_shape)))


def make(objective=None, **matching):
    objective = objective or Objective("gradient", augment=False, updates=2, epochs=1)
    return gradient_matching.make_gradient(
        NETWORK,
        objective,
        toys.student(),
        toys.matching(**{"pruning_rate": 0.0} | matching),
        ipc=IPC,
    )


def fresh(step=0):
    return NETWORK.init(jax.random.split(jax.random.fold_in(KEY, step))[0])


def weights_gradient(params, images, labels):
    def loss(params):
        return jnp.mean(soft_cross_entropy(NETWORK.apply(params, images), labels))

    return np.asarray(jax.grad(loss)(params), np.float64)


def slow_rows(one, other):
    """The distances of all rows, one by one."""
    found = []
    for parameter in NETWORK.parameters:
        if len(parameter.shape) == 1:
            continue
        a, b = (x[parameter.part].reshape(parameter.shape) for x in (one, other))
        for unit in range(parameter.shape[-1]):
            x, y = a[..., unit].ravel(), b[..., unit].ravel()
            found.append(1 - x @ y / (np.linalg.norm(x) * np.linalg.norm(y) + 1e-6))
    return np.array(found)


def test_the_loss_is_the_sum_over_classes_and_rows():
    syn, batch, params = the_set(), real(), fresh()
    loss, dropped, _, network = make()(syn, batch, KEY, jnp.int32(0), params)
    expected = 0.0
    for label in range(3):
        own = slice(label * IPC, (label + 1) * IPC)
        target = weights_gradient(params, batch.images[label], hard_labels(np.full(3, label), 3))
        found = weights_gradient(params, syn.images[own], syn.labels[own])
        expected += slow_rows(found, target).sum()
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    assert dropped is None
    np.testing.assert_array_equal(network, params)


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_the_gradient_agrees_with_finite_differences(rate):
    function, batch = make(pruning_rate=rate), real()

    @jax.jit
    def loss_and_gradient(images):
        syn = the_set()._replace(images=images)
        loss, _, gradient, _ = function(syn, batch, KEY, jnp.int32(0), fresh())
        return loss, gradient

    images = the_set().images
    _, gradient = loss_and_gradient(images)
    direction = gradient.images / jnp.linalg.norm(jnp.ravel(gradient.images))
    above, below = (loss_and_gradient(images + h * direction)[0] for h in (2e-3, -2e-3))
    slope = jnp.vdot(gradient.images, direction)
    np.testing.assert_allclose((above - below) / 4e-3, slope, rtol=0.02)
    assert not np.any(gradient.labels) and gradient.step_size == 0


def test_pruning_leaves_out_the_rows_that_differ_most():
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, NETWORK.num_params)).astype(np.float32)
    rows = np.sort(slow_rows(one, other))
    dropped = int(0.3 * len(rows))
    found = gradient_matching.distance(
        jnp.asarray(one), other, NETWORK.parameters, toys.matching(pruning_rate=0.3), "row"
    )
    np.testing.assert_allclose(found, rows[:-dropped].sum(), rtol=1e-5)


@pytest.mark.parametrize("ratio, rows", [(0.25, 128 + 66), (0.5, 256 + 7), (0.75, 256 + 76)])
def test_shallow_rows_of_the_papers_network(ratio, rows):
    # The cut falls into the second or third convolution; the row that it divides is kept.
    network = networks.create("convnet", image_shape=(32, 32, 3), num_classes=10)
    by_row, by_tensor = (
        gradient_matching.deep_rows(network.parameters, ratio, unit) for unit in ("row", "tensor")
    )
    assert len(by_row) == 3 * 128 + 10 and (~by_row).sum() == rows
    assert (~by_tensor).sum() == rows // 128 * 128
    assert np.all(np.diff(by_row.astype(int)) >= 0)


def test_a_network_trains_on_the_set_until_its_last_update():
    function, syn, params = make(), the_set(), fresh()
    network = function(syn, real(), KEY, jnp.int32(1), params)[3]
    # One epoch is one step, because the batch holds the whole set.
    expected = params - 0.1 * weights_gradient(params, syn.images, syn.labels)
    np.testing.assert_allclose(network, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(function(syn, real(), KEY, jnp.int32(2), params)[3], fresh(2))


def test_real_and_synthetic_images_are_augmented_in_the_same_way():
    objective = Objective("gradient", augment=True, updates=1)
    function = gradient_matching.make_gradient(
        NETWORK,
        objective,
        toys.student(augmentation=toys.augmentation("color", "crop", "rotate")),
        toys.matching(pruning_rate=0.0),
        ipc=IPC,
    )
    syn = the_set()
    same = RealBatch(syn.images.reshape(3, IPC, *NETWORK.image_shape))
    loss = function(syn, same, KEY, jnp.int32(0), fresh())[0]
    assert abs(loss) < 1e-2 < function(syn, real(), KEY, jnp.int32(0), fresh())[0]


@pytest.mark.parametrize("ipc, expected", [(1, 1), (5, 23), (10, 50), (35, 18), (50, 10), (99, 10)])
def test_loops_are_those_of_the_program_or_between_them(ipc, expected):
    assert Objective("gradient").loops(ipc) == (ipc, expected)
    assert Objective("gradient", updates=3, epochs=0).loops(ipc) == (3, 0)
