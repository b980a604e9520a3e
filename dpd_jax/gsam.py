"""GSAM, the optimiser of flat experts (FTD, DATM, PAD, DPD)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

_TINY = 1e-12  # keeps quotients finite, as in FTD's program


def gsam_gradient(
    loss: Callable[[jax.Array], jax.Array],
    params: jax.Array,
    *,
    rho: float,
    alpha: float,
    adaptive: bool,
) -> tuple[jax.Array, jax.Array]:
    """The loss, and the gradient that GSAM uses instead of the gradient of the loss.

    With g the gradient at w, and g_p the gradient at w + e, where e = rho g / |g|, or e = rho w^2
    g / |w g| if adaptive (norms over all parameters), the result is

        g_p - alpha (g - <g, g_p> / |g_p|^2 g_p)

    Zhuang et al., "Surrogate Gap Minimization Improves Sharpness-Aware Training", ICLR 2022,
    Algorithm 1. The adaptive perturbation is eq. 6 of Kwon et al., "ASAM", ICML 2021. FTD trains
    its experts with both.

    Args:
      loss: weights [P] -> scalar.
      params: w, [P].
      rho, alpha, adaptive: as in `Recipe`, whose `gsam_alpha` is alpha.

    Returns:
      loss(w), and the gradient [P].
    """
    value, gradient = jax.value_and_grad(loss)(params)
    factor = jnp.abs(params) if adaptive else jnp.ones_like(params)
    scale = rho / (jnp.linalg.norm(factor * gradient) + _TINY)
    perturbed = jax.grad(loss)(params + scale * factor**2 * gradient)

    norm, perturbed_norm = jnp.linalg.norm(gradient), jnp.linalg.norm(perturbed)
    cosine = jnp.vdot(gradient, perturbed, precision=jax.lax.Precision.HIGHEST) / (
        perturbed_norm * norm + _TINY
    )
    vertical = gradient - cosine * norm / (perturbed_norm + _TINY) * perturbed
    return value, perturbed - alpha * vertical
