"""AST's ways to keep the student near its expert: balance, intermediate matching, perturbation.

Shen et al., "Efficient Dataset Distillation through Alignment with Smooth and High-Quality Expert
Trajectories", eqs. 2, 4 and 5. Each can be used alone. The paper and its released program have
different formulas; both are available:

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

from dpd_jax.errors import UserError, check_choice, check_range
from dpd_jax.networks import Parameter


@dataclasses.dataclass(frozen=True)
class Alignment:
    """How a student is kept near its expert from epoch i to i + M. By default it is not.

    Attributes:
      expert_epochs: M.
      max_start_epoch: T+; only the balance uses it.
      balance: the factor on the student's loss, a function of the start epoch (eq. 2): "none",
        "log" or "log5".
      balance_offset: theta, added inside the logarithm, above 1.
      intermediate: the weights of the matching losses at the M - 1 epochs between start and
        target (eq. 4): "none", "equal" (1 each, as for the target) or "adaptive"
        (k / M for the k-th). These losses are added to the target's.
      intermediate_steps: the student's steps that match these epochs: "even" or "stride".
      perturbation: size of the noise on the start weights (eq. 5); 0 is off.
      perturbation_form: "filter" (the noise of each output filter has the filter's norm) or
        "tensor" (noise of norm 1 per kernel, times the weights).

    Raises:
      UserError: for an unknown choice, values out of range, or intermediate matching with no epoch
        between start and target.
    """

    expert_epochs: int
    max_start_epoch: int
    balance: str = "none"
    balance_offset: float = 8.0
    intermediate: str = "none"
    intermediate_steps: str = "even"
    perturbation: float = 0.0
    perturbation_form: str = "filter"

    def __post_init__(self):
        for name, choices in {
            "balance": ("none", "log", "log5"),
            "intermediate": ("none", "equal", "adaptive"),
            "intermediate_steps": ("even", "stride"),
            "perturbation_form": ("filter", "tensor"),
        }.items():
            check_choice(f"alignment.{name}", getattr(self, name), choices)
        hint = ": the logarithm of offset + distance must be positive at distance 0"
        check_range("alignment.balance_offset", self.balance_offset, "(1, inf)", hint)
        check_range("alignment.perturbation", self.perturbation, "[0, inf)", "; 0 is off")
        if self.intermediate != "none" and self.expert_epochs < 2:
            raise UserError(
                f"alignment.intermediate = {self.intermediate!r} matches the epochs of the expert "
                f"between start and target, but curriculum.expert_epochs = {self.expert_epochs} "
                "leaves none. Raise it to 2 or more, or set alignment.intermediate=none."
            )

    @property
    def offsets(self) -> tuple[int, ...]:
        """The expert epochs of a segment, counted from its start epoch: 0, ..., M."""
        if self.intermediate == "none":
            return (0, self.expert_epochs)
        return tuple(range(self.expert_epochs + 1))

    @property
    def weights(self) -> tuple[float, ...]:
        """The weight of each matching loss, for the epochs of `offsets` after the start."""
        if self.intermediate == "adaptive":
            return tuple(k / self.expert_epochs for k in self.offsets[1:])
        return (1.0,) * (len(self.offsets) - 1)

    def matched_steps(self, syn_steps: int) -> tuple[int, ...]:
        """The student's steps, of N = `syn_steps`, after which it is matched; the last is N."""
        epochs = self.expert_epochs
        if self.intermediate_steps == "even":
            return tuple(k * syn_steps // epochs for k in self.offsets[1:])
        return (*(k * (syn_steps // epochs) for k in self.offsets[1:-1]), syn_steps)


def balance(start_epoch: jax.Array, alignment: Alignment) -> jax.Array:
    """The factor nu on the student's loss (eq. 2): early starts, whose loss is large, weigh less.

    With d the distance to the middle start epoch, nu is log(d + offset) from the middle on and
    1 / log(d + offset) before it, a scalar. As in the paper it jumps at the middle. Without balance
    it is 1. `start_epoch` is an int32 scalar.
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
    """Adds noise to the convolution kernels of the start weights (eq. 5).

    As in the paper and the released program, the student starts at the result, and the matching
    loss measures the movement of the expert from there.

    Args:
      params: an expert's weights [P].
      noise: standard normal [P].
      parameters: the arrays of the vector; those with four axes are kernels [h, w, in, out].
      alignment: size and form of the noise.

    Returns:
      Weights [P]; only the kernels are changed.
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
