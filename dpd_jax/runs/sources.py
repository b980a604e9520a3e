"""The data and the expert store of a run; runs of one process share them."""

import hashlib
import json
import pathlib
from collections.abc import Sequence

from ml_collections import ConfigDict

from dpd_jax.errors import UserError
from dpd_jax.runs import expert_training, identity, run_data
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.storage.trajectories import TrajectoryStore


class Sources:
    """The data of a run, and the expert store in its folder.

    `data_dir` is the folder of prepared data sets (None is the usual one), `cache` that of
    whitening matrices, `experts_dir` that of the store.
    """

    def __init__(self, data_dir: str | None, cache: pathlib.Path, experts_dir: pathlib.Path):
        self._data_dir = data_dir
        self._cache = cache
        self._experts_dir = experts_dir
        self._loaded: tuple[str, RunData] | None = None  # One, because two may not fit in memory.

    def data(self, config: ConfigDict) -> RunData:
        """The data of a config (see `run_data.load`), kept for the next config."""
        key = identity.of_data(config)
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None
            self._loaded = key, self._load(config)
        run_data.check_ipc(self._loaded[1].dataset, config)
        return self._loaded[1]

    def _load(self, config: ConfigDict) -> RunData:
        return run_data.load(config, self._data_dir, self._cache)

    def store(self, experiment: Experiment, data: RunData) -> tuple[TrajectoryStore, Sequence[int]]:
        """The expert store of an experiment, and the epochs to keep of experts trained into it."""
        store = expert_training.open_store(experiment, data, self._experts_dir)
        return store, experiment.epochs_read


class SharedSources(Sources):
    """The data and the expert stores of many runs under one `experts_dir`.

    Runs whose experts have the same provenance share a store: `experts_dir` or a folder in it
    whose experts hold all epochs that these runs read, else a new folder with a hashed name.
    """

    def __init__(self, data_dir, cache, experts_dir, experiments: Sequence[Experiment]):
        """As `Sources`; `experiments`: those of all runs that share."""
        super().__init__(data_dir, cache, experts_dir)
        self._experiments = experiments

    def store(self, experiment: Experiment, data: RunData) -> tuple[TrajectoryStore, Sequence[int]]:
        """As `Sources.store`, with the epochs that any of the sharing runs reads."""
        key = identity.of_data(experiment.config)
        name = _store_name(experiment, data, ())
        sharing = (
            other
            for other in self._experiments
            if identity.of_data(other.config) == key and _store_name(other, data, ()) == name
        )
        epochs = sorted(set(experiment.epochs_read).union(*(x.epochs_read for x in sharing)))
        new = self._experts_dir / _store_name(experiment, data, epochs)
        folders = [new, self._experts_dir, *sorted(self._experts_dir.glob("*/"))]
        stores = [expert_training.open_store(experiment, data, folder) for folder in folders]
        # The store with the most experts, so that the fewest are trained.
        return max(stores, key=lambda store: _num_usable(store, epochs)), epochs


def _store_name(experiment: Experiment, data: RunData, epochs: Sequence[int]) -> str:
    made = [expert_training.provenance(experiment, data), experiment.config.experts.storage, epochs]
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()
    return f"{experiment.recipe.optimizer}-{digest[:8]}"


def _num_usable(store: TrajectoryStore, epochs: Sequence[int]) -> int:
    """The number of experts in a store; 0 if one lacks an epoch or has another provenance."""
    try:
        experts = store.experts()
        return len(experts) if all(set(epochs) <= set(store.epochs(e)) for e in experts) else 0
    except UserError:  # Another provenance, or a damaged expert.
        return 0
