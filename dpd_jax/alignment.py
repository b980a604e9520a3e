"""Keeping the student near its expert: AST's balance, intermediate matching, perturbed start.

Shen et al., "Efficient Dataset Distillation through Alignment with Smooth and
High-Quality Expert Trajectories", eqs. 2, 4 and 5. Each is a choice of its own
and can be off. The paper's formulas and those of its released program differ;
both are here:

                 paper                                   released
    balance      "log": natural, around T+/2             "log5": base 5, around T+//2
    intermediate steps floor(k N / M): "even"            k floor(N / M): "stride"
    perturbation "filter", 0.1                           "tensor", 1
"""

import dataclasses
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from dpd_jax.errors import UserError
from dpd_jax.networks import Parameter

BALANCES = ("none", "log", "log5")
INTERMEDIATE = ("none", "equal", "adaptive")
STEPS = ("even", "stride")
PERTURBATIONS = ("filter", "tensor")


@dataclasses.dataclass(frozen=True)
class Alignment:
    """How a student is kept near its expert on the way from epoch i to i + M.

    Attributes:
      expert_epochs: M.
      max_start_epoch: T+; only the balance looks at it.
      balance: the factor on the student's loss by start epoch (eq. 2): "none",
        "log" or "log5".
      balance_offset: added inside its logarithm.
      intermediate: the weight of the matching losses at the M - 1 epochs in
        between (eq. 4): "none", "equal" (1 each, as the final one) or "adaptive"
        (k / M at the k-th). They are added to the final loss.
      intermediate_steps: after which of the student's N steps: "even" or "stride".
      perturbation: size of the noise on the start weights (eq. 5); 0 is off.
      perturbation_form: "filter" (noise of each output filter as long as the
        filter) or "tensor" (noise of length 1 a kernel, times the weights).

    Raises:
      UserError: for an unknown choice, values out of range, or intermediate
        matching where no epoch lies between.
    """

    expert_epochs: int
    max_start_epoch: int
    balance: str
    balance_offset: float
    intermediate: str
    intermediate_steps: str
    perturbation: float
    perturbation_form: str

    def __post_init__(self):
        for name, known in (
            ("balance", BALANCES),
            ("intermediate", INTERMEDIATE),
            ("intermediate_steps", STEPS),
            ("perturbation_form", PERTURBATIONS),
        ):
            if getattr(self, name) not in known:
                raise UserError(
                    f"alignment.{name}: unknown choice {getattr(self, name)!r}; known are "
                    f"{', '.join(known)}."
                )
        if not (math.isfinite(self.balance_offset) and self.balance_offset > 1):
            raise UserError(
                f"alignment.balance_offset = {self.balance_offset} must be above 1: the logarithm "
                "of offset + distance has to be positive at distance 0."
            )
        if not (math.isfinite(self.perturbation) and self.perturbation >= 0):
            raise UserError(
                f"alignment.perturbation = {self.perturbation} must be finite and not negative; "
                "0 is off."
            )
        if self.intermediate != "none" and self.expert_epochs < 2:
            raise UserError(
                f"alignment.intermediate = {self.intermediate!r} matches the expert's epochs "
                f"between start and target, but curriculum.expert_epochs = {self.expert_epochs} "
                "leaves none. Raise it to 2 or more, or set alignment.intermediate=none."
            )

    @property
    def offsets(self) -> tuple[int, ...]:
        """Epochs after the start epoch that are read of an expert, the start's 0 first."""
        if self.intermediate == "none":
            return (0, self.expert_epochs)
        return tuple(range(self.expert_epochs + 1))

    @property
    def weights(self) -> tuple[float, ...]:
        """The weight of each matching loss, in the order of `offsets` without the start."""
        between = [k / self.expert_epochs for k in range(1, self.expert_epochs)]
        return (
            *{"none": [], "equal": [1.0] * len(between), "adaptive": between}[self.intermediate],
            1.0,
        )

    def matched_steps(self, syn_steps: int) -> tuple[int, ...]:
        """The student's steps, of N = `syn_steps`, at which it is matched; the last is N."""
        if self.intermediate == "none":
            return (syn_steps,)
        epochs = self.expert_epochs
        at = {
            "even": lambda k: k * syn_steps // epochs,
            "stride": lambda k: k * (syn_steps // epochs),
        }[self.intermediate_steps]
        return (*map(at, range(1, epochs)), syn_steps)


def balance(start_epoch: jax.Array, alignment: Alignment) -> jax.Array:
    """nu, the factor on the student's loss (eq. 2), a scalar; 1 if off.

    log(d + offset) from the middle start epoch on and 1 / log(d + offset) before
    it, d being the distance to it: early starts, whose loss is large, weigh
    less. It jumps at the middle, in the paper too.
    """
    if alignment.balance == "none":
        return jnp.ones(())
    largest = alignment.max_start_epoch
    middle, base = (largest / 2, math.e) if alignment.balance == "log" else (largest // 2, 5)
    after = start_epoch.astype(jnp.float32) - middle
    size = jnp.log(jnp.abs(after) + alignment.balance_offset) / math.log(base)
    return jnp.where(after >= 0, size, 1 / size)


def perturb(
    params: jax.Array, noise: jax.Array, parameters: Sequence[Parameter], alignment: Alignment
) -> jax.Array:
    """The start weights with noise on the kernels of convolutions (eq. 5).

    What comes out is the start in all that follows, as in the paper's notation
    and the released program: the student begins there, and the matching loss
    measures the expert's way from there.

    Args:
      params: an expert's weights [P].
      noise: standard normal [P]; the part of a kernel is used for that kernel.
      parameters: the arrays that tile [P]; those with four axes are kernels, the
        last axis being their output filters.
      alignment: strength and form.

    Returns:
      [P]; all but the kernels unchanged.
    """
    for parameter in (parameter for parameter in parameters if len(parameter.shape) == 4):
        kernel, drawn = (x[parameter.part].reshape(parameter.shape) for x in (params, noise))
        if alignment.perturbation_form == "filter":
            move = drawn * (_filter_norms(kernel) / _filter_norms(drawn))
        else:
            move = drawn / jnp.linalg.norm(drawn.ravel()) * kernel
        params = params.at[parameter.part].add(alignment.perturbation * move.ravel())
    return params


def _filter_norms(kernel: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.sum(jnp.square(kernel), (0, 1, 2), keepdims=True))
