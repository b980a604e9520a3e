"""The precision of convolutions and matrix products; all else is float32.

    float32   exact products, also where hardware has faster inexact ones
    tf32      factors with 10 bits after the point, sums in float32. NVIDIA hardware does this from
              Ampere on. Elsewhere it is emulated: factors and results are rounded.
    bfloat16  factors and results are bfloat16, with 7 bits after the point

A network carries its precision. While it is called, the precision is JAX's default for matrix
products (`jax.default_matmul_precision`), which plain JAX operations in it follow as well.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

# Name -> JAX's name of the default precision.
PRECISIONS = {"float32": "float32", "tf32": "tensorfloat32", "bfloat16": "bfloat16"}


def current() -> str:
    """The name in PRECISIONS that holds here; "float32" if nobody has chosen one."""
    chosen = jax.config.jax_default_matmul_precision
    return next((name for name, default in PRECISIONS.items() if default == chosen), "float32")


def multiply(product: Callable, a: jax.Array, b: jax.Array, precision: str) -> jax.Array:
    """A product of two float32 arrays in a precision; its derivatives have the same precision.

    Args:
      product: function of two arrays and `precision`, such as `jnp.matmul`; bilinear.
      a, b: the factors.
      precision: a name in PRECISIONS.
    """
    if precision == "bfloat16":
        factors = a.astype(jnp.bfloat16), b.astype(jnp.bfloat16)
        return product(*factors, precision=jax.lax.Precision.DEFAULT).astype(a.dtype)
    if precision == "float32":
        return product(a, b, precision=jax.lax.Precision.HIGHEST)
    if jax.default_backend() == "gpu":
        return product(a, b, precision=jax.lax.Precision.HIGH)
    exact = product(_rounded(a), _rounded(b), precision=jax.lax.Precision.HIGHEST)
    return _rounded(exact)  # So that the factor of the derivative is rounded as well.


def _rounded(x: jax.Array) -> jax.Array:
    return jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=10)
