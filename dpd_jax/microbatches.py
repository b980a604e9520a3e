"""A sum over the images of a batch, computed one microbatch at a time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def in_microbatches(function: Callable, size: int) -> Callable:
    """The same function up to rounding, with memory for only `size` rows.

    The forward pass sums value and gradient together over the microbatches, so that no activation
    is kept for a backward pass. It is plain JAX code and may be differentiated again in forward
    mode, with the memory of one microbatch.

    Args:
      function: (shared, rows, ..., weights) -> scalar, a sum over rows to which a row of weight 0
        adds nothing. The row arguments have a leading axis b, `weights` is [b].
      size: rows per microbatch, at least 1. The last one is padded with copies of rows, of weight
        0.

    Returns:
      A function of the same arguments. Reverse mode must come first.
    """

    def split(rows: jax.Array) -> jax.Array:
        missing = -len(rows) % size
        # Copies, because a row of zeros may have no finite derivative (of a norm, for example).
        filled = jnp.concatenate([rows, jnp.broadcast_to(rows[:1], (missing, *rows.shape[1:]))])
        return filled.reshape(-1, size, *rows.shape[1:])

    def arranged(args: tuple) -> tuple[Any, tuple]:
        shared, *rows, weights = args
        padded = jnp.pad(weights, (0, -len(weights) % size)).reshape(-1, size)
        return shared, (*(split(part) for part in rows), padded)

    @jax.custom_vjp
    def summed(*args):
        shared, chunks = arranged(args)

        def step(total, chunk):
            return total + function(shared, *chunk), None

        return jax.lax.scan(step, jnp.zeros(()), chunks)[0]

    def forward(*args):
        shared, chunks = arranged(args)
        everything = tuple(range(len(args)))

        def step(carry, chunk):
            value, (of_shared, *of_rows) = jax.value_and_grad(function, everything)(shared, *chunk)
            return jax.tree.map(jnp.add, carry, (value, of_shared)), tuple(of_rows)

        start = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, shared))
        (value, of_shared), of_rows = jax.lax.scan(step, start, chunks)
        flat = (part.reshape(-1, *part.shape[2:])[: len(args[-1])] for part in of_rows)
        return value, (of_shared, *flat)

    def backward(gradients, cotangent):
        return jax.tree.map(lambda gradient: cotangent * gradient, gradients)

    summed.defvjp(forward, backward)
    return summed
