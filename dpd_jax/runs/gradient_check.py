"""Gradients of the matching loss by different modes, on the same set and segments.

`root` is the key of all randomness, `draws` the number of segments.
"""

import dataclasses
import functools
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dpd_jax import trajectory_matching
from dpd_jax.runs import console, initialization, keys, sources
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.runs.segment_reader import SegmentReader
from dpd_jax.storage import expert_stores
from dpd_jax.storage.trajectories import TrajectoryStore
from dpd_jax.synthetic import SyntheticSet
from dpd_jax.trajectory_matching import TrajectorySegment


class Inputs(NamedTuple):
    """A set, one trajectory segment per draw, and for the user where the segments come from."""

    synthetic: SyntheticSet
    segments: list[TrajectorySegment]
    description: str


def from_experts(
    experiment: Experiment, data: RunData, root: jax.Array, directory: pathlib.Path, draws: int
) -> Inputs | None:
    """Segments of stored experts, drawn as in a run; None if none of the folder's stores fits."""
    places = expert_stores.folders(directory)
    store = sources.best(experiment, data, places, experiment.epochs_read)
    if store is None:
        console.say(f"no experts of {directory} fit: using fresh networks instead.")
        return None
    used = [e for e in store.experts() if e in experiment.experts_read]
    key = jax.random.fold_in(root, keys.INITIALIZATION)
    initial = initialization.initial_set(experiment, data, store, used, key).synthetic
    segments = draw_segments(experiment, store, used, root, draws)
    epochs = ", ".join(str(int(segment.start_epoch)) for segment in segments)
    return Inputs(initial, segments, f"segments of {len(used)} experts from the epochs {epochs}")


def draw_segments(
    experiment: Experiment, store: TrajectoryStore, used: list[int], root: jax.Array, draws: int
) -> list[TrajectorySegment]:
    """Segments of the experts `used` as outer steps spread over the run draw them."""
    key = jax.random.fold_in(root, keys.SEGMENTS)
    reader = SegmentReader(experiment, store, key, used, segments=1)
    steps = np.linspace(0, experiment.config.distill.iterations - 1, draws).astype(int)
    return [jax.tree.map(lambda x: x[0], reader.read(int(step))) for step in steps]


def from_fresh_networks(
    experiment: Experiment, data: RunData, root: jax.Array, draws: int, steps: int
) -> Inputs:
    """Segments from fresh networks to their weights after `steps` of plain SGD on real images.

    The set needs no experts either: its images are real or noise, its labels hard or one-hot.
    """
    config = experiment.config.copy_and_resolve_references()
    if config.synthetic.init != "noise":
        config.synthetic.init = "real"
    if config.synthetic.labels != "hard":
        config.synthetic.labels = "onehot"
    key = jax.random.fold_in(root, keys.INITIALIZATION)
    first = experiment._replace(config=config)
    initial = initialization.initial_set(first, data, None, [], key).synthetic
    # The set's second key: these labels do not use it.
    draw_keys = jax.random.split(jax.random.split(jax.random.clone(key))[1], draws)
    with console.note(f"{steps} SGD steps on real images, {draws} times"):
        segments = [_train(experiment, data, key, steps) for key in draw_keys]
    description = f"fresh networks, targets after {steps} SGD steps on real images"
    return Inputs(initial, segments, description)


def gradients(
    experiment: Experiment, mode: str, inputs: Inputs, root: jax.Array
) -> list[tuple[float, SyntheticSet]]:
    """(L, gradient) of each segment, by a gradient mode.

    Batches and augmentation are drawn from `root`, so that they are the same for every mode.
    """
    loss = functools.partial(
        trajectory_matching.segment_loss,
        network=experiment.network,
        student=dataclasses.replace(experiment.student, gradient=mode),
        matching=experiment.matching,
    )
    function = jax.jit(jax.value_and_grad(loss, has_aux=True))
    key = jax.random.fold_in(root, keys.STEPS)
    results = []
    for draw, segment in enumerate(inputs.segments):
        outputs = function(inputs.synthetic, segment, jax.random.fold_in(key, draw))
        (loss_value, _), gradient = jax.device_get(outputs)
        results.append((float(loss_value), gradient))
    return results


def agreement(reference: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Cosine and relative error |other - reference| / |reference| of two gradients.

    Both are computed in double precision. A zero gradient makes them NaN.
    """
    a, b = (np.ravel(x).astype(np.float64) for x in (reference, other))
    norm_a, norm_b = np.linalg.norm(a), np.linalg.norm(b)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(a @ b / (norm_a * norm_b)), float(np.linalg.norm(b - a) / norm_a)


def _train(experiment: Experiment, data: RunData, key: jax.Array, steps: int) -> TrajectorySegment:
    """Plain SGD from fresh weights on random batches, at the learning rate of the experts."""
    recipe, targets = experiment.recipe, len(experiment.student.matched_steps)

    @jax.jit
    def step(params, images, labels):
        def loss(weights):
            logits = experiment.network.apply(weights, images)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        return params - recipe.learning_rate * jax.grad(loss)(params)

    init_key, batch_key = jax.random.split(key)
    trajectory = [experiment.network.init(init_key)]
    for number in range(steps):
        draw = jax.random.fold_in(batch_key, number)
        rows = np.asarray(jax.random.randint(draw, (recipe.batch_size,), 0, len(data.train)))
        images, labels = data.train[rows], data.dataset.train_labels[rows]
        trajectory.append(step(trajectory[-1], images, labels))
    # Intermediate targets are spread evenly over the steps.
    matched = np.linspace(0, steps, targets + 1).astype(int)
    params = jnp.stack([trajectory[step] for step in matched])
    return TrajectorySegment(params, jnp.zeros((), jnp.int32))
