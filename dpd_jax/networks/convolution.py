"""Two-dimensional convolution, in a form for each backend.

"lax" is XLA's convolution. Inside a loop on a CPU its gradient with respect to the kernel is a
hundred times slower than a matrix product. "patches" consists of matrix products only.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from dpd_jax.errors import check_choice
from dpd_jax.networks.precision import current, multiply


def _lax(x: jax.Array, kernel: jax.Array, padding: int, stride: int, precision: str) -> jax.Array:
    convolution = functools.partial(
        jax.lax.conv_general_dilated,
        window_strides=(stride, stride),
        padding=((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return multiply(convolution, x, kernel, precision)


def _columns(x: jax.Array, size: tuple[int, ...], padding: int, stride: int = 1) -> jax.Array:
    """[b, h, w, i] -> [b, rows, columns, kh kw i]: the inputs of the kernel at each position."""
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    rows, columns = x.shape[1] - size[0] + 1, x.shape[2] - size[1] + 1
    shifts = [(i, j) for i in range(size[0]) for j in range(size[1])]
    return jnp.concatenate(
        [x[:, i : i + rows : stride, j : j + columns : stride] for i, j in shifts], axis=-1
    )


def _flat(x: jax.Array) -> jax.Array:
    """[..., c] -> [product of the other axes, c]."""
    return x.reshape(-1, x.shape[-1])


def _times_columns(
    x: jax.Array, kernel: jax.Array, padding: int, precision: str, stride: int = 1
) -> jax.Array:
    """Shifted slices side by side, times the kernel as a matrix."""
    columns = _columns(x, kernel.shape[:2], padding, stride)
    return multiply(jnp.matmul, columns, _flat(kernel), precision)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _patches(x: jax.Array, kernel: jax.Array, padding: int, precision: str) -> jax.Array:
    return _times_columns(x, kernel, padding, precision)


def _patches_forward(x, kernel, padding, precision):
    return _times_columns(x, kernel, padding, precision), (x, kernel)


def _patches_backward(padding, precision, residuals, g):
    """Two matrix products. JAX's own derivative would add up shifted slices instead.

    With many input channels both products use the columns of g: the gradient of the images is the
    convolution of g with the flipped kernel, and that of the kernel is x' columns(g), flipped.
    With few input channels the columns of x are used, which are much smaller than those of g.
    """
    x, kernel = residuals
    product = functools.partial(multiply, jnp.matmul, precision=precision)
    height, width, inputs, outputs = kernel.shape
    if inputs < outputs or padding >= min(height, width):
        columns, scatter = jax.vjp(lambda x: _columns(x, (height, width), padding), x)
        (to_x,) = scatter(product(g, _flat(kernel).T))
        return to_x, product(_flat(columns).T, _flat(g)).reshape(kernel.shape)
    # With this padding the columns reach every pixel of x.
    g = jnp.pad(g, ((0, 0), (height - 1 - padding,) * 2, (width - 1 - padding,) * 2, (0, 0)))
    columns = _columns(g, (height, width), 0)
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    to_kernel = product(_flat(x).T, _flat(columns)).reshape(inputs, height, width, outputs)
    return product(columns, _flat(flipped)), to_kernel[:, ::-1, ::-1].transpose(1, 2, 0, 3)


_patches.defvjp(_patches_forward, _patches_backward)


def _patches_with_stride(
    x: jax.Array, kernel: jax.Array, padding: int, stride: int, precision: str
) -> jax.Array:
    if stride == 1:
        return _patches(x, kernel, padding, precision)
    return _times_columns(x, kernel, padding, precision, stride)


METHODS: dict[str, Callable] = {"lax": _lax, "patches": _patches_with_stride}


def resolve(method: str) -> str:
    """A name in METHODS: `method`, or for "auto" the faster one on this backend.

    Raises:
      UserError: for an unknown name.
    """
    check_choice("network.convolution", method, ("auto", *METHODS))
    if method == "auto":
        # Inside a scan XLA's CPU convolution uses one thread; a matrix product uses all.
        return "patches" if jax.default_backend() == "cpu" else "lax"
    return method


def convolve(
    x: jax.Array, kernel: jax.Array, *, padding: int, method: str, stride: int = 1
) -> jax.Array:
    """Cross-correlates images with a kernel, without bias, in the precision that holds here.

    Args:
      x, kernel: images [b, h, w, i] and weights [kh, kw, i, o].
      padding: zeros added on each of the four sides.
      stride: step between neighbouring positions.
      method: a name in METHODS, or "auto". All agree up to rounding. All can be differentiated any
        number of times, also forward over reverse; only forward mode directly over "patches" is
        not possible.

    Returns:
      Maps [b, (h + 2 padding - kh) // stride + 1, (w + 2 padding - kw) // stride + 1, o].

    Raises:
      UserError: for an unknown method.
    """
    return METHODS[resolve(method)](x, kernel, padding, stride, current())
