"""The expert and the start epoch of an outer step.

Experts learn easy patterns in early epochs and hard patterns in late ones. In DATM, PAD and DPD
the range of start epochs grows: T- <= i <= T, where T increases by one every I outer steps until
it reaches T+.

In most papers both bounds are inclusive. In the released programs and in DDPP's paper the upper
bound is exclusive; `inclusive=False` draws as they do.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dpd_jax.errors import UserError, check_range


@dataclasses.dataclass(frozen=True)
class Curriculum:
    """The schedule of start epochs.

    Attributes:
      expert_epochs: M, the number of expert epochs that the student must match.
      min_start_epoch: T-.
      current_max_start_epoch: T, the upper bound at the first outer step.
      max_start_epoch: T+, the last upper bound.
      expansion_interval: I, outer steps between two increments of T; with 0 the bound is T+ from
        the first step.
      inclusive: whether the upper bound itself can be drawn.

    Raises:
      UserError: for bounds out of order or values out of range.
    """

    expert_epochs: int
    min_start_epoch: int
    current_max_start_epoch: int
    max_start_epoch: int
    expansion_interval: int
    inclusive: bool = True

    def __post_init__(self):
        lower, upper = self.min_start_epoch, self.max_start_epoch
        if not 0 <= lower <= self.current_max_start_epoch <= upper:
            raise UserError(
                "curriculum: needs 0 <= min_start_epoch <= current_max_start_epoch <= "
                f"max_start_epoch, but they are {lower}, {self.current_max_start_epoch}, {upper}."
            )
        first_bound = self.current_max_start_epoch if self.expansion_interval else upper
        if not self.inclusive and lower == first_bound:
            raise UserError(
                "curriculum: with inclusive=False the upper bound is never drawn, so "
                f"min_start_epoch = {lower} must be below the first upper bound {first_bound}."
            )
        check_range("curriculum.expert_epochs", self.expert_epochs, "[1, inf)")
        check_range("curriculum.expansion_interval", self.expansion_interval, "[0, inf)")

    @property
    def last_epoch(self) -> int:
        """The last expert epoch that can be matched: T+ + M (one less if exclusive)."""
        return self.max_start_epoch + self.expert_epochs - (0 if self.inclusive else 1)


class Draw(NamedTuple):
    """The expert and start epoch of a segment, int32 scalars."""

    expert: jax.Array
    start_epoch: jax.Array


def upper_bound(step: jax.Array, curriculum: Curriculum) -> jax.Array:
    """The upper bound at an outer step, counted from 0: min(T+, T + floor(step / I))."""
    if curriculum.expansion_interval == 0:
        return jnp.full_like(step, curriculum.max_start_epoch)
    grown = curriculum.current_max_start_epoch + step // curriculum.expansion_interval
    return jnp.minimum(grown, curriculum.max_start_epoch)


def draw(
    key: jax.Array, step: jax.Array, visit: jax.Array, curriculum: Curriculum, num_experts: int
) -> Draw:
    """Draws the expert and the start epoch of one segment.

    As in the released programs, every expert comes once before any comes again, in random order.
    Start epochs are uniform between the bounds.

    Args:
      key: the key of the run, the same for every step.
      step, visit: the outer step, and step * K + k for its segment k of K, int32 scalars.
      curriculum, num_experts: the schedule, and the number of experts.
    """
    order_key, start_key = jax.random.split(key)
    order = jax.random.permutation(jax.random.fold_in(order_key, visit // num_experts), num_experts)
    bound = upper_bound(step, curriculum) + (1 if curriculum.inclusive else 0)
    start = jax.random.randint(
        jax.random.fold_in(start_key, visit), (), curriculum.min_start_epoch, bound
    )
    return Draw(order[visit % num_experts], start)
