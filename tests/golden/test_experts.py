"""GSAM's steps against FTD's optimiser (gsam.npz)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpd_jax import experts
from tests import toys
from tests.golden.torch_layout import close, nhwc, to_ours

VARIANTS = ("rho0.01_alpha0.3", "rho2_alpha0.4", "plain_rho0.05_alpha0.4")
SPREAD = {  # of the parameters and of the gradient, from the tables beside the numbers
    "rho0.01_alpha0.3": (6e-7, 2e-6),
    "rho2_alpha0.4": (7e-7, 2e-6),
    "plain_rho0.05_alpha0.4": (5e-7, 1e-6),
}
STEPS, BATCH = 3, 16


@pytest.fixture(scope="module")
def network():
    return toys.convnet(width=16, depth=2, image_shape=(32, 32, 3), num_classes=10)


@pytest.fixture(scope="module")
def batches(golden):
    numbers = golden("gsam")
    images, labels = nhwc(numbers["images"]), numbers["labels"].astype(np.int32)
    return jnp.asarray(images), jnp.asarray(labels), np.arange(STEPS * BATCH).reshape(STEPS, BATCH)


@pytest.mark.parametrize("variant", VARIANTS)
def test_gsam_steps(golden, network, batches, variant):
    numbers = golden("gsam")
    images, labels, order = batches
    rho, alpha = (float(numbers[f"{variant}/{name}"]) for name in ("rho", "alpha"))
    adaptive = bool(numbers[f"{variant}/adaptive"])
    recipe = experts.Recipe(
        optimizer="gsam",
        learning_rate=float(numbers["lr"]),
        momentum=0.0,
        weight_decay=0.0,
        rho=rho,
        gsam_alpha=alpha,
        adaptive=adaptive,
        batch_size=BATCH,
    )
    run = experts.make_epoch(network, recipe, toys.augmentation(), side_by_side=False)
    params = jnp.asarray(to_ours(network, numbers["flat_params"]))
    state = experts.ExpertState(params, jnp.zeros_like(params))
    params_spread, gradient_spread = SPREAD[variant]
    for step in range(STEPS):
        before = state.params
        rows = jnp.asarray(order[step : step + 1], jnp.int32)
        state, loss = run(state, images, labels, rows, jax.random.key(0))
        close(loss, numbers[f"{variant}/losses"][step], 1e-7, what="loss")
        expected = to_ours(network, numbers[f"{variant}/params"][step])
        close(state.params, expected, params_spread, what=f"params after step {step + 1}")

        def loss_of(params, rows=rows[0]):
            return experts.batch_loss(
                params,
                images,
                labels,
                rows,
                jax.random.key(0),
                network=network,
                augmentation=toys.augmentation(),
            )

        _, gradient = experts.gsam_gradient(
            loss_of, before, rho=rho, alpha=alpha, adaptive=adaptive
        )
        expected = to_ours(network, numbers[f"{variant}/final_grad"][step])
        close(gradient, expected, gradient_spread, what=f"gradient of step {step + 1}")
