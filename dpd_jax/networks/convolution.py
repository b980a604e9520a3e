"""Two-dimensional convolution in the form that suits the backend.

"lax" is XLA's own. On a CPU, inside a loop, its kernel gradient runs a hundred
times slower than a matrix product; "patches" is matrix products throughout.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from dpd_jax.errors import UserError


def _lax(x: jax.Array, kernel: jax.Array, padding: int, stride: int) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _columns(x: jax.Array, size: tuple[int, int], padding: int, stride: int = 1) -> jax.Array:
    """[b, h, w, i] -> [b, rows, columns, kh kw i]: what the kernel sees at every place."""
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    rows, columns = x.shape[1] - size[0] + 1, x.shape[2] - size[1] + 1
    places = [(i, j) for i in range(size[0]) for j in range(size[1])]
    return jnp.concatenate(
        [x[:, i : i + rows : stride, j : j + columns : stride] for i, j in places], axis=-1
    )


def _flat(x: jax.Array) -> jax.Array:
    """[..., c] -> [all before, c]."""
    return x.reshape(-1, x.shape[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _patches(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    """Shifted slices side by side, times the kernel as one matrix."""
    return _columns(x, kernel.shape[:2], padding) @ _flat(kernel)


def _patches_forward(x, kernel, padding):
    return _columns(x, kernel.shape[:2], padding) @ _flat(kernel), (x, kernel)


def _patches_backward(padding, residuals, g):
    """Two products. What JAX derives would add shifted slices up instead.

    With many channels both come from the columns of g: the images' gradient is
    g convolved with the kernel turned around, the kernel's is x' columns(g),
    turned around. With few, the columns of x are much smaller than those of g.
    """
    x, kernel = residuals
    height, width, inputs, outputs = kernel.shape
    if inputs < outputs or padding >= min(height, width):
        columns, scatter = jax.vjp(lambda x: _columns(x, (height, width), padding), x)
        (to_x,) = scatter(g @ _flat(kernel).T)
        return to_x, (_flat(columns).T @ _flat(g)).reshape(kernel.shape)
    # Zeros enough that the columns reach every pixel of x.
    g = jnp.pad(g, ((0, 0), (height - 1 - padding,) * 2, (width - 1 - padding,) * 2, (0, 0)))
    columns = _columns(g, (height, width), 0)
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    to_kernel = (_flat(x).T @ _flat(columns)).reshape(inputs, height, width, outputs)
    return columns @ _flat(turned), to_kernel[:, ::-1, ::-1].transpose(1, 2, 0, 3)


_patches.defvjp(_patches_forward, _patches_backward)


def _patches_with_stride(x: jax.Array, kernel: jax.Array, padding: int, stride: int) -> jax.Array:
    if stride == 1:
        return _patches(x, kernel, padding)
    return _columns(x, kernel.shape[:2], padding, stride) @ _flat(kernel)


METHODS: dict[str, Callable] = {"lax": _lax, "patches": _patches_with_stride}


def resolve(method: str) -> str:
    """The name in METHODS that `method` means on this backend; "auto" chooses.

    Raises:
      UserError: for an unknown name.
    """
    if method == "auto":
        # XLA's CPU convolution loses its threads inside a scan; a matrix product does not.
        return "patches" if jax.default_backend() == "cpu" else "lax"
    if method not in METHODS:
        known = ", ".join(["auto", *METHODS])
        raise UserError(f"network.convolution is {method!r}; choose one of {known}.")
    return method


def convolve(
    x: jax.Array, kernel: jax.Array, *, padding: int, method: str, stride: int = 1
) -> jax.Array:
    """Cross-correlates images with a kernel, without bias.

    Args:
      x: images [b, h, w, i].
      kernel: weights [kh, kw, i, o].
      padding: zeros added on each of the four sides.
      stride: step between neighbouring places.
      method: a name in METHODS, or "auto". All agree to rounding and may be
        differentiated any number of times, forward over reverse included; only
        forward mode straight over "patches" is not provided for.

    Returns:
      Maps [b, (h + 2 padding - kh) // stride + 1, (w + 2 padding - kw) // stride + 1, o].

    Raises:
      UserError: for an unknown method.
    """
    return METHODS[resolve(method)](x, kernel, padding, stride)
