"""The optimisers of the synthetic set's images, labels and step size.

The papers use SGD with momentum for all three. SGD can make the step size alpha negative, which
ends a run; `multiplicative` keeps it positive by updating its logarithm instead.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from dpd_jax.errors import check_choice, check_range


@dataclasses.dataclass(frozen=True)
class Rule:
    """The optimiser of one variable. By default the variable is not learned.

    Attributes:
      optimizer: "sgd" or "adam".
      learning_rate: 0 leaves the variable unchanged.
      momentum: of SGD in PyTorch's form, v <- m v + g, or Adam's b1.

    Raises:
      UserError: for an unknown optimiser or a value out of range.
    """

    optimizer: str = "sgd"
    learning_rate: float = 0.0
    momentum: float = 0.5

    def __post_init__(self):
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_range("learning_rate", self.learning_rate, "[0, inf]")
        check_range("momentum", self.momentum, "[0, 1)")


OPTIMIZERS = {
    "sgd": lambda rule: optax.sgd(rule.learning_rate, momentum=rule.momentum or None),
    "adam": lambda rule: optax.adam(rule.learning_rate, b1=rule.momentum),
}


NOT_LEARNED = Rule()


def build(rule: Rule) -> optax.GradientTransformation:
    """The optax optimiser of a rule."""
    if rule.learning_rate == 0:
        return optax.set_to_zero()
    return OPTIMIZERS[rule.optimizer](rule)


def multiplicative(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """Applies `inner` to the logarithm u of a positive variable a = exp(u).

    With du = inner(a * dL/da) the variable changes by a * (exp(du) - 1) and stays positive for
    every gradient. A learning rate r for a corresponds to r / a0^2 for u near a = a0: the first
    step is then the same to first order.
    """

    def init_fn(params):
        return inner.init(params)

    def update_fn(updates, state, params):
        scaled = jax.tree.map(jnp.multiply, updates, params)
        moves, state = inner.update(scaled, state, params)
        return jax.tree.map(lambda a, move: a * jnp.expm1(move), params, moves), state

    return optax.GradientTransformation(init_fn, update_fn)


def for_step_size(rule: Rule, initial: float, update: str) -> optax.GradientTransformation:
    """The optimiser of the step size alpha.

    Args:
      rule: SGD's learning rate is always that of "plain", Adam's that of the update in use.
      initial: alpha of the first set, positive.
      update: "multiplicative" keeps alpha positive; "plain" is the papers' form.

    Raises:
      UserError: for an unknown update or a step size that is not positive.
    """
    check_range("synthetic.step_size", initial, "(0, inf)")
    check_choice("distill.step_size_update", update, ("multiplicative", "plain"))
    if update == "plain":
        return build(rule)
    if rule.optimizer == "sgd":
        rule = dataclasses.replace(rule, learning_rate=rule.learning_rate / initial**2)
    return multiplicative(build(rule))
