"""Which expert, and which of its epochs, an outer step starts from.

Early epochs hold easy patterns, late ones hard patterns. DATM, PAD and DPD let
the range of start epochs grow: T- <= i <= T, with T rising by one every I outer
steps until it reaches T+.

Both bounds are inclusive in most papers. The released programs, and DDPP's paper,
draw with an exclusive upper bound, so that T+ = 4 never starts at epoch 4
there; `inclusive=False` gives their draw.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dpd_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Curriculum:
    """The schedule of start epochs.

    Attributes:
      expert_epochs: M, how many epochs ahead of its start the student aims.
      min_start_epoch: T-.
      current_max_start_epoch: T, the upper bound at the first outer step.
      max_start_epoch: T+, the last upper bound.
      expansion_interval: I, outer steps between two increments of T; 0 puts the
        bound at T+ from the beginning.
      inclusive: whether the upper bound itself can be drawn.

    Raises:
      UserError: for bounds out of order.
    """

    expert_epochs: int
    min_start_epoch: int
    current_max_start_epoch: int
    max_start_epoch: int
    expansion_interval: int
    inclusive: bool

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
        if self.expert_epochs < 1 or self.expansion_interval < 0:
            raise UserError(
                "curriculum: expert_epochs must be at least 1 and expansion_interval at least 0, "
                f"but they are {self.expert_epochs} and {self.expansion_interval}."
            )

    @property
    def last_epoch(self) -> int:
        """The last epoch of an expert that can be read: T+ + M (one less if exclusive)."""
        return self.max_start_epoch + self.expert_epochs - (0 if self.inclusive else 1)


class Draw(NamedTuple):
    """Attributes: expert, start_epoch: int32 scalars."""

    expert: jax.Array
    start_epoch: jax.Array


def upper_bound(step: jax.Array, curriculum: Curriculum) -> jax.Array:
    """T at outer step `step` (counted from 0): min(T+, T + floor(step / I))."""
    if curriculum.expansion_interval == 0:
        return jnp.full_like(step, curriculum.max_start_epoch)
    grown = curriculum.current_max_start_epoch + step // curriculum.expansion_interval
    return jnp.minimum(grown, curriculum.max_start_epoch)


def draw(
    key: jax.Array, step: jax.Array, visit: jax.Array, curriculum: Curriculum, num_experts: int
) -> Draw:
    """The expert and start epoch of one segment; a function of its arguments alone.

    Experts are visited in random order, each exactly once a pass, as in the
    released programs; start epochs are uniform between the bounds.

    Args:
      key: the run's key; the same for every step.
      step: outer step, int32 scalar.
      visit: running number of the segment over the whole run (step * K + k for
        the k-th of K segments a step).
      curriculum: the schedule.
      num_experts: how many experts there are.
    """
    order_key, start_key = jax.random.split(key)
    order = jax.random.permutation(jax.random.fold_in(order_key, visit // num_experts), num_experts)
    bound = upper_bound(step, curriculum) + (1 if curriculum.inclusive else 0)
    start = jax.random.randint(
        jax.random.fold_in(start_key, visit), (), curriculum.min_start_epoch, bound
    )
    return Draw(order[visit % num_experts], start)
