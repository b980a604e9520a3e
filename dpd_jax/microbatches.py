"""A sum over rows, computed a chunk of rows at a time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def in_microbatches(function: Callable, size: int) -> Callable:
    """`function` with memory for `size` rows, to rounding the same.

    Together with the value the gradient is summed up, chunk by chunk, so that
    nothing of a chunk outlives it. That code is plain JAX and may be
    differentiated again: forward over reverse keeps the memory of one chunk.

    Args:
      function: (shared, rows, ..., weights) -> scalar, a sum over rows in which
        a row of weight zero counts nothing. `rows` and the like have leading
        axis b, `weights` is [b].
      size: rows a chunk, at least 1. A short last chunk is filled up with
        copies of rows, of weight zero.

    Returns:
      A function of the same arguments, for reverse mode first.
    """

    def split(rows: jax.Array) -> jax.Array:
        total = rows.shape[0]
        missing = -total % size
        # Copies, since a row of zeros may have no finite derivative (a norm of it, say).
        filled = jnp.concatenate([rows, jnp.broadcast_to(rows[:1], (missing, *rows.shape[1:]))])
        return filled.reshape(-1, size, *rows.shape[1:])

    def arranged(args: tuple) -> tuple[Any, tuple, int]:
        shared, *rows, weights = args
        total = weights.shape[0]
        padded = jnp.pad(weights, (0, -total % size)).reshape(-1, size)
        return shared, (*(split(part) for part in rows), padded), total

    @jax.custom_vjp
    def summed(*args):
        shared, chunks, _ = arranged(args)
        step = lambda total, chunk: (total + function(shared, *chunk), None)  # noqa: E731
        return jax.lax.scan(step, jnp.zeros(()), chunks)[0]

    def forward(*args):
        shared, chunks, total = arranged(args)
        everything = tuple(range(len(args)))

        def step(carry, chunk):
            value, (of_shared, *of_rows) = jax.value_and_grad(function, everything)(shared, *chunk)
            return jax.tree.map(jnp.add, carry, (value, of_shared)), tuple(of_rows)

        start = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, shared))
        (value, of_shared), of_rows = jax.lax.scan(step, start, chunks)
        flat = (part.reshape(-1, *part.shape[2:])[:total] for part in of_rows)
        return value, (of_shared, *flat)

    def backward(gradients, cotangent):
        return jax.tree.map(lambda gradient: cotangent * gradient, gradients)

    summed.defvjp(forward, backward)
    return summed
