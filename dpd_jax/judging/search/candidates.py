"""What the networks of an architecture search are trained and tested on.

A distilled set is good for architecture search if networks that are good after training on it are
also good after training on the whole training set. What is trained and tested on what:

    reference       the whole training set                        test images
    distilled set   its images                                    validation images
    random real     as many training images, without validation   validation images
    early stopping  all training images, without validation, for  validation images
                    as many updates as on a distilled set

The validation images are a share of the training images. So no proxy sees a test image. The
distilled sets themselves were made from the whole training set.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax import synthetic
from dpd_jax.datasets import model_images
from dpd_jax.datasets.labels import validation_part
from dpd_jax.datasets.model_images import JoinedImages
from dpd_jax.errors import UserError
from dpd_jax.evaluate import Protocol
from dpd_jax.runs import keys
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.storage.distilled_set import DistilledSet

REFERENCE = "whole training set"

# The images of a search, [p, h, w, c] in model space, and their label logits [p, k].
Pool = tuple[jax.Array | JoinedImages, jax.Array]


class Candidate(NamedTuple):
    """Something that every architecture is trained on.

    Attributes:
      name: in tables.
      identity: what determines it, for the store of results.
      orders: key -> the images of each epoch, int32 [epochs, m], as numbers in the
        pool of all images.
      learning_rate: before the drop.
      protocol: how networks are trained.
      images, labels: those that its networks are tested on, once, after the last epoch.
      networks: how many are trained of each architecture.
    """

    name: str
    identity: str
    orders: Callable[[jax.Array], jax.Array]
    learning_rate: float
    protocol: Protocol
    images: np.ndarray
    labels: np.ndarray
    networks: int


def candidates(
    sets: dict[str, DistilledSet], data: RunData, experiment: Experiment, seeds: int
) -> tuple[Callable[[], Pool], list[Candidate]]:
    """What makes the pool of images with their label logits; the candidates, the reference first.

    Args:
      sets: name -> distilled set; all of one size.
      data: the real data, in the model space of the config; each set is tested in its own.
      experiment: gives `search`, the training protocol and the seed.
      seeds: networks of each architecture on each candidate but the reference.

    Raises:
      UserError: if the sets differ in size, have no usable learning rate, or if the validation
        images leave too few others.
    """
    config, labels = experiment.config.search, data.dataset.train_labels
    sizes = {name: len(each.images) for name, each in sets.items()}
    if len(set(sizes.values())) > 1:
        raise UserError(
            f"the sets differ in their number of images ({sizes}), and networks would be trained "
            "for different numbers of updates. Search with sets of one size at a time."
        )
    size = next(iter(sizes.values()))
    ipc = max(int(np.bincount(each.labels).max()) for each in sets.values())
    root = jax.random.fold_in(jax.random.key(experiment.config.seed), keys.VALIDATION)
    validation = validation_part(labels, config.validation_share, root)
    rest = np.flatnonzero(~validation)
    synthetic.real_indices(root, labels[rest], experiment.config.num_classes, ipc)  # Raises.
    real = size * len(sets)  # the number of the first real image in the pool
    raw, tested_labels = data.dataset.train_images[validation], labels[validation]
    on_set, on_real = (
        _protocol(experiment.protocol, epochs) for epochs in (config.epochs, config.real_epochs)
    )
    test = data.test, data.dataset.test_labels

    def random_real(key: jax.Array) -> jax.Array:
        chosen = synthetic.real_indices(
            jax.random.fold_in(key, 0), labels[rest], experiment.config.num_classes, ipc
        )
        return _shuffled(key, jnp.asarray(real + rest[chosen]), config.epochs)

    def early(key: jax.Array) -> jax.Array:
        passes = math.ceil(config.epochs * size / len(rest))
        rows = _shuffled(key, jnp.asarray(real + rest), passes).reshape(-1)
        return rows[: config.epochs * size].reshape(config.epochs, size)

    found = [
        Candidate(
            REFERENCE,
            REFERENCE,
            lambda key: _shuffled(key, real + jnp.arange(len(labels)), config.real_epochs),
            config.real_learning_rate,
            on_real,
            *test,
            config.real_networks,
        )
    ]
    for place, (name, each) in enumerate(sets.items()):
        rate = config.learning_rate or float(each.step_size)
        if not (math.isfinite(rate) and rate > 0):
            raise UserError(f"the learned step size of {name} is {rate}. Set search.learning_rate.")
        rows = place * size + jnp.arange(size)
        found.append(
            Candidate(
                name,
                each.provenance["sha256"],
                functools.partial(_shuffled, rows=rows, epochs=config.epochs),
                rate,
                on_set,
                each.to_model_space(raw),
                tested_labels,
                seeds,
            )
        )
    own = data.train[validation], tested_labels
    for name, orders in (("random real", random_real), ("early stopping", early)):
        identity = f"{name}, {ipc} per class"
        rate = config.real_learning_rate
        found.append(Candidate(name, identity, orders, rate, on_set, *own, seeds))

    def pool() -> Pool:
        hard = np.asarray(synthetic.hard_labels(labels, experiment.config.num_classes))
        images = np.concatenate([each.images for each in sets.values()])
        logits = np.concatenate([*(each.label_logits for each in sets.values()), hard])
        real, _ = data.on_device(experiment.config)
        return model_images.joined(images, real), jnp.asarray(logits)

    return pool, found


def _protocol(base: Protocol, epochs: int) -> Protocol:
    """The protocol of the evaluation, with its drop at the same share of other epochs."""
    decay_epoch = round(epochs * base.decay_epoch / base.epochs)
    fields = {name: getattr(base, name) for name in base.__dataclass_fields__}
    return Protocol(**fields | {"epochs": epochs, "decay_epoch": decay_epoch})


@functools.partial(jax.jit, static_argnames="epochs")
def _shuffled(key: jax.Array, rows: jax.Array, epochs: int) -> jax.Array:
    """The rows [m] in a new order for each epoch, [epochs, m]."""
    own = jax.vmap(jax.random.fold_in, (None, 0))(key, 1 + jnp.arange(epochs))
    return jax.vmap(jax.random.permutation, (0, None))(own, rows)
