"""The experts of an experiment: found in their store, or trained into it."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax import evaluate, experts
from dpd_jax.errors import UserError
from dpd_jax.trajectories import TrajectoryStore, spans
from experiments import difficulty, lock, screen
from experiments.build import Plan
from experiments.problem import Problem


def facts(plan: Plan, problem: Problem) -> dict:
    """What determines an expert, besides its number: compared whenever one is read."""
    data = plan.config.data
    preprocessing = {"kind": data.preprocessing}
    if data.preprocessing == "zca":
        preprocessing["epsilon"] = data.zca_epsilon
    else:
        preprocessing |= {"mean": list(data.mean), "std": list(data.std)}
    network = {k: v for k, v in plan.config.network.items() if k != "convolution"}
    # Only where there is one: experts on all images are the same with it and without.
    schedule = {"data_schedule": _schedule_facts(plan)} if plan.schedule else {}
    return {
        "network": network | {"leaves": [[x.path, list(x.shape)] for x in plan.network.leaves]},
        "data": {
            "name": plan.data_name,
            "images": len(problem.train),
            "fingerprint": problem.fingerprint,
        },
        "preprocessing": preprocessing,
        "optimizer": experts.describe(plan.recipe),
        "augmentation": plan.config.augment.to_dict(),
        "seed": plan.config.experts.seed,
        **schedule,
    }


def _schedule_facts(plan: Plan) -> dict:
    """What determines which images an epoch sees, in the config's words."""
    used = (*dataclasses.asdict(plan.schedule), "score_networks", "score_epochs")
    return {name: plan.config.data_schedule[name] for name in used}


def open_store(plan: Plan, problem: Problem, directory: pathlib.Path) -> TrajectoryStore:
    """The store at `directory`, for experts of this plan."""
    return TrajectoryStore(directory, facts(plan, problem), plan.config.experts.storage)


def missing(plan: Plan, store: TrajectoryStore) -> list[int]:
    """The experts the plan needs and the store lacks.

    Raises:
      UserError: if an expert that is there lacks an epoch the plan reads.
    """
    wanted = list(range(plan.config.experts.num_experts))
    present = store.experts()
    read = plan.epochs_read
    for expert in present:
        held = store.epochs(expert)
        if expert in wanted and not set(read) <= set(held):
            raise UserError(
                f"{store.path(expert)} holds epochs {spans(held)}, but the plan reads "
                f"{spans(read)}: {_reasons(plan)}. Change these, or train longer "
                "experts into another --experts_dir."
            )
    return [expert for expert in wanted if expert not in present]


def _reasons(plan: Plan) -> str:
    """Why the plan reads the epochs it reads, in the config's words."""
    last = plan.curriculum.last_epoch
    why = (
        f"up to {last} for curriculum.max_start_epoch = {plan.curriculum.max_start_epoch} and "
        f"expert_epochs = {plan.curriculum.expert_epochs}"
    )
    if max(plan.epochs_read) > last:
        why += (
            f", and {plan.config.synthetic.label_epoch} for synthetic.label_epoch, where -1 is "
            "the last that is matched"
        )
    return why


def provide(
    plan: Plan, problem: Problem, store: TrajectoryStore, epochs: Sequence[int]
) -> list[int]:
    """Trains the experts the plan needs and the store lacks; returns all it uses, in order.

    One process at a time trains into a folder; others wait and find the experts there.

    Args:
      epochs: which are kept, all that the plan reads among them; experts are trained to the last.

    Raises:
      UserError: as `missing`.
    """
    if missing(plan, store):
        with lock.in_turn(store.directory, "--experts_dir", "training experts"):
            # Asked anew: whoever was at it before may have trained them.
            if lacking := missing(plan, store):
                _train(plan, problem, store, lacking, epochs)
    return list(range(plan.config.experts.num_experts))


def _train(
    plan: Plan,
    problem: Problem,
    store: TrajectoryStore,
    missing: list[int],
    epochs: Sequence[int],
):
    """Trains experts in groups of `experts.at_once`, each written when its group is done."""
    root = jax.random.key(plan.config.experts.seed)
    images, labels = jnp.asarray(problem.train), jnp.asarray(problem.dataset.train_labels)
    seen = difficulty.seen(plan, problem, store.directory, facts(plan, problem))
    last = max(epochs)
    total = len(missing) * last
    with screen.bar("experts", total, unit=" epochs") as bar:
        for first in range(0, len(missing), plan.config.experts.at_once):
            group = missing[first : first + plan.config.experts.at_once]
            keys = jnp.stack([jax.random.fold_in(root, expert) for expert in group])
            snapshots: dict[int, np.ndarray] = {}
            trained = experts.train_many(
                plan.network, plan.recipe, plan.augmentation, images, labels, keys, last, seen
            )
            for epoch, params, loss in trained:
                if epoch in epochs:
                    snapshots[epoch] = np.asarray(params)
                if epoch:
                    done = first * last + epoch * len(group)
                    bar.to(done, loss=f"{float(np.mean(loss)):.3f}")
            for place, expert in enumerate(group):
                store.write(expert, {e: rows[place] for e, rows in snapshots.items()})


def logits(plan: Plan, params: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Logits [m, k] of one expert's weights [P] on images [m, h, w, c]."""
    return evaluate.logits(plan.network, params, {}, images, plan.config.evaluate.test_batch)


def features(plan: Plan, params: np.ndarray, images: np.ndarray) -> np.ndarray:
    """What one expert's classifier reads of images [m, h, w, c]: [m, f]."""
    size = plan.config.evaluate.test_batch
    # The last batch begins anew with the first images, so that one program serves all.
    rows = np.resize(np.arange(len(images)), -(-len(images) // size) * size).reshape(-1, size)
    found = [_features(plan.network, params, images[row]) for row in rows]
    return np.concatenate(jax.device_get(found))[: len(images)]


@functools.partial(jax.jit, static_argnames="network")
def _features(network, params, images):
    return network.features(params, images)


def label_snapshot(plan: Plan, store: TrajectoryStore, expert: int) -> np.ndarray:
    """One expert's weights [P] at `synthetic.label_epoch` (-1: the last that is matched)."""
    epoch = plan.config.synthetic.label_epoch
    return store.read(expert, [plan.curriculum.last_epoch if epoch == -1 else epoch])[0]
