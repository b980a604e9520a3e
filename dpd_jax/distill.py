"""One outer step of trajectory matching: a pure function, compiled once.

    segment of an expert -> student trains on the synthetic set -> matching loss L
    -> gradient of L -> optax -> a new set; the old set stays if L is above the
    threshold (DATM) or the guard rejects the step

The step depends on its arguments only. `dpd_jax/runs/loop.py` reads the segments.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from dpd_jax import alignment as alignment_lib
from dpd_jax import compilation, optimizers, parallel
from dpd_jax import guard as guard_lib
from dpd_jax import matching as matching_lib
from dpd_jax import student as student_lib
from dpd_jax.errors import check_range
from dpd_jax.guard import Guard, Health
from dpd_jax.networks import Network
from dpd_jax.synthetic import SyntheticSet


class TrajectorySegment(NamedTuple):
    """A part of an expert's trajectory; several segments have a leading axis.

    Attributes:
      params: weights [m + 1, P]: those of the start epoch, then the m targets.
      start_epoch: int32 scalar.
    """

    params: jax.Array | np.ndarray
    start_epoch: jax.Array | np.ndarray


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
    ema_decay: float = 0.0

    def __post_init__(self):
        check_range("distill.ema_decay", self.ema_decay, "[0, 1)", "; 0 is off")

    def optimizer(self) -> optax.GradientTransformation:
        """One optimiser for a whole `SyntheticSet`; raises UserError as `for_step_size`."""
        return optax.partition(
            {
                "images": optimizers.build(self.images),
                "labels": optimizers.build(self.labels),
                "step_size": optimizers.for_step_size(
                    self.step_size, self.initial_step_size, self.step_size_update
                ),
            },
            SyntheticSet._make(SyntheticSet._fields),
        )


class DistillState(NamedTuple):
    """Everything the next outer step depends on, besides its segments and key.

    Attributes:
      step: outer steps done, int32 scalar.
      synthetic: the synthetic set.
      average: its running average; without EMA the set itself.
      optimizer: optax state.
      health: state of the guard.
    """

    step: jax.Array
    synthetic: SyntheticSet
    average: SyntheticSet
    optimizer: optax.OptState
    health: Health


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


def init(synthetic: SyntheticSet, outer: Outer) -> DistillState:
    """The state before the first step, from the first synthetic set."""
    chex.assert_rank(tuple(synthetic), [4, 2, 0])
    chex.assert_equal_shape_prefix(synthetic[:2], 1)
    optimizer = outer.optimizer().init(synthetic)
    zero = jnp.zeros((), jnp.int32)
    health = Health(jnp.ones(()), zero, zero, zero, (synthetic, synthetic, optimizer))
    state = DistillState(zero, synthetic, synthetic, optimizer, health)
    # Copies, because the step donates its state and a buffer can be donated only once.
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
    """The matching loss of one segment (DPD, eqs. 1-9).

    With intermediate matching it is the weighted sum of several losses (AST, Algorithm 1), each
    with masks of its own.

    Args:
      synthetic: the set; the loss is differentiable in all three of its parts.
      segment: the expert's weights, with as many targets as `student` has matched steps.
      key: randomness of batches, augmentation and perturbation.
      network, student, matching: what is trained, and how it is matched.

    Returns:
      The scalar L, and `Metrics.dropped`.
    """
    alignment = student.alignment
    chex.assert_shape(segment.params, (len(alignment.weights) + 1, network.num_params))
    chex.assert_rank(segment.start_epoch, 0)
    params = jnp.asarray(segment.params)
    start, targets = params[0], params[1:]
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
        alignment_lib.balance(jnp.asarray(segment.start_epoch), alignment),
        network=network,
        student=student,
        matched_steps=student.matched_steps,
    )

    loss = jnp.zeros(())
    for weight, weights, target in zip(alignment.weights, trained, targets, strict=True):
        keep = matching_lib.keep_mask(weights, target, start, matching, network.parameters)
        loss += weight * matching_lib.normalised_distance(weights, target, start, keep)
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
    """Compiles the outer step.

    Args:
      network, student, matching: what is trained, and how it is matched.
      outer, guard: how the set is updated, and when an update is undone.
      segments: K, segments per step, whose gradients are averaged.
      devices: devices that share the segments.

    Returns:
      step(state, segment, key) -> (state, metrics). The segment has a leading axis K. The key is
      the same for every step; the step folds its number into it. The old state is donated.

    Raises:
      UserError: if the devices do not exist or cannot share the segments evenly.
    """

    def gradient(synthetic: SyntheticSet, segment_and_key) -> tuple[tuple, SyntheticSet]:
        segment, key = segment_and_key
        return jax.value_and_grad(segment_loss, has_aux=True)(
            synthetic, segment, key, network=network, student=student, matching=matching
        )

    average = parallel.mean_over_segments(gradient, segments, devices)
    if student.batch_devices > 1:
        average = parallel.sharing_rows(average, student.batch_devices)
    optimizer = outer.optimizer()
    total_weight = sum(student.alignment.weights)

    def keys(key, step):
        return jax.random.split(jax.random.fold_in(key, step), segments)

    def update(state, loss, dropped, gradients):
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
        return DistillState(number, result[0], result[1], result[2], health), metrics

    def running_average(average: SyntheticSet, new: SyntheticSet) -> SyntheticSet:
        if not outer.ema_decay:
            return new
        average = optax.incremental_update(new, average, 1 - outer.ema_decay)
        # As in FTD, the evaluation uses the learned step size and not an average.
        return average._replace(step_size=new.step_size)

    def step(state, segment, key):
        (loss, dropped), gradients = average(state.synthetic, (segment, keys(key, state.step)))
        return update(state, loss, dropped, gradients)

    if devices == student.batch_devices == 1:
        return compilation.jit(step, donate_argnums=0)
    # With several devices `average` is a pmap, which must be called outside of jit.
    update, keys = jax.jit(update, donate_argnums=0), jax.jit(keys)
    return step
