"""The outer optimisers: one optax transformation for images, labels and step size.

The papers move all three by SGD with momentum. A plain step size alpha can
cross zero, which ends a run; `multiplicative` keeps it positive by moving its
logarithm instead.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from dpd_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Rule:
    """How one variable moves.

    Attributes:
      optimizer: "sgd" or "adam".
      learning_rate: its rate; 0 leaves the variable as it is.
      momentum: SGD's momentum (PyTorch's form, v <- m v + g), or Adam's b1.

    Raises:
      UserError: for an unknown optimiser or a value out of range.
    """

    optimizer: str
    learning_rate: float
    momentum: float

    def __post_init__(self):
        if self.optimizer not in _OPTIMIZERS:
            raise UserError(
                f"unknown optimizer {self.optimizer!r}; known are {', '.join(_OPTIMIZERS)}."
            )
        if self.learning_rate < 0 or not 0 <= self.momentum < 1:
            raise UserError(
                "a learning rate must not be negative and a momentum must lie in [0, 1), but they "
                f"are {self.learning_rate} and {self.momentum}."
            )


_OPTIMIZERS = {
    "sgd": lambda rule: optax.sgd(rule.learning_rate, momentum=rule.momentum or None),
    "adam": lambda rule: optax.adam(rule.learning_rate, b1=rule.momentum),
}


def build(rule: Rule) -> optax.GradientTransformation:
    """The optax transformation of a rule."""
    if rule.learning_rate == 0:
        return optax.set_to_zero()
    return _OPTIMIZERS[rule.optimizer](rule)


def multiplicative(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """Applies `inner` to the logarithm of a positive variable.

    With a = exp(u): du = inner(a * dL/da), and a changes by a * (exp(du) - 1),
    so that a stays positive whatever the gradient. A rate r on a itself near
    a = a0 corresponds to the rate r / a0^2 here: the first step is then the
    same to first order.
    """

    def init_fn(params):
        return inner.init(params)

    def update_fn(updates, state, params):
        scaled = jax.tree.map(jnp.multiply, updates, params)
        moves, state = inner.update(scaled, state, params)
        return jax.tree.map(lambda a, move: a * jnp.expm1(move), params, moves), state

    return optax.GradientTransformation(init_fn, update_fn)


def for_step_size(rule: Rule, initial: float, update: str) -> optax.GradientTransformation:
    """The step size's optimiser: `update` is "multiplicative" (positive) or "plain" (the papers').

    `rule.learning_rate` is in the papers' units, those of the plain form.

    Raises:
      UserError: for an unknown update or a step size that is not positive.
    """
    if not initial > 0:
        raise UserError(f"synthetic.step_size = {initial} must be positive.")
    if update == "plain":
        return build(rule)
    if update != "multiplicative":
        raise UserError(
            f"distill.step_size_update: unknown update {update!r}; known are multiplicative, plain."
        )
    if rule.optimizer == "sgd":
        rule = dataclasses.replace(rule, learning_rate=rule.learning_rate / initial**2)
    return multiplicative(build(rule))
