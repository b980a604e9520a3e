"""The gradient check: its figures, its inputs, and exact against approximate gradients."""

import types

import jax
import jax.numpy as jnp
import numpy as np

from configs import digits_ipc1
from dpd_jax.runs import gradient_check
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.gradient_check import Inputs, agreement, gradients
from dpd_jax.synthetic import SyntheticSet
from dpd_jax.trajectory_matching import TrajectorySegment
from experiments import check_gradient
from tests import toys


def test_agreement_is_cosine_and_relative_error():
    result = agreement(np.array([[3.0, 4.0]]), np.array([[4.0, 3.0]]))
    np.testing.assert_allclose(result, (24 / 25, np.sqrt(2) / 5))
    result = agreement(np.float32(2.0), np.float32(-1.0))
    np.testing.assert_allclose(result, (-1, 1.5))
    assert np.isnan(agreement(np.zeros(3), np.ones(3))[0])
    assert check_gradient._summary([np.nan, np.nan], max) == "- (zero gradient)"


def test_the_check_separates_exact_from_approximate():
    """TESLA's gradient ignores that the second of two steps depends on the first."""
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
    inputs = Inputs(syn, segments, "toys")
    reference, other = (
        gradients(experiment, mode, inputs, jax.random.key(1)) for mode in ("exact", "tesla")
    )
    result = check_gradient.compare(reference, other)
    assert result.keys() == {"images", "labels", "step size"}
    for agreements in result.values():
        assert len(agreements) == 2 and all(error > 1e-2 for _, error in agreements)
    for agreements in check_gradient.compare(reference, reference).values():
        np.testing.assert_allclose(agreements, [(1, 0)] * 2, atol=1e-6)


def test_segments_come_from_existing_experts():
    """Expert 1 is missing: it has no folder, and the reader must not read it."""
    experiment, asked = Experiment.from_config(digits_ipc1.get_config()), set()

    def read(expert, epochs):
        asked.add(expert)
        return np.zeros((len(epochs), 5), np.float32)

    store = types.SimpleNamespace(read=read)
    gradient_check.draw_segments(experiment, store, [0, 2, 3], jax.random.key(0), draws=12)
    assert asked == {0, 2, 3}
