"""GSAM's steps against FTD's optimiser (gsam.npz)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpd_jax import experts
from tests import toys
from tests.golden.torch_layout import close, nhwc, to_ours

# Variant: spread of the parameters and of the gradient, from the table beside the numbers.
VARIANTS = {
    "rho0.01_alpha0.3": (6e-7, 2e-6),
    "rho2_alpha0.4": (7e-7, 2e-6),
    "plain_rho0.05_alpha0.4": (5e-7, 1e-6),
}
STEPS, BATCH = 3, 16
ORDER = np.arange(STEPS * BATCH, dtype=np.int32).reshape(STEPS, BATCH)
NETWORK = toys.convnet(width=16, depth=2, image_shape=(32, 32, 3), num_classes=10)
PLAIN = toys.augmentation()


def data(numbers):
    return jnp.asarray(nhwc(numbers["images"])), jnp.asarray(numbers["labels"].astype(np.int32))


@functools.partial(jax.jit, static_argnames="adaptive")
def _gradient(params, images, labels, rows, key, rho, alpha, adaptive):
    def loss(params):
        return experts.batch_loss(NETWORK, PLAIN, params, images, labels, rows, key)

    return experts.gsam_gradient(loss, params, rho=rho, alpha=alpha, adaptive=adaptive)


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradient_and_step(golden, variant):
    numbers = golden("gsam", variant)
    rho, alpha, adaptive = (numbers[f"{variant}/{name}"] for name in ("rho", "alpha", "adaptive"))
    params_spread, gradient_spread = VARIANTS[variant]
    params = jnp.asarray(to_ours(NETWORK, numbers["flat_params"]))
    for step in range(STEPS):
        loss, gradient = _gradient(
            params,
            *data(numbers),
            ORDER[step],
            jax.random.key(0),
            rho,
            alpha,
            adaptive=bool(adaptive),
        )
        close(loss, numbers[f"{variant}/losses"][step], 1e-7, what=f"loss {step}")
        expected = to_ours(NETWORK, numbers[f"{variant}/final_grad"][step])
        close(gradient, expected, gradient_spread, what=f"gradient {step}")
        params = params - numbers["lr"] * gradient
        expected = to_ours(NETWORK, numbers[f"{variant}/params"][step])
        close(params, expected, params_spread, what=f"params {step}")


def test_an_epoch_of_three_steps(golden):
    variant = "rho2_alpha0.4"
    numbers = golden("gsam", variant)
    recipe = experts.Recipe(
        optimizer="gsam",
        learning_rate=float(numbers["lr"]),
        decay_epoch=0,
        decay_factor=1.0,
        reset_momentum=False,
        momentum=0.0,
        weight_decay=0.0,
        rho=float(numbers[f"{variant}/rho"]),
        gsam_alpha=float(numbers[f"{variant}/alpha"]),
        adaptive=True,
        batch_size=BATCH,
        smoothing=toys.smoothing(),
    )
    params = jnp.asarray(to_ours(NETWORK, numbers["flat_params"]))
    state = experts.ExpertState(params, jnp.zeros_like(params), jnp.zeros((), jnp.int32))
    run = experts.make_epoch(NETWORK, recipe, PLAIN, side_by_side=False)
    state, loss = run(state, *data(numbers), jnp.asarray(ORDER), jax.random.key(0))
    close(loss, numbers[f"{variant}/losses"].mean(), 1e-7, what="mean loss")
    expected = to_ours(NETWORK, numbers[f"{variant}/params"][-1])
    close(state.params, expected, VARIANTS[variant][0], what="params")
