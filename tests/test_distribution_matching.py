"""Distribution matching (DM) against loops in numpy; the maps of all layers; the real images."""

import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import digits_ipc1
from dpd_jax import distribution_matching
from dpd_jax.errors import UserError
from dpd_jax.objective import Objective, RealBatch
from dpd_jax.runs import real_reader
from dpd_jax.runs.experiment import Experiment
from dpd_jax.synthetic import SyntheticSet, classes, hard_labels
from tests import toys

NETWORK = toys.convnet(width=4)
KEY = jax.random.key(5)


def images(seed, count):
    return jax.random.normal(jax.random.key(seed), (count, *NETWORK.image_shape))


def the_set():
    return SyntheticSet(images(0, 6), hard_labels(classes(3, 2), 3), jnp.float32(0.1))


def real():
    return RealBatch(images(1, 12).reshape(3, 4, *NETWORK.image_shape))


def make(objective, **matching):
    return distribution_matching.make_gradient(
        NETWORK, objective, toys.student(), toys.matching(pruning_rate=0.0, **matching), ipc=2
    )


def slow_loss(maps_of, first):
    """The sum over layers, classes and features, one by one."""
    params = NETWORK.init(jax.random.split(jax.random.fold_in(KEY, 7))[0])
    syn = [np.asarray(x).reshape(6, -1) for x in maps_of(params, the_set().images)]
    flat = real().images.reshape(12, *NETWORK.image_shape)
    true = [np.asarray(x).reshape(12, -1) for x in maps_of(params, flat)]
    total = 0.0
    for s, r in list(zip(syn, true, strict=True))[first:]:
        for label in range(3):
            difference = s[2 * label : 2 * label + 2].mean(0) - r[4 * label : 4 * label + 4].mean(0)
            total += np.sum(difference**2)
    return total


LAYERS = [
    (Objective("distribution", augment=False), {}, lambda p, x: [NETWORK.features(p, x)], 0),
    (Objective("distribution", augment=False, layers="all"), {}, NETWORK.maps, 0),
    (
        Objective("distribution", augment=False, layers="all"),
        {"masks": ("depth",), "depth_ratio": 0.5},
        NETWORK.maps,
        4,
    ),
]


@pytest.mark.parametrize("objective, matching, maps_of, first", LAYERS, ids=["last", "all", "deep"])
def test_loss_and_gradient(objective, matching, maps_of, first):
    function = make(objective, **matching)

    @jax.jit
    def loss_and_gradient(x):
        loss, _, gradient, _ = function(the_set()._replace(images=x), real(), KEY, jnp.int32(7), ())
        return loss, gradient.images

    x = the_set().images
    loss, gradient = loss_and_gradient(x)
    np.testing.assert_allclose(loss, slow_loss(maps_of, first), rtol=1e-4)
    direction = gradient / jnp.linalg.norm(jnp.ravel(gradient))
    above, below = (loss_and_gradient(x + h * direction)[0] for h in (1e-2, -1e-2))
    np.testing.assert_allclose((above - below) / 2e-2, jnp.vdot(gradient, direction), rtol=0.02)


def test_maps_are_those_of_convolution_norm_activation_and_pooling():
    network = toys.convnet(width=4, depth=3)
    params, x = network.init(KEY), images(2, 5)
    maps = network.maps(params, x)
    assert [m.shape[1] for m in maps] == [8, 8, 8, 4, 4, 4, 4, 2, 2, 2, 2, 1]
    chex.assert_trees_all_close(maps[-1].reshape(5, -1), network.features(params, x), rtol=1e-5)
    np.testing.assert_allclose(maps[1].mean((1, 2)), np.zeros((5, 4)), atol=1e-5)
    np.testing.assert_array_equal(maps[2], np.maximum(maps[1], 0))


def test_all_layers_need_a_convnet():
    from dpd_jax import networks

    mlp = networks.create("mlp", image_shape=(8, 8, 1), num_classes=3)
    with pytest.raises(UserError, match="needs a ConvNet"):
        mlp.maps(mlp.init(KEY), images(2, 1))


def reader(tmp_path, monkeypatch, **objective):
    labels = np.array([0] * 5 + [1] * 9 + [2] * 7)
    scores = np.arange(21.0)
    monkeypatch.setattr(real_reader.el2n_scores, "scores", lambda *_: scores)
    monkeypatch.setattr(real_reader.expert_training, "provenance", lambda *_: {})
    data = types.SimpleNamespace(
        train=np.arange(21.0).reshape(21, 1, 1, 1),
        dataset=types.SimpleNamespace(train_labels=labels),
    )
    config = digits_ipc1.get_config("dm")
    config.num_classes = 3
    config.objective.update(objective)
    return real_reader.RealReader(Experiment.from_config(config), data, tmp_path, KEY), labels


def test_real_images_are_of_their_class_and_different(tmp_path, monkeypatch):
    drawn, labels = reader(tmp_path, monkeypatch, real_batch=100)
    first, again, other = (drawn.read(step).images[..., 0, 0, 0].astype(int) for step in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (3, 5) and np.any(first != other)
    for label, row in enumerate(first):
        assert set(labels[row]) == {label} and len(set(row)) == 5


@pytest.mark.parametrize("excluded, kept", [("hardest", range(5, 11)), ("easiest", range(8, 14))])
def test_a_share_of_each_class_is_left_out(tmp_path, monkeypatch, excluded, kept):
    drawn, _ = reader(tmp_path, monkeypatch, excluded=excluded, excluded_ratio=0.3, real_batch=4)
    seen = {int(i) for step in range(40) for i in drawn.read(step).images[1].ravel()}
    assert seen == set(kept)
