"""The experts of an experiment: found in their store, or trained into it."""

import dataclasses
import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax import evaluate, experts
from dpd_jax.errors import UserError
from dpd_jax.runs import console, el2n_scores
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.storage import locks
from dpd_jax.storage.trajectories import TrajectoryStore, spans


def facts(experiment: Experiment, data: RunData) -> dict:
    """What determines an expert, besides its number: compared whenever one is read."""
    config = experiment.config.data
    preprocessing = {"kind": config.preprocessing}
    if config.preprocessing == "zca":
        preprocessing["epsilon"] = config.zca_epsilon
    else:
        preprocessing |= {"mean": list(config.mean), "std": list(config.std)}
    network = {k: v for k, v in experiment.config.network.items() if k != "convolution"}
    # Only where there is one: experts on all images are the same with it and without.
    schedule = {"data_schedule": _schedule_facts(experiment)} if experiment.schedule else {}
    return {
        "network": network
        | {"leaves": [[x.path, list(x.shape)] for x in experiment.network.parameters]},
        "data": {
            "name": experiment.data_name,
            "images": len(data.train),
            "fingerprint": data.fingerprint,
        },
        "preprocessing": preprocessing,
        "optimizer": experts.describe(experiment.recipe),
        "augmentation": experiment.config.augment.to_dict(),
        "seed": experiment.config.experts.seed,
        **schedule,
    }


def _schedule_facts(experiment: Experiment) -> dict:
    """What determines which images an epoch sees, in the config's words."""
    used = (*dataclasses.asdict(experiment.schedule), "score_networks", "score_epochs")
    return {name: experiment.config.data_schedule[name] for name in used}


def open_store(experiment: Experiment, data: RunData, directory: pathlib.Path) -> TrajectoryStore:
    """The store at `directory`, for experts of this plan."""
    return TrajectoryStore(directory, facts(experiment, data), experiment.config.experts.storage)


def missing(experiment: Experiment, store: TrajectoryStore) -> list[int]:
    """The experts the plan needs and the store lacks.

    Raises:
      UserError: if an expert that is there lacks an epoch the plan reads.
    """
    wanted = list(range(experiment.config.experts.num_experts))
    present = store.experts()
    read = experiment.epochs_read
    for expert in present:
        held = store.epochs(expert)
        if expert in wanted and not set(read) <= set(held):
            raise UserError(
                f"{store.path(expert)} holds epochs {spans(held)}, but the plan reads "
                f"{spans(read)}: {_reasons(experiment)}. Change these, or train longer "
                "experts into another --experts_dir."
            )
    return [expert for expert in wanted if expert not in present]


def _reasons(experiment: Experiment) -> str:
    """Why the plan reads the epochs it reads, in the config's words."""
    last = experiment.curriculum.last_epoch
    why = (
        f"up to {last} for curriculum.max_start_epoch = {experiment.curriculum.max_start_epoch} and "
        f"expert_epochs = {experiment.curriculum.expert_epochs}"
    )
    if max(experiment.epochs_read) > last:
        why += (
            f", and {experiment.config.synthetic.label_epoch} for synthetic.label_epoch, where -1 is "
            "the last that is matched"
        )
    return why


def provide(
    experiment: Experiment, data: RunData, store: TrajectoryStore, epochs: Sequence[int]
) -> list[int]:
    """Trains the experts the plan needs and the store lacks; returns all it uses, in order.

    One process at a time trains into a folder; others wait and find the experts there.

    Args:
      epochs: which are kept, all that the plan reads among them; experts are trained to the last.

    Raises:
      UserError: as `missing`.
    """
    if missing(experiment, store):
        with locks.in_turn(store.directory, "--experts_dir", "training experts", console.note):
            # Asked anew: whoever was at it before may have trained them.
            if lacking := missing(experiment, store):
                _train(experiment, data, store, lacking, epochs)
    return list(range(experiment.config.experts.num_experts))


def _train(
    experiment: Experiment,
    data: RunData,
    store: TrajectoryStore,
    missing: list[int],
    epochs: Sequence[int],
):
    """Trains experts in groups of `experts.at_once`, each written when its group is done."""
    root = jax.random.key(experiment.config.experts.seed)
    images, labels = jnp.asarray(data.train), jnp.asarray(data.dataset.train_labels)
    seen = el2n_scores.seen(experiment, data, store.directory, facts(experiment, data))
    last = max(epochs)
    total = len(missing) * last
    with console.bar("experts", total, unit=" epochs") as bar:
        for first in range(0, len(missing), experiment.config.experts.at_once):
            group = missing[first : first + experiment.config.experts.at_once]
            keys = jnp.stack([jax.random.fold_in(root, expert) for expert in group])
            snapshots: dict[int, np.ndarray] = {}
            trained = experts.train_many(
                experiment.network,
                experiment.recipe,
                experiment.augmentation,
                images,
                labels,
                keys,
                last,
                seen,
            )
            for epoch, params, loss in trained:
                if epoch in epochs:
                    snapshots[epoch] = np.asarray(params)
                if epoch:
                    done = first * last + epoch * len(group)
                    bar.to(done, loss=f"{float(np.mean(loss)):.3f}")
            for place, expert in enumerate(group):
                store.write(expert, {e: rows[place] for e, rows in snapshots.items()})


def logits(experiment: Experiment, params: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Logits [m, k] of one expert's weights [P] on images [m, h, w, c]."""
    return evaluate.logits(
        experiment.network, params, {}, images, experiment.config.evaluate.test_batch
    )


def features(experiment: Experiment, params: np.ndarray, images: np.ndarray) -> np.ndarray:
    """What one expert's classifier reads of images [m, h, w, c]: [m, f]."""
    return evaluate.features(
        experiment.network, params, images, experiment.config.evaluate.test_batch
    )


def label_snapshot(experiment: Experiment, store: TrajectoryStore, expert: int) -> np.ndarray:
    """One expert's weights [P] at `synthetic.label_epoch` (-1: the last that is matched)."""
    epoch = experiment.config.synthetic.label_epoch
    return store.read(expert, [experiment.curriculum.last_epoch if epoch == -1 else epoch])[0]
