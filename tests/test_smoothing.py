"""The loss of smooth experts, on networks with a known gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpd_jax import smoothing
from dpd_jax.errors import UserError
from tests import toys


class Linear:
    """Logits x @ W: the slope of their sum is the sum of the columns, whatever the image."""

    def apply(self, params, images):
        return images.reshape(len(images), -1) @ params.reshape(-1, 3)


def penalty(params, images, valid=None, norm="image", target=1.0):
    valid = jnp.ones(len(images), bool) if valid is None else jnp.asarray(valid)
    chosen = toys.smoothing(penalty_norm=norm, penalty_target=target)
    return smoothing.gradient_penalty(Linear(), chosen, params, images, valid)


def test_lambda_grows_evenly_to_one():
    five = toys.smoothing(loss_scale=0.5, loss_scale_epochs=5)
    scales = [float(smoothing.cross_entropy_scale(jnp.asarray(e), five)) for e in range(8)]
    np.testing.assert_allclose(scales, [0.5, 0.6, 0.7, 0.8, 0.9, 1, 1, 1], rtol=1e-6)


@pytest.mark.parametrize("norm, axes", [("image", (0, 1, 2)), ("pixel", (2,))])
def test_the_penalty_is_of_the_slope_of_the_sum_of_logits(norm, axes):
    draws = np.random.default_rng(0)
    weights = draws.standard_normal((2 * 2 * 3, 3)).astype(np.float32)
    images = jnp.asarray(draws.standard_normal((4, 2, 2, 3)), jnp.float32)
    slope = weights.sum(1).reshape(2, 2, 3)
    expected = np.mean((np.sqrt((slope**2).sum(axes)) - 0.7) ** 2)
    ours = penalty(jnp.asarray(weights.ravel()), images, norm=norm, target=0.7)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


class Square:
    """Logits w x^2, summed over pixels: steeper at brighter images."""

    def apply(self, params, images):
        return params[0] * jnp.sum(jnp.square(images), (1, 2, 3))[:, None]


def test_padding_does_not_count():
    images = jnp.arange(1.0, 4.0).reshape(3, 1, 1, 1)
    chosen = toys.smoothing(penalty_norm="image", penalty_target=0.0)
    valid = jnp.array([True, True, False])
    some = smoothing.gradient_penalty(Square(), chosen, jnp.ones(1), images, valid)
    np.testing.assert_allclose(some, (2.0**2 + 4.0**2) / 2)


def test_pixels_without_effect_leave_the_gradient_finite():
    params = jnp.zeros(12).at[:3].set(1.0)  # Only the first of four grey pixels counts.
    images = jnp.ones((2, 2, 2, 1))
    value, gradient = jax.value_and_grad(penalty)(params, images, norm="pixel")
    np.testing.assert_allclose(value, (2.0**2 + 3) / 4)
    assert np.isfinite(gradient).all() and gradient[0] > 0


@pytest.mark.parametrize(
    "changes",
    [
        dict(loss_scale=0.0),
        dict(loss_scale_epochs=-1),
        dict(gradient_penalty=-1.0),
        dict(penalty_target=float("nan")),
        dict(penalty_norm="channel"),
    ],
)
def test_impossible_choices_are_refused_by_name(changes):
    with pytest.raises(UserError, match=next(iter(changes))):
        toys.smoothing(**changes)
