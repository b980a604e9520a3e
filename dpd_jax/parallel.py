"""Work spread over devices: segments of one outer step, or rows of one batch.

The only file that knows devices.

The papers' estimator is one segment a step. With K segments the gradient is the
mean over K independent draws of expert and start epoch: another estimator, with
less noise, and so a setting like a batch size. Which devices share the work
does not change the mean.

A batch that does not fit one device can be shared instead, as the released
programs do with DataParallel. Every device then does the whole outer step, and
its share of what the network has to do.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dpd_jax.errors import UserError

_ROWS = "rows"  # the axis along which devices share a batch


def mean_over_segments(function: Callable, num_segments: int, num_devices: int) -> Callable:
    """Maps `function(shared, one) -> tree` over a leading axis of K and averages.

    Args:
      function: pure; its result is averaged leaf by leaf.
      num_segments: K.
      num_devices: D devices, each computing K / D of the K calls.

    Returns:
      A function of (shared, many), `many` with leading axes [K, ...]. With one
      device it can be called inside jit; with several it is a `pmap` and must
      be called outside, `shared` replicated to each device.

    Raises:
      UserError: if K is not a multiple of D or there are fewer than D devices.
    """
    if num_segments < 1 or num_devices < 1 or num_segments % num_devices:
        raise UserError(
            f"distill.segments = {num_segments} must be a positive multiple of distill.devices = "
            f"{num_devices}: each device takes an equal share."
        )
    _check_present("distill.devices", num_devices)

    def average(shared: Any, many: Any) -> Any:
        if jax.tree.leaves(many)[0].shape[0] == 1:
            return function(shared, jax.tree.map(lambda x: x[0], many))
        results = jax.vmap(function, in_axes=(None, 0))(shared, many)
        return jax.tree.map(lambda x: jnp.mean(x, 0), results)

    if num_devices == 1:
        return average

    def device_step(shared: Any, mine: Any) -> Any:
        return jax.lax.pmean(average(shared, mine), "device")

    mapped = jax.pmap(device_step, "device", in_axes=(None, 0), out_axes=None)

    def spread(shared: Any, many: Any) -> Any:
        split = jax.tree.map(lambda x: x.reshape(num_devices, -1, *x.shape[1:]), many)
        return mapped(shared, split)

    return spread


def sharing_rows(function: Callable, num_devices: int) -> Callable:
    """Lets `function`, which calls `over_rows`, run on D devices at once.

    Args:
      function: (shared, many) -> tree, the same on every device.
      num_devices: D.

    Returns:
      A function of the same arguments, to be called outside jit.

    Raises:
      UserError: if there are fewer than D devices.
    """
    _check_present("student.batch_devices", num_devices)
    mapped = jax.pmap(
        lambda _, shared, many: function(shared, many),
        _ROWS,
        in_axes=(0, None, None),
        out_axes=None,
        devices=jax.local_devices()[:num_devices],
    )
    # Nothing differs between devices but their number; pmap wants to be told how many there are.
    return lambda shared, many: mapped(jnp.arange(num_devices), shared, many)


def over_rows(function: Callable, num_devices: int) -> Callable:
    """`function`, a sum over rows, every device adding up its share of them.

    Value and gradient are summed over devices together, in a rule of their own,
    and that rule may be differentiated forwards. (Backwards it may not: JAX
    would count a sum over devices once for each of them.)

    Args:
      function: (shared, rows, ..., weights) -> scalar, as for `chunks.in_chunks`.
      num_devices: D, those of `sharing_rows`, inside which this is called.
    """

    def mine(part: jax.Array, fill: jax.Array) -> jax.Array:
        size = -(-part.shape[0] // num_devices)
        missing = size * num_devices - part.shape[0]
        whole = jnp.concatenate([part, jnp.broadcast_to(fill, (missing, *part.shape[1:]))])
        return jax.lax.dynamic_slice_in_dim(whole, jax.lax.axis_index(_ROWS) * size, size)

    def share(args: tuple) -> tuple:
        shared, *rows, weights = args
        return (shared, *(mine(part, part[:1]) for part in rows), mine(weights, jnp.zeros(1)))

    @jax.custom_vjp
    def summed(*args):
        return jax.lax.psum(function(*share(args)), _ROWS)

    def forward(*args):
        everything = tuple(range(len(args)))
        value, (of_shared, *of_rows) = jax.value_and_grad(function, everything)(*share(args))
        total = args[-1].shape[0]
        gathered = (jax.lax.all_gather(part, _ROWS, tiled=True)[:total] for part in of_rows)
        value, of_shared = jax.lax.psum((value, of_shared), _ROWS)
        return value, (of_shared, *gathered)

    def backward(gradients, cotangent):
        return jax.tree.map(lambda gradient: cotangent * gradient, gradients)

    summed.defvjp(forward, backward)
    return summed


def _check_present(field: str, num_devices: int) -> None:
    if num_devices > jax.local_device_count():
        raise UserError(
            f"{field} = {num_devices}, but this machine shows {jax.local_device_count()}: "
            f"{jax.devices()[:4]}."
        )
