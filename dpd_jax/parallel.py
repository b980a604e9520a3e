"""Several segments per outer step, spread over devices. The only file that knows devices.

The papers' estimator is one segment a step. With K segments the gradient is the
mean over K independent draws of expert and start epoch: another estimator, with
less noise, and so a setting like a batch size. Which devices share the work
does not change the mean.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dpd_jax.errors import UserError


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
    if num_devices > jax.local_device_count():
        raise UserError(
            f"distill.devices = {num_devices}, but this machine shows "
            f"{jax.local_device_count()}: {jax.devices()[:4]}."
        )

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
