"""Work counted from shapes, to be held against the rate of the machine's matrix product.

Convolutions and matrix products count, a multiplication and an addition as two
operations. Norms, activations, pooling, augmentation and whatever a method
computes a second time to save memory count nothing: their cost shows as a
smaller share of the product's rate.

The unit of a derivative is the forward pass of its batch, F. The gradient of a
loss is 3 F: each product comes forward once, and backward once for the weights
and once for what went in (the first layer's, the images, is not subtracted
where nobody asks for it). The derivative of that gradient in one direction,
which is what a student step passes backwards, has two products for each of
those: 6 F. So a student step with its exact derivative is 9 F, and 7 F with
TESLA's, which leaves out the derivative of the weights' gradient.
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
    """Operations of one image's way through a network: the products in its traced program."""
    params = jax.ShapeDtypeStruct((network.num_params,), jnp.float32)
    images = jax.ShapeDtypeStruct((1, *network.image_shape), jnp.float32)
    return _products(jax.make_jaxpr(network.apply)(params, images).jaxpr)


def student(network: Network, gradient: str, *, steps: int, batch: int) -> int:
    """Operations of `steps` student steps on `batch` images each, and of their derivative."""
    return STUDENT_STEP[gradient] * steps * batch * forward(network)


def expert(network: Network, optimizer: str, *, steps: int, batch: int) -> int:
    """Operations of `steps` training steps by a `Recipe.optimizer`, without AST's penalty."""
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
