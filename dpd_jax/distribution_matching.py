"""Distribution matching: synthetic images whose mean features are those of real ones (DM).

Zhao and Bilen, "Dataset Condensation with Distribution Matching", WACV 2023. Every step compares
the means of each class on a new random network.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from dpd_jax import matching as matching_lib
from dpd_jax.augment import augment
from dpd_jax.matching import Matching
from dpd_jax.networks import Network
from dpd_jax.objective import Objective, RealBatch
from dpd_jax.student import Student
from dpd_jax.synthetic import SyntheticSet


def mean_distance(synthetic: Sequence[jax.Array], real: Sequence[jax.Array]) -> jax.Array:
    """The sum over layers and classes of |mean(synthetic) - mean(real)|^2 (DM, eq. 4), a scalar.

    Args:
      synthetic, real: features of each layer, [k, b, f] for b images of each of k classes; b may
        differ between the two.
    """
    return sum(
        (jnp.sum(jnp.square(s.mean(1) - r.mean(1))) for s, r in zip(synthetic, real, strict=True)),
        jnp.zeros(()),
    )


def make_gradient(
    network: Network, objective: Objective, student: Student, matching: Matching, *, ipc: int
) -> Callable:
    """The gradient of the mean distance, a `distill.Gradient`.

    The images of the set are class-major. Only they are learned. With `objective.layers` = "all",
    the maps after each convolution, norm, activation and pooling are compared, and the mask "depth"
    leaves out the first `matching.depth_ratio` of them (PAD's FIEM; PAD does not say of what the
    share is).

    Args:
      network: the network; ConvNet if all its layers are compared.
      objective, matching: what is compared.
      student: gives the augmentation.
      ipc: images per class.
    """

    def embedded(params: jax.Array, images: jax.Array) -> list[jax.Array]:
        """Features [k, b, f] of images [k, b, h, w, c], layer by layer."""
        classes, size = images.shape[:2]
        flat = images.reshape(classes * size, *network.image_shape)
        if objective.layers == "last":
            maps = [network.features(params, flat)]
        else:
            maps = network.maps(params, flat)
            first = matching_lib.count(len(maps), matching.depth_ratio)
            maps = maps[first if "depth" in matching.masks else 0 :]
        return [x.reshape(classes, size, -1) for x in maps]

    def augmented(images: jax.Array, keys: jax.Array) -> jax.Array:
        if not objective.augment:
            return images
        return jax.lax.map(
            lambda xs: augment(
                jax.random.wrap_key_data(xs[1]), xs[0], student.augmentation, shared=True
            ),
            (images, keys),
        )

    def means_of(params: jax.Array, images: jax.Array, keys: jax.Array) -> list[jax.Array]:
        """The mean features [k, 1, f] of real images, layer by layer."""

        def means(images: jax.Array, keys: jax.Array) -> list[jax.Array]:
            return [x.mean(1) for x in embedded(params, augmented(images, keys))]

        if network.init_stats():  # The moments of its norms are those of all classes together.
            return [x[:, None] for x in means(images, keys)]
        # One class at a time: all of them take ten times the memory.
        return jax.lax.map(lambda xs: means(xs[0][None], xs[1][None]), (images, keys))

    def gradient(synthetic: SyntheticSet, inputs: RealBatch, key, step, unused):
        network_key, augment_key = jax.random.split(jax.random.fold_in(key, step))
        params = network.init(network_key)
        # Raw data, not typed keys: both batches use a key, which JAX's check would report.
        keys = jax.random.key_data(jax.random.split(augment_key, network.num_classes))
        real = means_of(params, jnp.asarray(inputs.images), keys)

        def loss(images):
            by_class = images.reshape(network.num_classes, ipc, *network.image_shape)
            return mean_distance(embedded(params, augmented(by_class, keys)), real)

        value, gradients = jax.value_and_grad(loss)(synthetic.images)
        zeros = jax.tree.map(jnp.zeros_like, synthetic)
        return value, None, zeros._replace(images=gradients), unused

    return gradient
