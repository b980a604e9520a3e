"""Gradient matching: synthetic images whose gradients are those of real ones (DC, DSA).

Zhao, Mopuri and Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021; Zhao and Bilen,
"Dataset Condensation with Differentiable Siamese Augmentation", ICML 2021. A network starts at
random. The images are updated once, the network trains on them, the images are updated again, and
so on; then the next network starts. One outer step is one update of the images.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax import matching as matching_lib
from dpd_jax import student as student_lib
from dpd_jax import synthetic as synthetic_lib
from dpd_jax.augment import augment
from dpd_jax.matching import Matching
from dpd_jax.networks import Network, layout
from dpd_jax.networks.layout import Parameter
from dpd_jax.objective import Objective, RealBatch
from dpd_jax.student import Student, soft_cross_entropy
from dpd_jax.synthetic import SyntheticSet

_TINY = 1e-6  # added to the product of the norms, as in DC's program


def row_distances(one: jax.Array, other: jax.Array, parameters: tuple[Parameter, ...]) -> jax.Array:
    """1 - <a, b> / (|a| |b| + 1e-6) for the two gradients a, b of each output unit (DC, eq. 7).

    A row is the part of a tensor that belongs to one output unit or channel. Tensors with one axis
    (biases, and scales of norms) have no rows, as in DC's program.

    Args:
      one, other: gradients [P].
      parameters: the arrays of the vectors.

    Returns:
      [r], in the order of the tensors, then of the output units.
    """
    found = []
    for parameter in parameters:
        if len(parameter.shape) > 1:
            a, b = (x[parameter.part].reshape(-1, parameter.shape[-1]) for x in (one, other))
            norms = _norm(a) * _norm(b)
            found.append(1 - jnp.sum(a * b, 0) / (norms + _TINY))
    return jnp.concatenate(found)


def _norm(rows: jax.Array) -> jax.Array:
    """The norm of each column; its derivative is 0, not NaN, where the norm is 0."""
    squares = jnp.sum(jnp.square(rows), 0)
    positive = squares > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1.0)), 0.0)


def deep_rows(parameters: tuple[Parameter, ...], ratio: float, unit: str) -> np.ndarray:
    """The mask bool [r] of PAD's FIEM: False for rows in the first `ratio` of all parameters.

    The parameters are counted in PyTorch's order, from shallow to deep. A row or a tensor (`unit`)
    that the cut divides is kept.
    """
    places = layout.places_in_pytorch(parameters)
    cut = matching_lib.count(len(places), ratio)
    kept = []
    for parameter in parameters:
        if len(parameter.shape) > 1:
            last = places[parameter.part].reshape(-1, parameter.shape[-1]).max(0)
            kept.append((last if unit == "row" else np.full_like(last, last.max())) >= cut)
    return np.concatenate(kept)


def distance(
    synthetic: jax.Array,
    real: jax.Array,
    parameters: tuple[Parameter, ...],
    matching: Matching,
    depth_unit: str,
) -> jax.Array:
    """The sum of the distances of the rows that count, a scalar.

    `matching.pruning_rate` leaves out this share of the rows, those with the largest distances
    (DPD's rule for gradients) or the smallest; the mask "depth" leaves out shallow rows, see
    `deep_rows`.

    Args:
      synthetic, real: gradients [P].
      parameters: the arrays of the vectors.
      matching, depth_unit: which rows count.
    """
    rows = row_distances(synthetic, real, parameters)
    keep = jnp.ones(rows.shape, bool)
    if matching.pruning_rate:
        keep &= matching_lib.prune(jax.lax.stop_gradient(rows), matching)
    if "depth" in matching.masks:
        keep &= deep_rows(parameters, matching.depth_ratio, depth_unit)
    return jnp.sum(jnp.where(keep, rows, 0.0))


def make_gradient(
    network: Network, objective: Objective, student: Student, matching: Matching, *, ipc: int
) -> Callable:
    """The gradient of the sum over classes of the distance, a `distill.Gradient`.

    The images of the set are class-major. Only they are learned. `student` says how the network
    trains on the set between two updates: its batch, momentum and augmentation; alpha is the
    learning rate.

    Args:
      network: a network without batch statistics; its weights are `DistillState.network`.
      objective, matching: what is compared.
      student: how the network trains.
      ipc: images per class.
    """
    updates, epochs = objective.loops(ipc)
    num_images = network.num_classes * ipc
    steps = epochs * -(-num_images // student.batch_syn)
    learner = dataclasses.replace(student, syn_steps=max(steps, 1), gradient="unroll")
    if not objective.augment:
        plain = dataclasses.replace(student.augmentation, families=())
        learner = dataclasses.replace(learner, augmentation=plain)

    def loss(params, images, labels):
        return jnp.mean(soft_cross_entropy(network.apply(params, images), labels))

    def class_distance(images, real, labels, label, key, params):
        if objective.augment:
            images, real = (
                augment(jax.random.wrap_key_data(key), x, student.augmentation, shared=True)
                for x in (images, real)
            )
        hard = synthetic_lib.hard_labels(jnp.full(len(real), label), network.num_classes)
        target = jax.lax.stop_gradient(jax.grad(loss)(params, real, hard))
        found = jax.grad(loss)(params, images, labels)
        return distance(found, target, network.parameters, matching, objective.depth_unit)

    def trained(params: jax.Array, synthetic: SyntheticSet, key: jax.Array) -> jax.Array:
        if not steps:
            return params
        batch_key, augment_key = jax.random.split(key)
        index = student_lib.batches(batch_key, num_images, learner.batch_syn, steps)
        keys = jax.random.split(augment_key, steps)
        (params,) = student_lib.train(
            params,
            synthetic,
            index,
            keys,
            jnp.ones(()),
            network=network,
            student=learner,
            matched_steps=(steps,),
        )
        return params

    def gradient(synthetic: SyntheticSet, inputs: RealBatch, key, step, params):
        key = jax.random.fold_in(key, step)
        network_key, augment_key = jax.random.split(key)
        params = jax.lax.cond(
            step % updates == 0,
            lambda: network.init(network_key),
            lambda: trained(params, synthetic, network_key),
        )
        by_class = (network.num_classes, ipc)
        images = synthetic.images.reshape(*by_class, *network.image_shape)
        labels = synthetic.labels.reshape(*by_class, -1)

        def one(xs):  # One class at a time: kernel gradients of many are slow side by side.
            images, *others = xs
            return jax.value_and_grad(class_distance)(images, *others, params)

        # Raw data, not typed keys: both batches use a key, which JAX's check would report.
        keys = jax.random.key_data(jax.random.split(augment_key, network.num_classes))
        classes = jnp.arange(network.num_classes)
        losses, gradients = jax.lax.map(one, (images, inputs.images, labels, classes, keys))
        zeros = jax.tree.map(jnp.zeros_like, synthetic)
        found = zeros._replace(images=gradients.reshape(synthetic.images.shape))
        return jnp.sum(losses), None, found, params

    return gradient
