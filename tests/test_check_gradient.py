"""The gradient check: that it tells exact from approximate, and its tables."""

import types

import jax
import jax.numpy as jnp
import numpy as np

from configs import digits_ipc1
from dpd_jax.distill import TrajectorySegment
from dpd_jax.runs import gradient_check
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.gradient_check import Material, function, gradients
from dpd_jax.synthetic import SyntheticSet
from experiments import check_gradient
from tests import toys


def test_agreement_is_cosine_and_relative_error():
    told = check_gradient.agreement(np.array([[3.0, 4.0]]), np.array([[4.0, 3.0]]))
    np.testing.assert_allclose(told, (24 / 25, np.sqrt(2) / 5))
    told = check_gradient.agreement(np.float32(2.0), np.float32(-1.0))
    np.testing.assert_allclose(told, (-1, 1.5))
    assert np.isnan(check_gradient.agreement(np.zeros(3), np.ones(3)).cosine)
    assert check_gradient._told([np.nan, np.nan], max) == "- (zero gradient)"


def test_the_check_tells_exact_from_approximate():
    """TESLA's gradient lacks what later steps feel of earlier ones: two steps are enough."""
    network = toys.convnet(width=2, depth=1, image_shape=(4, 4, 1))
    keys = jax.random.split(jax.random.key(0), 4)
    syn = SyntheticSet(
        jax.random.normal(keys[0], (3, 4, 4, 1)),
        jax.random.normal(keys[1], (3, 3)),
        jnp.float32(0.5),
    )
    weights = jnp.stack([network.init(keys[2]), network.init(keys[3])])
    segments = [TrajectorySegment(weights, jnp.zeros((), jnp.int32))] * 2
    experiment = types.SimpleNamespace(
        network=network,
        matching=toys.matching(pruning_rate=0.0),
        student=toys.student(syn_steps=2),
    )
    material = Material(syn, segments, "toys")
    reference, other = (
        gradients(function(experiment, mode), material, jax.random.key(1))
        for mode in ("exact", "tesla")
    )
    told = check_gradient.compare(reference, other)
    assert told.keys() == {"images", "labels", "step size"}
    for agreements in told.values():
        assert len(agreements) == 2 and all(agreement.error > 1e-2 for agreement in agreements)
    for agreements in check_gradient.compare(reference, reference).values():
        np.testing.assert_allclose(agreements, [(1, 0)] * 2, atol=1e-6)


def test_segments_are_of_the_experts_that_are_there():
    """Expert 1 is missing: the store has no such folder, and is not asked for it."""
    experiment, asked = Experiment.from_config(digits_ipc1.get_config()), set()

    def read(expert, epochs):
        asked.add(expert)
        return np.zeros((len(epochs), 5), np.float32)

    store = types.SimpleNamespace(read=read)
    gradient_check.drawn(experiment, store, [0, 2, 3], jax.random.key(0), draws=12)
    assert asked == {0, 2, 3}
