"""The experts of an experiment: their provenance, their training, their predictions."""

import dataclasses
import functools
import json
import pathlib
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax import evaluate, experts
from dpd_jax.errors import UserError
from dpd_jax.runs import console, el2n_scores, shared_work
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.storage.trajectories import TrajectoryStore, spans


def provenance(experiment: Experiment, data: RunData) -> dict:
    """All that determines an expert besides its number, as nested JSON values."""
    config = experiment.config
    if config.experts.imported:
        return imported_provenance(experiment)
    found = _fitting(experiment)
    found["data"] |= {"images": len(data.train), "fingerprint": data.fingerprint}
    found |= {
        "optimizer": experts.describe(experiment.recipe),
        "augmentation": config.augment.to_dict(),
        "seed": config.experts.seed,
    }
    if experiment.schedule:  # Experts on all images have the provenance they had before schedules.
        used = (*dataclasses.asdict(experiment.schedule), "score_networks", "score_epochs")
        found["data_schedule"] = {name: config.data_schedule[name] for name in used}
    return found


def imported_provenance(experiment: Experiment) -> dict:
    """The provenance of experts of another program: what they fit; what made them is not known."""
    return _fitting(experiment) | {"experts.imported": True}


def _fitting(experiment: Experiment) -> dict:
    """The network, the data set and the preprocessing that experts fit."""
    config = experiment.config
    preprocessing = {"kind": config.data.preprocessing}
    if config.data.preprocessing == "zca":
        preprocessing["epsilon"] = config.data.zca_epsilon
    else:
        preprocessing |= {"mean": list(config.data.mean), "std": list(config.data.std)}
    unused = {"convolution"} | ({"precision"} if config.network.precision == "float32" else set())
    network = {name: value for name, value in config.network.items() if name not in unused}
    leaves = [[x.path, list(x.shape)] for x in experiment.network.parameters]
    return {
        "network": network | {"leaves": leaves},
        "data": {"name": experiment.data_name},
        "preprocessing": preprocessing,
    }


def open_store(experiment: Experiment, data: RunData, directory: pathlib.Path) -> TrajectoryStore:
    """The store in a folder, for experts of this experiment."""
    storage = experiment.config.experts.storage
    return TrajectoryStore(directory, provenance(experiment, data), storage)


def missing(experiment: Experiment, store: TrajectoryStore) -> list[int]:
    """The numbers of the experts that the experiment needs and the store lacks.

    Raises:
      UserError: if an expert of the store lacks an epoch that the experiment reads, or imported
        experts are too few.
    """
    wanted = experiment.experts_read
    if not wanted:
        return []
    present = store.experts()
    for expert in present:
        held = store.epochs(expert)
        if expert in wanted and not set(experiment.epochs_read) <= set(held):
            raise UserError(
                f"{store.path(expert)} holds epochs {spans(held)}, but the experiment reads "
                f"{spans(experiment.epochs_read)} (curriculum.max_start_epoch + expert_epochs, "
                "synthetic.label_epoch). Change these, or name another --experts_dir."
            )
    lacking = [expert for expert in wanted if expert not in present]
    if lacking and experiment.config.experts.imported:
        raise UserError(
            f"experts.num_experts = {len(wanted)}, but {store.directory} has only "
            f"{len(wanted) - len(lacking)} imported experts. Set --config.experts.num_experts to "
            "their number, import more, or set experts.imported=False to train experts into "
            "another --experts_dir."
        )
    return lacking


def provide(
    experiment: Experiment, data: RunData, store: TrajectoryStore, epochs: Sequence[int]
) -> list[int]:
    """Trains the missing experts; returns the numbers of all that the experiment uses, in order.

    Several processes may train experts into a folder: each expert is trained by one of them. A new
    expert is trained to the last of `epochs`, and these are stored. Raises UserError as `missing`,
    and `locks.Busy` if another process trains other experts into the folder.
    """
    if lacking := missing(experiment, store):
        _train(experiment, data, store, lacking, epochs)
    return list(experiment.experts_read)


def _train(
    experiment: Experiment,
    data: RunData,
    store: TrajectoryStore,
    lacking: list[int],
    epochs: Sequence[int],
):
    """Trains experts in groups of `experts.at_once`; writes each group when it is done."""
    last = max(epochs)
    root = jax.random.key(experiment.config.experts.seed)
    # Before the bar, because the scores have a bar of their own.
    seen = el2n_scores.seen(experiment, data, store.directory, provenance(experiment, data))
    inputs = functools.cache(lambda: data.on_device(experiment.config))

    def epochs_done(still: list[int]) -> int:
        return (len(lacking) - len(still)) * last

    def train(group: list[int]) -> None:
        finished, snapshots = epochs_done(missing(experiment, store)), {}
        start = time.monotonic()
        trained = experts.train_many(
            experiment.network,
            experiment.recipe,
            experiment.augmentation,
            *inputs(),
            jnp.stack([jax.random.fold_in(root, expert) for expert in group]),
            last,
            seen,
            functools.partial(_show, bar, finished, len(group)),
        )
        for epoch, params, loss in trained:
            if epoch in epochs:
                snapshots[epoch] = np.asarray(params)
            if loss is not None:
                amount = finished + epoch * len(group)
                bar.to(amount, loss=f"{float(np.mean(loss)):.3f}")
        seconds = (time.monotonic() - start) / len(group)
        for place, expert in enumerate(group):
            store.write(expert, {e: rows[place] for e, rows in snapshots.items()}, seconds)

    with console.Bar("experts", len(lacking) * last, unit=" epochs") as bar:
        shared_work.share(
            lambda: missing(experiment, store),
            train,
            lambda still: bar.to(epochs_done(still), now="waiting for other processes"),
            folder=store.directory,
            flag="--experts_dir",
            at_once=experiment.config.experts.at_once,
            settings=json.dumps(store.provenance, sort_keys=True),
        )
        bar.to(len(lacking) * last)


def _show(bar: console.Bar, before: int, count: int, epochs: float) -> None:
    """Moves a bar to so many epochs of each of `count` experts, after those `before`."""
    bar.to(before + count * epochs)


def seconds(experiment: Experiment, store: TrajectoryStore) -> float | None:
    """The seconds of training all experts that the experiment uses, whoever trained them.

    With the EL2N scores by which they saw images. None if it is not known.
    """
    parts = [store.seconds(expert) for expert in experiment.experts_read]
    if experiment.schedule and experiment.experts_read:
        parts += el2n_scores.seconds(experiment, store.directory / "difficulty")
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def logits(experiment: Experiment, params: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Logits [m, k] of one expert's weights [P] on images [m, h, w, c]."""
    return evaluate.logits(
        experiment.network, params, {}, images, experiment.config.evaluate.test_batch
    )


def features(experiment: Experiment, params: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The inputs [m, f] of one expert's classifier for images [m, h, w, c]."""
    return evaluate.features(
        experiment.network, params, images, experiment.config.evaluate.test_batch
    )


def label_snapshot(experiment: Experiment, store: TrajectoryStore, expert: int) -> np.ndarray:
    """One expert's weights [P] at the epoch that chooses and labels images."""
    return store.read(expert, [experiment.label_epoch])[0]
