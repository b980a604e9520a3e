"""Several devices: they share the segments of an outer step, or the rows of a batch.

The papers use one segment per step. With K segments the gradient is the mean over K independent
draws of expert and start epoch. This is another estimator with less noise, so K is a setting like
a batch size. The number of devices does not change it. After `jax.distributed.initialize` the
devices of all processes can share the work: every process reads all segments, computes the part of
its devices, and gets the mean. The set is then that of the first process.

Alternatively the devices share a batch that does not fit one device, as the released programs do
with DataParallel. Each device then computes the whole outer step, but only its share of the
network.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from dpd_jax.errors import UserError

_ROWS = "rows"  # the name of the axis along which devices share a batch


def mean_over_segments(function: Callable, num_segments: int, num_devices: int) -> Callable:
    """The mean of `function(shared, segment) -> tree` over K segments.

    Args:
      function: pure; its results are averaged leaf by leaf.
      num_segments: K.
      num_devices: D; each device computes K / D segments. At most the devices of this process, or
        exactly those of all processes.

    Returns:
      A function of (shared, segments), where the segments have a leading axis K. With one device
      it can be called inside jit. With several it is a `pmap`, which must be called outside of
      jit.

    Raises:
      UserError: if K is not a multiple of D, or there are fewer than D devices.
    """
    if num_segments < 1 or num_devices < 1 or num_segments % num_devices:
        raise UserError(
            f"distill.segments = {num_segments} must be a positive multiple of distill.devices = "
            f"{num_devices}: the devices share the segments equally."
        )
    devices = _devices("distill.devices", num_devices)

    def average(shared: Any, segments: Any) -> Any:
        if jax.tree.leaves(segments)[0].shape[0] == 1:
            return function(shared, jax.tree.map(lambda x: x[0], segments))
        results = jax.vmap(function, in_axes=(None, 0))(shared, segments)
        return jax.tree.map(lambda x: jnp.mean(x, 0), results)

    if num_devices == 1:
        return average

    def average_over_devices(shared: Any, own_segments: Any) -> Any:
        mean, unravel = ravel_pytree(average(of_first(shared), own_segments))
        # One vector: the order in which a CPU sums several arrays may differ between processes.
        return unravel(jax.lax.pmean(mean, "device"))

    of_first = _of_first_process(devices, "device")
    mapped = jax.pmap(
        average_over_devices, "device", in_axes=(None, 0), out_axes=None, devices=devices
    )
    own = [place for place, at in enumerate(devices) if at.process_index == jax.process_index()]
    mesh = jax.sharding.Mesh(np.array([devices[place] for place in own]), ("device",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("device"))

    def split_and_average(shared: Any, segments: Any) -> Any:
        def split(x: Any) -> Any:
            return x.reshape(num_devices, -1, *x.shape[1:])[own[0] : own[-1] + 1]

        # pmap refuses arrays that lie elsewhere, such as keys made of the last step's results.
        return _local(mapped(shared, jax.device_put(jax.tree.map(split, segments), sharding)))

    return split_and_average


def sharing_rows(function: Callable, num_devices: int) -> Callable:
    """Runs a function (shared, segments) -> tree that uses `over_rows` on D devices.

    The result must be called outside of jit. Raises UserError if there are fewer than D devices.
    """
    devices = _devices("student.batch_devices", num_devices)
    of_first = _of_first_process(devices, _ROWS)
    mapped = jax.pmap(
        lambda _, shared, segments: function(of_first(shared), segments),
        _ROWS,
        in_axes=(0, None, None),
        out_axes=None,
        devices=devices,
    )
    # All devices have the same arguments; pmap finds their number in the additional array.
    own = jnp.arange(sum(at.process_index == jax.process_index() for at in devices))
    return lambda shared, segments: _local(mapped(own, shared, segments))


def over_rows(function: Callable, num_devices: int) -> Callable:
    """The same function, a sum over rows, where each device sums its share of the rows.

    A custom rule sums value and gradient over the devices together. The rule may be differentiated
    in forward mode. In reverse mode it may not: JAX would count a sum over devices D times.

    Args:
      function: (shared, rows, ..., weights) -> scalar, as for `in_microbatches`.
      num_devices: D, as for `sharing_rows`, inside which the result must be called.
    """

    def own_part(rows: jax.Array, padding: jax.Array) -> jax.Array:
        size = -(-rows.shape[0] // num_devices)
        missing = size * num_devices - rows.shape[0]
        padded = jnp.concatenate([rows, jnp.broadcast_to(padding, (missing, *rows.shape[1:]))])
        return jax.lax.dynamic_slice_in_dim(padded, jax.lax.axis_index(_ROWS) * size, size)

    def share(args: tuple) -> tuple:
        shared, *rows, weights = args
        own_rows = (own_part(each, each[:1]) for each in rows)
        return shared, *own_rows, own_part(weights, jnp.zeros(1))

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


def _devices(field: str, num_devices: int) -> list[jax.Device]:
    """The devices of all processes if there are so many, else some of this process."""
    if num_devices == jax.device_count():
        return jax.devices()
    if num_devices > jax.local_device_count():
        raise UserError(
            f"{field} = {num_devices}, but this machine has {jax.local_device_count()} devices: "
            f"{jax.local_devices()[:4]}."
        )
    return jax.local_devices()[:num_devices]


def _of_first_process(devices: list[jax.Device], axis: str) -> Callable[[Any], Any]:
    """Replaces a tree, inside a `pmap`, by that of the first device if processes share the work."""
    if len({device.process_index for device in devices}) == 1:
        return lambda tree: tree

    def replace(tree: Any) -> Any:
        vector, unravel = ravel_pytree(tree)
        here = jax.lax.axis_index(axis) == 0
        return unravel(jax.lax.psum(jnp.where(here, vector, jnp.zeros_like(vector)), axis))

    return replace


def _local(tree: Any) -> Any:
    """The results of a `pmap` of several processes, as arrays of this process."""
    return jax.tree.map(lambda x: x if x.is_fully_addressable else x.addressable_data(0), tree)
