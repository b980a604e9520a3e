"""The gradient check: that it tells exact from approximate, and its tables."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import digits_ipc1
from dpd_jax.distill import Segment
from dpd_jax.errors import UserError
from dpd_jax.synthetic import SyntheticSet
from experiments import build, check_gradient, gradient_gap, gradient_material
from experiments.gradient_material import Material, function, gradients
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
    segments = [Segment(weights, jnp.zeros((), jnp.int32))] * 2
    plan = types.SimpleNamespace(
        network=network,
        matching=toys.matching(masks=()),
        student=toys.student(syn_steps=2),
    )
    material = Material(syn, segments, "toys")
    reference, other = (
        gradients(function(plan, mode), material, jax.random.key(1))
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
    plan, asked = build.plan(digits_ipc1.get_config()), set()

    def read(expert, epochs):
        asked.add(expert)
        return np.zeros((len(epochs), 5), np.float32)

    store = types.SimpleNamespace(read=read)
    gradient_material.drawn(plan, store, [0, 2, 3], jax.random.key(0), draws=12)
    assert asked == {0, 2, 3}


def rows():
    return [
        gradient_gap.Row(
            "tesla",
            steps,
            size,
            0.75,
            {
                "images": [(0.9, 0.1 * steps), (0.95, 0.2 * steps), (1.0, 9.0)],
                "labels": [(np.nan, np.nan)] * 2,
            },
        )
        for steps in (1, 2)
        for size in (0.01, 0.1)
    ]


def test_the_gap_is_a_table_of_medians_and_a_picture(tmp_path):
    text = gradient_gap.markdown(rows())
    assert "| mode | N | step size | L | images | labels |" in text
    assert "| tesla | 2 | 0.1 | 0.750 | 0.4 (0.950) | zero |" in text
    gradient_gap.save(tmp_path / "new", rows(), title="a_$b")
    assert (tmp_path / "new" / "gap.md").read_text() == text
    assert (tmp_path / "new" / "gap.png").read_bytes()[:4] == b"\x89PNG"


def test_numbers_that_are_none_are_refused():
    assert check_gradient.numbers("steps", ["5", "10"], int) == [5, 10]
    with pytest.raises(UserError, match="--steps: .*'ten'"):
        check_gradient.numbers("steps", ["ten"], int)
    with pytest.raises(UserError, match="above 0"):
        check_gradient.numbers("step_sizes", ["0.1", "-1"], float)
