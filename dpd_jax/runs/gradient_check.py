"""What the checks take gradients of, a set and segments for its student to follow; and how."""

import dataclasses
import functools
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags

from dpd_jax import distill, synthetic
from dpd_jax.distill import TrajectorySegment
from dpd_jax.runs import console, expert_training, initialization
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.runs.segment_reader import SegmentReader
from dpd_jax.storage.trajectories import TrajectoryStore
from dpd_jax.synthetic import SyntheticSet

DRAWS = flags.DEFINE_integer(
    "draws", 3, "Segments looked at, each with its own start, target and batches.", lower_bound=1
)

# What the root key is folded with, one number a use.
_START, _DRAWS, _STEPS = range(3)


class Material(NamedTuple):
    """What gradients are taken of.

    Attributes:
      synthetic: the set.
      segments: a stretch of an expert's way for each draw.
      words: where they come from, for a person.
    """

    synthetic: SyntheticSet
    segments: list[TrajectorySegment]
    words: str


def with_experts(
    experiment: Experiment, loaded: RunData, root: jax.Array, directory: pathlib.Path, draws: int
) -> Material | None:
    """Segments of stored experts, drawn as a run does; None where the store is empty.

    Args:
      plan, loaded: the experiment.
      root: of all randomness.
      directory: the expert store.
      draws: how many segments, spread over the run.

    Raises:
      UserError: if the experts were made otherwise, or are too short.
    """
    config = experiment.config
    store = expert_training.open_store(experiment, loaded, directory)
    used = [expert for expert in store.experts() if expert < config.experts.num_experts]
    if not used:
        console.say(f"no experts in {store.directory}: doing without.")
        return None
    first = initialization.begin(experiment, loaded, store, used, jax.random.fold_in(root, _START))
    segments = drawn(experiment, store, used, root, draws)
    epochs = ", ".join(str(int(segment.start_epoch)) for segment in segments)
    words = f"segments of {len(used)} experts from the epochs {epochs}"
    return Material(first.synthetic, segments, words)


def drawn(
    experiment: Experiment, store: TrajectoryStore, used: list[int], root: jax.Array, draws: int
) -> list[TrajectorySegment]:
    """Segments as a run draws them, spread over it: start epochs depend on how far it is.

    Args:
      plan: the experiment.
      store: where they are read; of it, only `read`.
      used: the experts that are drawn from, by their numbers.
      root: of all randomness.
      draws: how many segments.
    """
    config = experiment.config
    reader = SegmentReader(
        store,
        experiment.curriculum,
        jax.random.fold_in(root, _DRAWS),
        experts=used,
        segments=1,
        offsets=experiment.student.alignment.offsets,
        cache_gigabytes=config.distill.cache_gigabytes,
    )
    steps = np.linspace(0, config.distill.iterations - 1, draws).astype(int)
    return [jax.tree.map(lambda x: x[0], reader.read(int(step))) for step in steps]


def without_experts(
    experiment: Experiment, loaded: RunData, root: jax.Array, draws: int, steps: int
) -> Material:
    """Fresh weights, and what plain SGD steps on real images make of them.

    The set is one of random real images, or noise where the config starts from it;
    labels that come from experts are one-hot instead.

    Args:
      plan, loaded: the experiment.
      root: of all randomness.
      draws: how many segments, each of another network.
      steps: SGD steps from start to target.
    """
    config = experiment.config
    image_key, walk_key = jax.random.split(jax.random.fold_in(root, _START))
    chosen = synthetic.classes(config.num_classes, config.ipc)
    if config.synthetic.init == "noise":
        images = synthetic.noise_images(
            image_key, experiment.num_images, experiment.network.image_shape
        )
    else:
        real = synthetic.real_indices(
            image_key, loaded.dataset.train_labels, config.num_classes, config.ipc
        )
        images = jnp.asarray(loaded.train[real])
    if config.synthetic.labels == "hard":
        labels = synthetic.hard_labels(chosen, config.num_classes)
    else:
        labels = synthetic.onehot_labels(chosen, config.num_classes, config.synthetic.label_scale)
    syn = SyntheticSet(images, labels, jnp.float32(config.synthetic.step_size))
    with console.note(f"{steps} SGD steps on real images, {draws} times"):
        keys = jax.random.split(walk_key, draws)
        segments = [_walk(experiment, loaded, key, steps) for key in keys]
    words = f"fresh networks, targets {steps} SGD steps on real images away"
    return Material(syn, segments, words)


def function(experiment: Experiment, mode: str):
    """The compiled (set, segment, key) -> ((L, dropped), gradient) of a mode."""
    student = dataclasses.replace(experiment.student, gradient=mode)
    loss = functools.partial(
        distill.segment_loss,
        network=experiment.network,
        student=student,
        matching=experiment.matching,
    )
    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def gradients(compiled, material: Material, root: jax.Array) -> list[tuple[float, SyntheticSet]]:
    """(L, gradient) of each segment by a function from `function`.

    Batches and augmentation of a segment are drawn from `root`: the same for every mode.
    """
    key = jax.random.fold_in(root, _STEPS)
    found = []
    for draw, segment in enumerate(material.segments):
        (loss, _), gradient = jax.device_get(
            compiled(material.synthetic, segment, jax.random.fold_in(key, draw))
        )
        found.append((float(loss), gradient))
    return found


def _walk(experiment: Experiment, loaded: RunData, key: jax.Array, steps: int) -> TrajectorySegment:
    """Plain SGD from fresh weights on batches drawn at random, at the experts' learning rate.

    Where the student is matched on its way too, so many targets lie evenly on this one.
    """
    recipe, targets = experiment.recipe, len(experiment.student.matched_steps)

    @jax.jit
    def step(params, images, labels):
        def loss(weights):
            logits = experiment.network.apply(weights, images)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        return params - recipe.learning_rate * jax.grad(loss)(params)

    init_key, batch_key = jax.random.split(key)
    params = experiment.network.init(init_key)
    seen = [params]
    for number in range(steps):
        draw = jax.random.fold_in(batch_key, number)
        rows = jax.random.randint(draw, (recipe.batch_size,), 0, len(loaded.train))
        rows = np.asarray(rows)
        params = step(params, loaded.train[rows], loaded.dataset.train_labels[rows])
        seen.append(params)
    places = np.linspace(0, steps, targets + 1).astype(int)
    return TrajectorySegment(jnp.stack([seen[place] for place in places]), jnp.zeros((), jnp.int32))
