"""Outer optimisers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dpd_jax import optimizers
from dpd_jax.errors import UserError
from dpd_jax.optimizers import Rule


def run(optimizer, value, gradients):
    state, values = optimizer.init(value), []
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state, value)
        value = optax.apply_updates(value, updates)
        values.append(float(value))
    return values


def test_multiplicative_is_the_optimizer_on_the_logarithm():
    gradients = [jnp.asarray(g) for g in (3.0, -2.0, 10.0, 0.5)]
    ours = run(optimizers.multiplicative(optax.sgd(0.1, 0.5)), jnp.asarray(0.2), gradients)
    log, inner = jnp.log(0.2), optax.sgd(0.1, 0.5)
    state, expected = inner.init(log), []
    for gradient in gradients:
        updates, state = inner.update(gradient * jnp.exp(log), state, log)
        log = optax.apply_updates(log, updates)
        expected.append(float(jnp.exp(log)))
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_step_size_stays_positive_where_the_plain_one_crosses_zero():
    rule, gradients = Rule("sgd", 1e-3, 0.5), [jnp.asarray(20.0)] * 5
    plain = run(optimizers.for_step_size(rule, 0.01, "plain"), jnp.asarray(0.01), gradients)
    positive = run(
        optimizers.for_step_size(rule, 0.01, "multiplicative"), jnp.asarray(0.01), gradients
    )
    assert plain[-1] < 0 < positive[-1]


def test_both_parametrisations_start_alike():
    rule, gradients = Rule("sgd", 1e-7, 0.5), [jnp.asarray(30.0)]
    plain, log = (
        run(optimizers.for_step_size(rule, 0.01, how), jnp.asarray(0.01), gradients)[0]
        for how in ("plain", "multiplicative")
    )
    assert plain - 0.01 == pytest.approx(log - 0.01, rel=1e-3)


def test_rate_zero_leaves_the_variable():
    assert run(optimizers.build(Rule("sgd", 0.0, 0.9)), jnp.asarray(1.0), [jnp.asarray(5.0)]) == [1]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rule("lion", 1.0, 0.5),
        lambda: Rule("sgd", -1.0, 0.5),
        lambda: Rule("sgd", 1.0, 1.0),
        lambda: optimizers.for_step_size(Rule("sgd", 1.0, 0.5), 0.0, "plain"),
        lambda: optimizers.for_step_size(Rule("sgd", 1.0, 0.5), 0.01, "log"),
    ],
)
def test_impossible_rules_are_refused(make):
    with pytest.raises(UserError):
        make()


def test_rules_are_torch_sgd():
    # v <- m v + g; p <- p - lr v.
    values, v, p = [], 0.0, 1.0
    for g in (1.0, 2.0, -1.0):
        v = 0.9 * v + g
        p -= 0.1 * v
        values.append(p)
    ours = run(
        optimizers.build(Rule("sgd", 0.1, 0.9)),
        jnp.asarray(1.0),
        [jnp.asarray(g) for g in (1.0, 2.0, -1.0)],
    )
    np.testing.assert_allclose(ours, values, rtol=1e-6)
    assert jax.tree.leaves(optimizers.build(Rule("sgd", 0.1, 0.9)).init(jnp.ones(3)))
