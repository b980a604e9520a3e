"""Trajectory matching: the loss of a student that should land where an expert went.

segment of an expert -> student trains on the synthetic set -> matching loss L
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax import alignment as alignment_lib
from dpd_jax import matching as matching_lib
from dpd_jax import parallel
from dpd_jax import student as student_lib
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

    def logged(self) -> dict[str, Any]:
        """What metrics.jsonl says about it."""
        return {"start_epochs": np.asarray(self.start_epoch).tolist()}


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
      key: randomness of batches, augmentation, perturbation, mirroring and random pruning.
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
    if student.mirror:
        key, mirror_key = jax.random.split(key)
        images = synthetic.images
        turned = jnp.where(jax.random.bernoulli(mirror_key), images[:, :, ::-1], images)
        synthetic = synthetic._replace(images=turned)
    mask_keys: Any = [None] * len(targets)
    if matching.draws:
        key, mask_key = jax.random.split(key)
        mask_keys = jax.random.split(mask_key, len(targets))
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
    for weight, weights, target, mask_key in zip(
        alignment.weights, trained, targets, mask_keys, strict=True
    ):
        keep = matching_lib.keep_mask(
            weights, target, start, matching, network.parameters, mask_key
        )
        loss += weight * matching_lib.normalised_distance(weights, target, start, keep)
    return loss, matching_lib.dropped_shares(keep, network.parameters) if matching.drops else None


def make_gradient(
    network: Network,
    student: student_lib.Student,
    matching: matching_lib.Matching,
    *,
    segments: int = 1,
    devices: int = 1,
) -> Callable:
    """The gradient of the mean loss of K segments, a `distill.Gradient`.

    Args:
      network, student, matching: what is trained, and how it is matched.
      segments: K; the inputs are segments with this leading axis.
      devices: devices that share the segments. With several, or with several that share a batch,
        the gradient must be called outside of jit.

    Raises:
      UserError: if the devices do not exist or cannot share the segments evenly.
    """

    def one(synthetic: SyntheticSet, segment_and_key) -> tuple[tuple, SyntheticSet]:
        segment, key = segment_and_key
        return jax.value_and_grad(segment_loss, has_aux=True)(
            synthetic, segment, key, network=network, student=student, matching=matching
        )

    average = parallel.mean_over_segments(one, segments, devices)
    if student.batch_devices > 1:
        average = parallel.sharing_rows(average, student.batch_devices)

    @jax.jit
    def keys(key, step):
        return jax.random.split(jax.random.fold_in(key, step), segments)

    def gradient(synthetic, inputs, key, step, unused):
        (loss, dropped), gradients = average(synthetic, (inputs, keys(key, step)))
        return loss, dropped, gradients, unused

    return gradient
