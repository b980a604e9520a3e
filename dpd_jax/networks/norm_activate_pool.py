"""Instance norm, a piecewise linear activation and 2x2 average pooling as one function.

These follow every convolution of the papers' ConvNet. In the first block they take as long as the
convolution. With u the centred map, s its inverse standard deviation and m the slope of the
activation (a constant in derivatives), the result is

    p = (scale s) q + bias c,    q = pool(m u),    c = pool(m).

The gradient of the norm needs two sums over pixels: of the incoming gradient, and of its product
with u. In this form they are sums over p, which is four times smaller.

Maps are reshaped to [b, h/2, 2, w/2, 2, c]: the rows and columns of a window are axes 2 and 4.
Forward and backward rule are plain JAX code and can be differentiated again in both modes. Forward
mode over the function itself is not possible.
"""

import functools

import jax
import jax.numpy as jnp

_PIXELS = (1, 2, 3, 4)
_WINDOW = (2, 4)


def fits(shape: tuple[int, ...]) -> bool:
    """Whether maps [b, h, w, c] divide into whole windows."""
    return shape[1] % 2 == 0 and shape[2] % 2 == 0


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def norm_activate_pool(
    x: jax.Array, scale: jax.Array, bias: jax.Array, slope: float, epsilon: float
) -> jax.Array:
    """Normalises, activates and pools.

    Args:
      x: maps [b, h, w, c], h and w even.
      scale, bias: of the norm, [c].
      slope: of the activation below zero; above zero it is 1.
      epsilon: added to the biased variance.

    Returns:
      Maps [b, h / 2, w / 2, c].
    """
    return _forward(x, scale, bias, slope, epsilon)[0]


def _forward(x, scale, bias, slope, epsilon):
    b, h, w, c = x.shape
    x = x.reshape(b, h // 2, 2, w // 2, 2, c)
    centred = x - x.mean(_PIXELS, keepdims=True)
    inverse = jax.lax.rsqrt(jnp.square(centred).mean(_PIXELS, keepdims=True) + epsilon)
    factor, offset = (v[None, None, None, None, None] for v in (scale, bias))
    factor = inverse * factor
    above = jax.lax.stop_gradient(centred * factor + offset) > 0
    slopes = jnp.where(above, 1.0, slope)
    pooled = (slopes * centred).mean(_WINDOW, keepdims=True)
    share = slopes.mean(_WINDOW, keepdims=True)
    out = (factor * pooled + offset * share).reshape(b, h // 2, w // 2, c)
    return out, (centred, inverse, factor, slopes, pooled, share)


def _backward(slope, epsilon, residuals, g):
    del slope, epsilon
    centred, inverse, factor, slopes, pooled, share = residuals
    b, rows, _, columns, _, c = centred.shape
    g = g.reshape(b, rows, 1, columns, 1, c)
    to_bias = (g * share).sum(_PIXELS, keepdims=True)
    to_factor = (g * pooled).sum(_PIXELS, keepdims=True)
    pixels = 4 * rows * columns
    level = factor * to_bias / pixels
    pull = factor * jnp.square(inverse) * to_factor / pixels
    to_x = slopes * (g * (factor / 4)) - level - centred * pull
    sums = (0, *_PIXELS)
    return (
        to_x.reshape(b, 2 * rows, 2 * columns, c),
        (to_factor * inverse).sum(sums),
        to_bias.sum(sums),
    )


norm_activate_pool.defvjp(_forward, _backward)
