"""One outer step: a pure function, compiled once.

    gradient of the matching loss L -> optax -> a new set; the old set stays if L is above the
    threshold (DATM) or the guard rejects the step

The gradient is that of `trajectory_matching`, `gradient_matching` or `distribution_matching`. The
step depends on its arguments only. `dpd_jax/runs/loop.py` reads segments and real images.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp
import optax

from dpd_jax import compilation, optimizers
from dpd_jax import guard as guard_lib
from dpd_jax.errors import check_range
from dpd_jax.guard import Guard, Health
from dpd_jax.synthetic import SyntheticSet


@dataclasses.dataclass(frozen=True)
class Outer:
    """How the synthetic set is updated.

    Attributes:
      images: the optimiser of the images.
      initial_step_size: alpha of the first synthetic set.
      labels, step_size: the optimisers of label logits and alpha; by default neither is learned.
      step_size_update: "multiplicative" or "plain" (see `optimizers`).
      threshold: a step whose L is above it changes nothing (DATM); 0 = no threshold. With
        intermediate matching L is divided by the sum of its weights first, so that 1 is the loss
        of a student that stays at its start. The same holds for `Guard.max_loss`.
      decay_step: steps at the full learning rates, counted without those that change nothing; 0 =
        all.
      decay_factor: of the three learning rates, after these steps.
      ema_decay: d of the average a <- d a + (1 - d) x of images (FTD) and labels; 0 keeps the
        average equal to the set.

    Raises:
      UserError: if `ema_decay` is out of range.
    """

    images: optimizers.Rule
    initial_step_size: float
    labels: optimizers.Rule = optimizers.NOT_LEARNED
    step_size: optimizers.Rule = optimizers.NOT_LEARNED
    step_size_update: str = "multiplicative"
    threshold: float = 1.0
    decay_step: int = 0
    decay_factor: float = 1.0
    ema_decay: float = 0.0

    def __post_init__(self):
        check_range("distill.decay_step", self.decay_step, "[0, inf)", "; 0 is never")
        check_range("distill.decay_factor", self.decay_factor, "(0, 1]")
        check_range("distill.ema_decay", self.ema_decay, "[0, 1)", "; 0 is off")

    def optimizer(self) -> optax.GradientTransformation:
        """One optimiser for a whole `SyntheticSet`; raises UserError as `for_step_size`."""
        whole = optax.partition(
            {
                "images": optimizers.build(self.images),
                "labels": optimizers.build(self.labels),
                "step_size": optimizers.for_step_size(
                    self.step_size, self.initial_step_size, self.step_size_update
                ),
            },
            SyntheticSet._make(SyntheticSet._fields),
        )
        if not self.decay_step:  # The state then has the form of earlier checkpoints.
            return whole
        factor = optax.piecewise_constant_schedule(1.0, {self.decay_step: self.decay_factor})
        return optax.chain(whole, optax.scale_by_schedule(factor))


class DistillState(NamedTuple):
    """Everything the next outer step depends on, besides its inputs and key.

    Attributes:
      step: outer steps done, int32 scalar.
      synthetic: the synthetic set.
      average: its running average; without EMA the set itself.
      optimizer: optax state.
      health: state of the guard.
      network: weights [P] of the network that gradient matching trains on the set; else ().
    """

    step: jax.Array
    synthetic: SyntheticSet
    average: SyntheticSet
    optimizer: optax.OptState
    health: Health
    network: Any = ()


class Metrics(NamedTuple):
    """Measurements of one outer step; all but `dropped` are scalars.

    Attributes:
      loss: the matching loss L before the update, with the intermediate losses, mean over
        segments.
      step_size: alpha after the step.
      images_gradient, labels_gradient, step_size_gradient: norms of dL/d(.).
      applied: whether the step changed the set.
      trouble: bits, one for each of `guard.TROUBLES`; 0 if the step is good.
      scale: the guard's factor on the updates after the step.
      idle: `Health.idle` after the step.
      dropped: share of each parameter array that the last matching loss leaves out, mean over
        segments, in the order of `Network.parameters`; None if every coordinate counts.
    """

    loss: jax.Array
    step_size: jax.Array
    images_gradient: jax.Array
    labels_gradient: jax.Array
    step_size_gradient: jax.Array
    applied: jax.Array
    trouble: jax.Array
    scale: jax.Array
    idle: jax.Array
    dropped: jax.Array | None


class Gradient(Protocol):
    """The gradient of a matching loss, as an outer step needs it."""

    def __call__(
        self, synthetic: SyntheticSet, inputs: Any, key: jax.Array, step: jax.Array, network: Any
    ) -> tuple[jax.Array, jax.Array | None, SyntheticSet, Any]:
        """Differentiates the loss of one step.

        Args:
          synthetic: the set.
          inputs: expert segments or real images of this step.
          key, step: the key of all steps, and the number of this one, from 0.
          network: `DistillState.network`.

        Returns:
          The loss, `Metrics.dropped`, the gradient, and `DistillState.network` after the step.
        """


def init(synthetic: SyntheticSet, outer: Outer, network: Any = ()) -> DistillState:
    """The state before the first step, from the first set and the first `DistillState.network`."""
    chex.assert_rank(tuple(synthetic), [4, 2, 0])
    chex.assert_equal_shape_prefix(synthetic[:2], 1)
    optimizer = outer.optimizer().init(synthetic)
    zero = jnp.zeros((), jnp.int32)
    health = Health(jnp.ones(()), zero, zero, zero, (synthetic, synthetic, optimizer))
    state = DistillState(zero, synthetic, synthetic, optimizer, health, network)
    # Copies, because the step donates its state and a buffer can be donated only once.
    return jax.tree.map(jnp.copy, state)


def make_step(
    gradient: Gradient, outer: Outer, guard: Guard, *, total_weight: float = 1.0, whole: bool = True
) -> Callable[[DistillState, Any, jax.Array], tuple[DistillState, Metrics]]:
    """Compiles the outer step.

    Args:
      gradient: of the matching loss.
      outer, guard: how the set is updated, and when an update is undone.
      total_weight: the sum of the weights of the losses in L; limits are for L divided by it.
      whole: whether the step is compiled as a whole. A gradient that runs on several devices is a
        `pmap`, which must be called outside of jit.

    Returns:
      step(state, inputs, key) -> (state, metrics). The key is the same for every step. The old
      state is donated.
    """
    optimizer = outer.optimizer()

    def update(state, loss, dropped, gradients, network):
        """Applies one step, skips it (threshold) or undoes it (guard)."""
        relative_loss, old = loss / total_weight, state.synthetic
        updates, new_optimizer = optimizer.update(gradients, state.optimizer, old)
        updates = jax.tree.map(lambda u: u * state.health.scale, updates)
        new = optax.apply_updates(old, updates)
        trouble = guard_lib.trouble(
            relative_loss, gradients, updates, old, new, outer.initial_step_size, guard
        )

        bad = trouble > 0
        applied = ~bad & ((relative_loss <= outer.threshold) if outer.threshold else True)
        health, restore = guard_lib.next_health(state.health, bad, applied, guard)

        def choose(condition, one, other):
            return jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)

        kept = choose(restore, health.snapshot, (old, state.average, state.optimizer))
        result = choose(applied, (new, running_average(state.average, new), new_optimizer), kept)
        number = state.step + 1
        take_snapshot = applied & (number % guard.snapshot_every == 0)
        health = health._replace(snapshot=choose(take_snapshot, result, health.snapshot))
        metrics = Metrics(
            loss=loss,
            step_size=result[0].step_size,
            images_gradient=jnp.linalg.norm(jnp.ravel(gradients.images)),
            labels_gradient=jnp.linalg.norm(jnp.ravel(gradients.labels)),
            step_size_gradient=jnp.linalg.norm(jnp.ravel(gradients.step_size)),
            applied=applied,
            trouble=trouble,
            scale=health.scale,
            idle=health.idle,
            dropped=dropped,
        )
        return DistillState(number, result[0], result[1], result[2], health, network), metrics

    def running_average(average: SyntheticSet, new: SyntheticSet) -> SyntheticSet:
        if not outer.ema_decay:
            return new
        average = optax.incremental_update(new, average, 1 - outer.ema_decay)
        # As in FTD, the evaluation uses the learned step size and not an average.
        return average._replace(step_size=new.step_size)

    def step(state, inputs, key):
        found = gradient(state.synthetic, inputs, key, state.step, state.network)
        return update(state, *found)

    if whole:
        return compilation.jit(step, donate_argnums=0)
    update = jax.jit(update, donate_argnums=0)
    return step
