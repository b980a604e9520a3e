"""Instance norm, a piecewise linear activation and 2x2 average pooling in one.

This follows every convolution of the papers' ConvNet, and over the first map
it costs as much as the products. With u the centred map, s its inverse
deviation and m the activation's slope, a constant to derivatives, the whole is

    p = (scale s) q + bias c,    q = pool(m u),    c = pool(m),

so that both sums over pixels which the norm's gradient needs, of the incoming
gradient and of its product with u, are sums over the four times smaller p.

Maps are seen as [b, h/2, 2, w/2, 2, c], a window's rows and columns on axes 2
and 4. The rules are plain JAX code and may be differentiated again, forwards
or backwards; forward mode over the function itself is not provided for.
"""

import functools

import jax
import jax.numpy as jnp

_PIXELS = (1, 2, 3, 4)
_WINDOW = (2, 4)


def fits(shape: tuple[int, ...]) -> bool:
    """Whether maps [b, h, w, c] split into windows without a rest."""
    return shape[1] % 2 == 0 and shape[2] % 2 == 0


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def norm_activate_pool(
    x: jax.Array, scale: jax.Array, bias: jax.Array, slope: float, epsilon: float
) -> jax.Array:
    """[b, h, w, c] -> [b, h / 2, w / 2, c], h and w even.

    Args:
      x: maps.
      scale, bias: of the norm, [c].
      slope: of the activation below zero; it is 1 above.
      epsilon: added to the (biased) variance.
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
