"""Where the synthetic set starts: real images or noise, and their labels."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax import synthetic
from dpd_jax.synthetic import SyntheticSet
from dpd_jax.trajectories import TrajectoryStore
from experiments import screen, teachers
from experiments.build import Plan
from experiments.problem import Problem


class Start(NamedTuple):
    """Attributes:
    synthetic: the first set.
    real: indices of the training images it started from [n], or None for noise.
    """

    synthetic: SyntheticSet
    real: np.ndarray | None


def begin(plan: Plan, problem: Problem, store: TrajectoryStore, used: list[int], key) -> Start:
    """The set before the first outer step, a function of the plan and the key."""
    config = plan.config
    image_key, label_key = jax.random.split(key)
    chosen = synthetic.classes(config.num_classes, config.ipc)
    real = _INITS[config.synthetic.init](plan, problem, store, used, image_key)
    if real is None:
        images = synthetic.noise_images(image_key, plan.num_images, plan.network.image_shape)
    else:
        images = jnp.asarray(problem.train[real])
    labels = _LABELS[config.synthetic.labels](plan, store, used, label_key, images, chosen)
    _tell_wrong(labels, chosen)
    step_size = jnp.asarray(config.synthetic.step_size, jnp.float32)
    return Start(SyntheticSet(images, labels, step_size), real)


def _tell_wrong(labels: jax.Array, chosen: np.ndarray) -> None:
    """Says how many labels put another class first, which costs reduced runs many points."""
    wrong = int(np.sum(np.argmax(labels, -1) != chosen))
    if wrong:
        screen.say(
            f"{wrong} of {len(chosen)} soft labels put another class than their image's own first: "
            "the experts asked get it wrong. Experts of a later epoch (synthetic.label_epoch), "
            "images experts get right (synthetic.init=correct) or synthetic.labels=hard avoid this."
        )


def _correct(plan, problem, store, used, key):
    @functools.cache
    def predictions(expert: int) -> np.ndarray:
        with screen.note(f"asking expert {used[expert]} which training images it gets right"):
            params = teachers.label_snapshot(plan, store, used[expert])
            return np.argmax(teachers.logits(plan, params, problem.train), -1)

    return synthetic.correct_indices(
        key,
        problem.dataset.train_labels,
        plan.config.num_classes,
        plan.config.ipc,
        predictions,
        len(used),
    )


def _real(plan, problem, store, used, key):
    del store, used
    return synthetic.real_indices(
        key, problem.dataset.train_labels, plan.config.num_classes, plan.config.ipc
    )


def _kmeans(plan, problem, store, used, key):
    expert_key, centre_key = jax.random.split(key)
    expert = used[int(jax.random.randint(expert_key, (), 0, len(used)))]
    params = teachers.label_snapshot(plan, store, expert)
    config = plan.config
    space = {"features": teachers.features, "logits": teachers.logits}[config.synthetic.cluster_by]
    with screen.note(f"clustering each class as expert {expert} sees it"):
        return synthetic.representative_indices(
            centre_key,
            problem.dataset.train_labels,
            config.num_classes,
            config.ipc,
            lambda members: space(plan, params, problem.train[members]),
            config.synthetic.clusters,
        )


_INITS = {"correct": _correct, "real": _real, "kmeans": _kmeans, "noise": lambda *_: None}


def _hard(plan, store, used, key, images, chosen):
    del store, used, key, images
    return synthetic.hard_labels(chosen, plan.config.num_classes)


def _onehot(plan, store, used, key, images, chosen):
    del store, used, key, images
    return synthetic.onehot_labels(
        chosen, plan.config.num_classes, plan.config.synthetic.label_scale
    )


def _expert(plan, store, used, key, images, chosen):
    """The logits of one random expert (TESLA)."""
    del chosen
    expert = used[int(jax.random.randint(key, (), 0, len(used)))]
    params = teachers.label_snapshot(plan, store, expert)
    return jnp.asarray(teachers.logits(plan, params, images))


def _experts(plan, store, used, key, images, chosen):
    """The mean logits of the experts that are right (DATM)."""
    del key
    with screen.note(f"soft labels from {len(used)} experts"):
        logits = [
            teachers.logits(plan, teachers.label_snapshot(plan, store, expert), images)
            for expert in used
        ]
    return synthetic.expert_labels(np.stack(logits), chosen)


_LABELS = {"hard": _hard, "onehot": _onehot, "expert": _expert, "experts": _experts}
