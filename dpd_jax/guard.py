"""The guard of the outer loop: when a step counts as gone wrong, and what happens then."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dpd_jax.errors import UserError
from dpd_jax.synthetic import SyntheticSet


@dataclasses.dataclass(frozen=True)
class Guard:
    """When a step counts as gone wrong, and what happens then.

    A bad step is undone: set, average and momenta stay those before it, and the
    outer updates are multiplied by `backoff`; `recovery` good steps in a row
    take one such factor back. Three bad steps in a row return to a snapshot,
    taken every `snapshot_every` steps while all was well. A run that made no
    update for `patience` steps has to stop: see `Health.idle`.

    Attributes:
      max_loss: a matching loss above this is runaway (1 is standing still, also of
        several losses, which are taken as their weighted mean).
      max_step_size_change: largest factor the step size may change by in a step.
      max_step_size_ratio: largest factor, up or down, from the first step size.
      max_image_change: largest root-mean-square move of the images in a step,
        in model space units.
      backoff, recovery, snapshot_every, patience: as above.
    """

    max_loss: float
    max_step_size_change: float
    max_step_size_ratio: float
    max_image_change: float
    backoff: float
    recovery: int
    snapshot_every: int
    patience: int

    def __post_init__(self):
        if not 0 < self.backoff <= 1 or min(self.recovery, self.snapshot_every, self.patience) < 1:
            raise UserError(
                "guard: backoff must lie in (0, 1] and recovery, snapshot_every and patience must "
                "be at least 1."
            )


class Health(NamedTuple):
    """The guard's memory.

    Attributes:
      scale: factor on the outer updates, 1 while all is well.
      good: applied steps since the last change of scale.
      undone: bad steps in a row.
      idle: steps in a row without an update, bad or above the threshold.
      snapshot: the set, its average and the optimiser state to return to.
    """

    scale: jax.Array
    good: jax.Array
    undone: jax.Array
    idle: jax.Array
    snapshot: tuple


# The guard's factor shrinks no further: below it a run stands still anyway.
_LEAST_SCALE = 2.0**-10

# What went wrong, and the knob most likely to mend it; one bit of Metrics.trouble each.
TROUBLES = (
    (
        "the matching loss is not finite",
        "lower distill.lr_lr or synthetic.step_size; on maps smaller than 4x4 lower network.depth",
    ),
    ("the gradient of the images is not finite", "lower synthetic.step_size or student.syn_steps"),
    ("the gradient of the labels is not finite", "lower synthetic.step_size or student.syn_steps"),
    ("the gradient of the step size is not finite", "lower synthetic.step_size"),
    (
        "the matching loss is above guard.max_loss: the student ran away from the expert",
        "lower distill.lr_img, distill.lr_lr or synthetic.step_size",
    ),
    (
        "the step size changed by more than guard.max_step_size_change in one step",
        "lower distill.lr_lr",
    ),
    (
        "the step size left its bounds (guard.max_step_size_ratio around its start), or is not "
        "positive",
        "lower distill.lr_lr; a step size that keeps shrinking means the set cannot follow the "
        "expert: lower curriculum.max_start_epoch or distill.lr_img",
    ),
    ("the images moved by more than guard.max_image_change in one step", "lower distill.lr_img"),
)


def explain(trouble: int) -> str:
    """The bits of `Metrics.trouble` in words: which quantity, and the knob likely to help."""
    seen = [pair for bit, pair in enumerate(TROUBLES) if trouble >> bit & 1]
    if not seen:
        return "nothing went wrong"
    # A non-finite loss makes everything after it non-finite: the first cause is the one to name.
    quantity, knob = seen[0]
    return f"{quantity} (likely to help: {knob})"


def trouble(
    loss: jax.Array,
    gradients: SyntheticSet,
    updates: SyntheticSet,
    old: SyntheticSet,
    new: SyntheticSet,
    initial_step_size: float,
    guard: Guard,
) -> jax.Array:
    """What is wrong with one step, in bits, one for each of `TROUBLES`; int32 scalar.

    Args:
      loss: L before the update.
      gradients, updates: of the set, dL/d(.) and what would be added.
      old, new: the set before and after.
      initial_step_size: alpha before the first step.
      guard: the limits.
    """
    change = new.step_size / old.step_size
    ratio = new.step_size / initial_step_size
    image_change = jnp.sqrt(jnp.mean(jnp.square(updates.images)))
    # Written as negations, so that a NaN counts as trouble. Order: as in TROUBLES.
    signs = (
        ~jnp.isfinite(loss),
        *(~jnp.all(jnp.isfinite(g)) for g in gradients),
        ~(loss <= guard.max_loss),
        ~((change <= guard.max_step_size_change) & (change >= 1 / guard.max_step_size_change)),
        ~((ratio <= guard.max_step_size_ratio) & (ratio >= 1 / guard.max_step_size_ratio)),
        ~(image_change <= guard.max_image_change),
    )
    return sum(sign.astype(jnp.int32) << bit for bit, sign in enumerate(signs))


def after(
    health: Health, bad: jax.Array, applied: jax.Array, guard: Guard
) -> tuple[Health, jax.Array]:
    """The guard's next memory, its snapshot unchanged, and whether to return to that snapshot.

    Args:
      health: the memory before the step.
      bad, applied: whether the step went wrong, and whether the set moved; bool scalars.
      guard: the rules.
    """
    undone = jnp.where(bad, health.undone + 1, 0)
    back = bad & (undone % 3 == 0)
    good = jnp.where(bad, 0, health.good + applied)
    recovered = (good >= guard.recovery) & (health.scale < 1)
    scale = jnp.where(bad, jnp.maximum(health.scale * guard.backoff, _LEAST_SCALE), health.scale)
    scale = jnp.where(recovered, jnp.minimum(scale / guard.backoff, 1.0), scale)
    idle = jnp.where(applied, 0, health.idle + 1)
    return Health(scale, jnp.where(recovered, 0, good), undone, idle, health.snapshot), back
