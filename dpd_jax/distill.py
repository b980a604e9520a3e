"""One outer step of trajectory matching: a pure function, compiled once.

    segment of an expert -> student trains on the set -> matching loss L
    -> exact gradient of L -> optax -> a new set, or the old one if L is above
    the threshold (DATM's gate) or the step went wrong (the guard)

Nothing here reads a file, a clock or a seed; `dpd_jax/runs/loop.py` does.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from dpd_jax import alignment as alignment_lib
from dpd_jax import compilation, optimizers, parallel
from dpd_jax import guard as guard_lib
from dpd_jax import matching as matching_lib
from dpd_jax import student as student_lib
from dpd_jax.errors import UserError
from dpd_jax.guard import Guard, Health
from dpd_jax.networks import Network
from dpd_jax.synthetic import SyntheticSet


class TrajectorySegment(NamedTuple):
    """A stretch of an expert's way.

    Attributes:
      params: [m + 1, P]: the start epoch's weights, then those to be matched, in order.
      start_epoch: int32 scalar.
    """

    params: jax.Array
    start_epoch: jax.Array


@dataclasses.dataclass(frozen=True)
class Outer:
    """How the set moves.

    Attributes:
      images, labels, step_size: the rule of each variable.
      step_size_update: "multiplicative" or "plain" (see `optimizers`).
      initial_step_size: alpha before the first step.
      threshold: a step whose L is above it is skipped altogether (DATM); 0 = never.
        With intermediate matching it is held against L over the sum of the weights,
        so that 1 is standing still there too; so is the guard's `max_loss`.
      ema_decay: d of the average a <- d a + (1 - d) x over images (FTD) and labels;
        0 keeps the average equal to the set.
    """

    images: optimizers.Rule
    labels: optimizers.Rule
    step_size: optimizers.Rule
    step_size_update: str
    initial_step_size: float
    threshold: float
    ema_decay: float

    def __post_init__(self):
        if not 0 <= self.ema_decay < 1:
            raise UserError(f"distill.ema_decay = {self.ema_decay} must lie in [0, 1); 0 is off.")

    def optimizer(self) -> optax.GradientTransformation:
        """One transformation for the whole set."""
        return optax.partition(
            {
                "images": optimizers.build(self.images),
                "labels": optimizers.build(self.labels),
                "step_size": optimizers.for_step_size(
                    self.step_size, self.initial_step_size, self.step_size_update
                ),
            },
            SyntheticSet("images", "labels", "step_size"),
        )


class DistillState(NamedTuple):
    """Everything the next outer step depends on, besides its segment and key.

    Attributes:
      step: outer steps done, int32.
      synthetic: the set.
      average: its running average (the set itself without EMA).
      optimizer: optax state.
      health: the guard's memory.
    """

    step: jax.Array
    synthetic: SyntheticSet
    average: SyntheticSet
    optimizer: optax.OptState
    health: Health


class Metrics(NamedTuple):
    """What one outer step says of itself; scalars but for `dropped`.

    Attributes:
      loss: the matching loss L before the update, the intermediate ones included, mean over
        segments.
      step_size: alpha after the step.
      images_gradient, labels_gradient, step_size_gradient: norms of dL/d(.).
      applied: whether the set moved.
      trouble: bits, one for each of `guard.TROUBLES`; 0 if the guard saw nothing.
      scale: the guard's factor after the step.
      idle: `Health.idle` after the step.
      dropped: share of each parameter array's weights that the masks left out of
        L, mean over segments, [parameters] in the order of `Network.parameters`; None
        where nothing is masked.
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


def init(synthetic: SyntheticSet, outer: Outer) -> DistillState:
    """The state before the first step."""
    optimizer = outer.optimizer().init(synthetic)
    zero = jnp.zeros((), jnp.int32)
    health = Health(jnp.ones(()), zero, zero, zero, (synthetic, synthetic, optimizer))
    state = DistillState(zero, synthetic, synthetic, optimizer, health)
    # Copies, since the step donates its state and a buffer can be donated only once.
    return jax.tree.map(jnp.copy, state)


def segment_loss(
    synthetic: SyntheticSet,
    segment: TrajectorySegment,
    key: jax.Array,
    *,
    network: Network,
    student: student_lib.Student,
    matching: matching_lib.Matching,
) -> tuple[jax.Array, jax.Array | None]:
    """L of one segment as a function of the set (DPD eqs. 1-9), a scalar, and `Metrics.dropped`.

    With intermediate matching L is the weighted sum over the points (AST,
    Algorithm 1), each masked for itself; the shares are the last point's.
    """
    alignment = student.alignment
    start, targets = segment.params[0], segment.params[1:]
    if alignment.perturbation:
        key, noise_key = jax.random.split(key)
        noise = jax.random.normal(noise_key, start.shape)
        start = alignment_lib.perturb(start, noise, network.parameters, alignment)
    batch_key, augment_key = jax.random.split(key)
    index = student_lib.batches(
        batch_key, synthetic.images.shape[0], student.batch_syn, student.syn_steps
    )
    keys = jax.random.split(augment_key, student.syn_steps)
    trained = student_lib.train(
        start,
        synthetic,
        index,
        keys,
        alignment_lib.balance(segment.start_epoch, alignment),
        network=network,
        student=student,
        matched_steps=student.matched_steps,
    )

    loss, keep = 0.0, None
    for weight, seen, target in zip(alignment.weights, trained, targets, strict=True):
        keep = matching_lib.keep_mask(seen, target, start, matching, network.parameters)
        loss += weight * matching_lib.normalised_distance(seen, target, start, keep)
    return loss, matching_lib.dropped_shares(keep, network.parameters) if matching.drops else None


def make_step(
    network: Network,
    student: student_lib.Student,
    matching: matching_lib.Matching,
    outer: Outer,
    guard: Guard,
    *,
    segments: int,
    devices: int,
) -> Callable[[DistillState, TrajectorySegment, jax.Array], tuple[DistillState, Metrics]]:
    """The compiled outer step: (state, segments, key) -> (state, metrics).

    `Segment` has a leading axis of K = `segments`; `key` is the run's root key,
    into which the step folds its number. The state is donated.
    """

    def gradient(synthetic: SyntheticSet, one) -> tuple[tuple, SyntheticSet]:
        segment, key = one
        return jax.value_and_grad(segment_loss, has_aux=True)(
            synthetic, segment, key, network=network, student=student, matching=matching
        )

    average = parallel.mean_over_segments(gradient, segments, devices)
    if student.batch_devices > 1:
        average = parallel.sharing_rows(average, student.batch_devices)
    optimizer = outer.optimizer()
    standing_still = sum(student.alignment.weights)  # L of a student that does not move.

    def keys(key, step):
        return jax.random.split(jax.random.fold_in(key, step), segments)

    def update(state, seen, gradients):
        return _update(state, *seen, gradients, optimizer, outer, guard, standing_still)

    if devices == student.batch_devices == 1:

        def whole(state, segment, key):
            seen, gradients = average(state.synthetic, (segment, keys(key, state.step)))
            return update(state, seen, gradients)

        return compilation.jit(whole, donate_argnums=0)

    update = jax.jit(update, donate_argnums=0)
    keys = jax.jit(keys)

    def spread(state, segment, key):
        seen, gradients = average(state.synthetic, (segment, keys(key, state.step)))
        return update(state, seen, gradients)

    return spread


def _update(
    state, loss, dropped, gradients, optimizer, outer: Outer, guard: Guard, standing_still: float
):
    """Applies, gates or undoes one step."""
    old, relative_loss = state.synthetic, loss / standing_still
    updates, moved_optimizer = optimizer.update(gradients, state.optimizer, old)
    updates = jax.tree.map(lambda u: u * state.health.scale, updates)
    new = optax.apply_updates(old, updates)
    trouble = guard_lib.trouble(
        relative_loss, gradients, updates, old, new, outer.initial_step_size, guard
    )

    bad = trouble > 0
    applied = ~bad & ((relative_loss <= outer.threshold) if outer.threshold else True)
    health, back = guard_lib.after(state.health, bad, applied, guard)

    moved = new, _averaged(state.average, new, outer), moved_optimizer
    kept = old, state.average, state.optimizer
    kept = jax.tree.map(lambda k, s: jnp.where(back, s, k), kept, health.snapshot)
    now = jax.tree.map(lambda m, k: jnp.where(applied, m, k), moved, kept)
    step = state.step + 1
    taken = applied & (step % guard.snapshot_every == 0)
    health = health._replace(
        snapshot=jax.tree.map(lambda n, s: jnp.where(taken, n, s), now, health.snapshot)
    )
    metrics = Metrics(
        loss,
        now[0].step_size,
        *(jnp.linalg.norm(jnp.ravel(g)) for g in gradients),
        applied,
        trouble,
        health.scale,
        health.idle,
        dropped,
    )
    return DistillState(step, *now, health), metrics


def _averaged(average: SyntheticSet, new: SyntheticSet, outer: Outer) -> SyntheticSet:
    if not outer.ema_decay:
        return new
    average = optax.incremental_update(new, average, 1 - outer.ema_decay)
    # The step size is what evaluation trains with: the learned one, as in FTD.
    return average._replace(step_size=new.step_size)
