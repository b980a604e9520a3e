"""Where a run's data and experts come from, read or trained once for all runs that share them."""

import hashlib
import json
import pathlib
from collections.abc import Sequence

from ml_collections import ConfigDict

from dpd_jax.errors import UserError
from dpd_jax.runs import expert_training, run_data
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.storage.provenance import as_json
from dpd_jax.storage.trajectories import TrajectoryStore


def data_key(config: ConfigDict) -> str:
    """All of a config that `problem.load` looks at, as one string."""
    names = ("data", "image_shape", "num_classes", "ipc")
    return ConfigDict({name: config[name] for name in names}).to_json_best_effort(sort_keys=True)


class Sources:
    """The sources of one run: a data set, and the experts of one folder."""

    def __init__(self, data_dir: str | None, cache: pathlib.Path, experts_dir: pathlib.Path):
        """Names the places; nothing is read yet.

        Args:
          data_dir: folder of prepared data sets, None for the usual one.
          cache: folder for whitening matrices.
          experts_dir: folder of the expert store.
        """
        self._data_dir = data_dir
        self._cache = cache
        self._experts_dir = experts_dir
        self._held: tuple[str, RunData] | None = None  # The last one: two may not fit in memory.

    def data(self, config: ConfigDict) -> RunData:
        """The data set of a config in model space."""
        key = data_key(config)
        if self._held is None or self._held[0] != key:
            self._held = None
            self._held = key, run_data.load(config, self._data_dir, self._cache)
        return self._held[1]

    def store(
        self, experiment: Experiment, loaded: RunData
    ) -> tuple[TrajectoryStore, tuple[int, ...]]:
        """The experts' store, and the epochs that are kept of those trained into it."""
        store = expert_training.open_store(experiment, loaded, self._experts_dir)
        return store, experiment.epochs_read

    def experts(self, experiment: Experiment, loaded: RunData) -> tuple[TrajectoryStore, list[int]]:
        """The experts' store and the numbers of those the plan uses, trained where missing."""
        store, epochs = self.store(experiment, loaded)
        return store, expert_training.provide(experiment, loaded, store, epochs)


class SharedSources(Sources):
    """The sources of many runs under one `experts_dir`, a store for each kind of expert.

    Runs whose experts are made in the same way share them: `experts_dir` itself
    where it holds such a store, with all epochs that any of the runs reads, else
    `experts_dir/<optimizer>-<hash of the facts>-<epochs>`, where "6epochs" are
    0 to 6 and "6+100epochs" these and 100.
    """

    def __init__(self, data_dir, cache, experts_dir, plans: Sequence[Experiment]):
        """As `Sources`; `plans`: those of all runs that will share."""
        super().__init__(data_dir, cache, experts_dir)
        self._plans = plans

    def store(
        self, experiment: Experiment, loaded: RunData
    ) -> tuple[TrajectoryStore, tuple[int, ...]]:
        """As `Sources.store`, of this kind of expert."""
        facts = as_json(expert_training.facts(experiment, loaded))
        alike = (
            other
            for other in [experiment, *self._plans]
            if _same_data(other.config, experiment.config)
            and as_json(expert_training.facts(other, loaded)) == facts
        )
        epochs = tuple(sorted(set().union(*(other.epochs_read for other in alike))))
        store = expert_training.open_store(experiment, loaded, self._experts_dir)
        if not _holds(store, epochs):
            store = expert_training.open_store(
                experiment, loaded, self._folder(experiment, facts, epochs)
            )
        return store, epochs

    def _folder(self, experiment: Experiment, facts: dict, epochs: tuple[int, ...]) -> pathlib.Path:
        """The smallest store of these experts that has these epochs, or the name of a new one."""
        told = json.dumps([facts, experiment.config.experts.storage], sort_keys=True)
        stem = f"{experiment.recipe.optimizer}-{hashlib.sha256(told.encode()).hexdigest()[:8]}-"
        names = [path.name.removeprefix(stem) for path in self._experts_dir.glob(f"{stem}*epochs")]
        fitting = [name for name in names if set(epochs) <= _epochs(name)]
        name = min(fitting, key=lambda name: len(_epochs(name)), default=_name(epochs))
        return self._experts_dir / f"{stem}{name}"


def _name(epochs: tuple[int, ...]) -> str:
    """ "6+100epochs" of 0 to 6 and 100."""
    first = next(e for e in epochs if e + 1 not in epochs)
    return "+".join(map(str, (first, *(e for e in epochs if e > first)))) + "epochs"


def _epochs(name: str) -> set[int]:
    """What `_name` was made of."""
    first, *others = map(int, name.removesuffix("epochs").split("+"))
    return {*range(first + 1), *others}


def _same_data(one: ConfigDict, other: ConfigDict) -> bool:
    names = ("data", "image_shape", "num_classes")
    return all(one[name] == other[name] for name in names)


def _holds(store: TrajectoryStore, epochs: tuple[int, ...]) -> bool:
    """Whether a folder is a store of these experts that holds all these epochs."""
    try:
        found = store.experts()
        return bool(found) and all(set(epochs) <= set(store.epochs(expert)) for expert in found)
    except UserError:  # Experts of other facts, or damaged ones.
        return False
