"""Two-dimensional convolution, stride 1, in the form that suits the backend."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dpd_jax.errors import UserError


def _lax(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1, 1),
        padding=((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _patches(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    """Shifted slices side by side, times the kernel as one matrix."""
    height, width, _, features = kernel.shape
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
    slices = [x[:, i : i + rows, j : j + columns] for i in range(height) for j in range(width)]
    return jnp.concatenate(slices, axis=-1) @ kernel.reshape(-1, features)


METHODS: dict[str, Callable] = {"lax": _lax, "patches": _patches}


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


def convolve(x: jax.Array, kernel: jax.Array, *, padding: int, method: str) -> jax.Array:
    """Cross-correlates images with a kernel, without bias.

    Args:
      x: images [b, h, w, i].
      kernel: weights [kh, kw, i, o].
      padding: zeros added on each of the four sides.
      method: a name in METHODS, or "auto". All agree to rounding and may be
        differentiated any number of times, forward over reverse included.

    Returns:
      Maps [b, h + 2 padding - kh + 1, w + 2 padding - kw + 1, o].

    Raises:
      UserError: for an unknown method.
    """
    return METHODS[resolve(method)](x, kernel, padding)
