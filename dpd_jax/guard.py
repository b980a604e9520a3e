"""Detects diverging outer steps and rolls them back."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dpd_jax.errors import check_range
from dpd_jax.synthetic import SyntheticSet


@dataclasses.dataclass(frozen=True)
class Guard:
    """The limits beyond which a step is bad, and what follows.

    A bad step is undone: set, average and optimiser state stay as before, and later updates are
    multiplied by `backoff`. Every `recovery` good steps divide by it again. The third bad step in
    a row restores the last snapshot. The caller must stop a run whose set did not change for
    `patience` steps: see `Health.idle`.

    Attributes:
      max_loss: largest matching loss; 1 is the loss of a student that stays at its start. With
        intermediate matching it is the weighted mean of the losses.
      max_step_size_change: largest factor by which one step may change the step size.
      max_step_size_ratio: largest factor between the step size and its initial value.
      max_image_change: largest root mean square change of the images in one step, in model space.
      backoff: factor on the updates after a bad step, in (0, 1].
      recovery: good steps after which one factor `backoff` is taken back.
      snapshot_every: steps between two snapshots.
      patience: steps without an update after which a run should stop.

    Raises:
      UserError: for values out of range.
    """

    max_loss: float = 10.0
    max_step_size_change: float = 2.0
    max_step_size_ratio: float = 100.0
    max_image_change: float = 1.0
    backoff: float = 0.5
    recovery: int = 100
    snapshot_every: int = 100
    patience: int = 500

    def __post_init__(self):
        check_range("guard.backoff", self.backoff, "(0, 1]")
        for name in ("recovery", "snapshot_every", "patience"):
            check_range(f"guard.{name}", getattr(self, name), "[1, inf)")


class Health(NamedTuple):
    """State of the guard.

    Attributes:
      scale: factor on the updates; 1 if no step was bad.
      good: applied steps since the last change of `scale`.
      undone: bad steps in a row.
      idle: steps in a row without an update, because they were bad or above the threshold.
      snapshot: the set, its average and the optimiser state that can be restored.
    """

    scale: jax.Array
    good: jax.Array
    undone: jax.Array
    idle: jax.Array
    snapshot: tuple


# The smallest factor on the updates; with less the set would hardly change.
_MIN_SCALE = 2.0**-10

# What is wrong, and the settings to change; one bit of Metrics.trouble each.
TROUBLES = (
    (
        "the matching loss is not finite",
        "lower distill.lr_lr or synthetic.step_size; on maps smaller than 4x4 lower network.depth",
    ),
    ("the gradient of the images is not finite", "lower synthetic.step_size or student.syn_steps"),
    ("the gradient of the labels is not finite", "lower synthetic.step_size or student.syn_steps"),
    ("the gradient of the step size is not finite", "lower synthetic.step_size"),
    (
        "the matching loss is above guard.max_loss: the student diverged from the expert",
        "lower distill.lr_img, distill.lr_lr or synthetic.step_size",
    ),
    (
        "the step size changed by more than guard.max_step_size_change in one step",
        "lower distill.lr_lr",
    ),
    (
        "the step size is more than guard.max_step_size_ratio away from its initial value, or not "
        "positive",
        "lower distill.lr_lr; if the step size keeps shrinking, the student cannot follow the "
        "expert: lower curriculum.max_start_epoch or distill.lr_img",
    ),
    ("the images moved by more than guard.max_image_change in one step", "lower distill.lr_img"),
)


def explain(trouble: int) -> str:
    """The first cause in the bits of `Metrics.trouble`, and what to change."""
    # The first only: a loss that is not finite makes the other quantities not finite too.
    for bit, (cause, settings) in enumerate(TROUBLES):
        if trouble >> bit & 1:
            return f"{cause} (likely to help: {settings})"
    return "the step is good"


def held_back(undone: int, steps: int) -> bool:
    """Whether a tenth or more of a run's steps were undone, so that its set learned less."""
    return 10 * undone >= steps > 0


def trouble(
    loss: jax.Array,
    gradients: SyntheticSet,
    updates: SyntheticSet,
    old: SyntheticSet,
    new: SyntheticSet,
    initial_step_size: float,
    guard: Guard,
) -> jax.Array:
    """Checks one step: an int32 scalar with one bit for each of `TROUBLES`; 0 for a good step.

    Args:
      loss, gradients: L before the update, a scalar, and dL/d(set).
      updates, old, new: the set before and after the step, and new - old.
      initial_step_size: alpha of the first set.
      guard: the limits.
    """
    change = new.step_size / old.step_size
    ratio = new.step_size / initial_step_size
    image_change = jnp.sqrt(jnp.mean(jnp.square(updates.images)))
    # Negated comparisons, so that NaN is trouble too. The order is that of TROUBLES.
    found = (
        ~jnp.isfinite(loss),
        *(~jnp.all(jnp.isfinite(g)) for g in gradients),
        ~(loss <= guard.max_loss),
        ~((change <= guard.max_step_size_change) & (change >= 1 / guard.max_step_size_change)),
        ~((ratio <= guard.max_step_size_ratio) & (ratio >= 1 / guard.max_step_size_ratio)),
        ~(image_change <= guard.max_image_change),
    )
    return sum((bad.astype(jnp.int32) << bit for bit, bad in enumerate(found)), jnp.int32(0))


def next_health(
    health: Health, bad: jax.Array, applied: jax.Array, guard: Guard
) -> tuple[Health, jax.Array]:
    """The state after a step, with the old snapshot, and whether that snapshot must be restored.

    `bad` (the step has trouble) and `applied` (it changed the set) are bool scalars.
    """
    undone = jnp.where(bad, health.undone + 1, 0)
    restore = bad & (undone % 3 == 0)
    good = jnp.where(bad, 0, health.good + applied)
    recovered = (good >= guard.recovery) & (health.scale < 1)
    scale = jnp.where(bad, jnp.maximum(health.scale * guard.backoff, _MIN_SCALE), health.scale)
    scale = jnp.where(recovered, jnp.minimum(scale / guard.backoff, 1.0), scale)
    idle = jnp.where(applied, 0, health.idle + 1)
    return Health(scale, jnp.where(recovered, 0, good), undone, idle, health.snapshot), restore
