"""Floating-point operations (FLOPs), counted from shapes.

Only convolutions and matrix products count; a multiplication and an addition are two operations.
Norms, activations, pooling, augmentation and recomputation do not count: they make the measured
share of the machine's matrix-product rate smaller.

Let F be the forward pass of a batch. The gradient of a loss is 3 F: one product forward, one
backward for the weights and one for the inputs (those of the first layer are always counted). The
derivative of this gradient in one direction, which the backward pass of a student step needs, has
two products for each of these: 6 F. So a student step with its exact derivative is 9 F. With
TESLA's derivative it is 7 F, because the derivative of the weights' gradient is left out.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from dpd_jax.networks import Network

GRADIENT = 3
STUDENT_STEP = {"exact": 9, "nested": 9, "unroll": 9, "tesla": 7}
EXPERT_STEP = {"sgd": GRADIENT, "gsam": 2 * GRADIENT}


def forward(network: Network) -> int:
    """FLOPs of a forward pass of one image, from the products in the traced network."""
    params = jax.ShapeDtypeStruct((network.num_params,), jnp.float32)
    images = jax.ShapeDtypeStruct((1, *network.image_shape), jnp.float32)
    return _products(jax.make_jaxpr(network.apply)(params, images).jaxpr)


def student(network: Network, gradient: str, *, steps: int, batch: int) -> int:
    """FLOPs of `steps` student steps on `batch` images each, and of their derivative."""
    return STUDENT_STEP[gradient] * steps * batch * forward(network)


def expert(network: Network, optimizer: str, *, steps: int, batch: int) -> int:
    """FLOPs of `steps` expert steps with a `Recipe.optimizer`, without AST's penalty."""
    return EXPERT_STEP[optimizer] * steps * batch * forward(network)


def _products(jaxpr: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        left, *right = (x.aval.shape for x in equation.invars)
        outputs = math.prod(equation.outvars[0].aval.shape) if equation.outvars else 0
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            total += 2 * outputs * math.prod(left[axis] for axis in contracted)
        elif equation.primitive.name == "conv_general_dilated":
            features = equation.params["dimension_numbers"].rhs_spec[0]
            total += 2 * outputs * math.prod(right[0]) // right[0][features]
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                total += _products(inner)
    return total
