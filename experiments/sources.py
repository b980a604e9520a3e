"""Where a run's data and experts come from, read or trained once for all runs that share them."""

import hashlib
import json
import pathlib
from collections.abc import Sequence

from ml_collections import ConfigDict

from dpd_jax.errors import UserError
from dpd_jax.facts import as_json
from dpd_jax.trajectories import TrajectoryStore
from experiments import problem, teachers
from experiments.build import Plan
from experiments.problem import Problem


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
        self._held: tuple[str, Problem] | None = None  # The last one: two may not fit in memory.

    def problem(self, config: ConfigDict) -> Problem:
        """The data set of a config in model space."""
        key = data_key(config)
        if self._held is None or self._held[0] != key:
            self._held = None
            self._held = key, problem.load(config, self._data_dir, self._cache)
        return self._held[1]

    def store(self, plan: Plan, loaded: Problem) -> tuple[TrajectoryStore, int]:
        """The experts' store, and the last epoch of those that are trained into it."""
        store = teachers.open_store(plan, loaded, self._experts_dir)
        return store, plan.last_epoch

    def experts(self, plan: Plan, loaded: Problem) -> tuple[TrajectoryStore, list[int]]:
        """The experts' store and the numbers of those the plan uses, trained where missing."""
        store, last = self.store(plan, loaded)
        return store, teachers.provide(plan, loaded, store, last)


class SharedSources(Sources):
    """The sources of many runs under one `experts_dir`, a store for each kind of expert.

    Runs whose experts are made in the same way share them: `experts_dir` itself
    where it holds such a store, long enough, else
    `experts_dir/<optimizer>-<hash of the facts>-<last epoch>epochs`, trained as
    far as the run that reads furthest.
    """

    def __init__(self, data_dir, cache, experts_dir, plans: Sequence[Plan]):
        """As `Sources`; `plans`: those of all runs that will share."""
        super().__init__(data_dir, cache, experts_dir)
        self._plans = plans

    def store(self, plan: Plan, loaded: Problem) -> tuple[TrajectoryStore, int]:
        """As `Sources.store`, of this kind of expert."""
        facts = as_json(teachers.facts(plan, loaded))
        last = max(
            other.last_epoch
            for other in [plan, *self._plans]
            if _same_data(other.config, plan.config)
            and as_json(teachers.facts(other, loaded)) == facts
        )
        store = teachers.open_store(plan, loaded, self._experts_dir)
        if not _reaches(store, last):
            store = teachers.open_store(plan, loaded, self._folder(plan, facts, last))
        return store, last

    def _folder(self, plan: Plan, facts: dict, last: int) -> pathlib.Path:
        """The shortest store of these experts that is long enough, or the name of a new one."""
        told = json.dumps([facts, plan.config.experts.storage], sort_keys=True)
        stem = f"{plan.recipe.optimizer}-{hashlib.sha256(told.encode()).hexdigest()[:8]}-"
        lengths = [
            int(path.name.removeprefix(stem).removesuffix("epochs"))
            for path in self._experts_dir.glob(f"{stem}*epochs")
        ]
        length = min([length for length in lengths if length >= last], default=last)
        return self._experts_dir / f"{stem}{length}epochs"


def _same_data(one: ConfigDict, other: ConfigDict) -> bool:
    names = ("data", "image_shape", "num_classes")
    return all(one[name] == other[name] for name in names)


def _reaches(store: TrajectoryStore, last: int) -> bool:
    """Whether a folder is a store of these experts that holds all epochs up to `last`."""
    try:
        found = store.experts()
        return bool(found) and all(max(store.epochs(expert)) >= last for expert in found)
    except UserError:  # Experts of other facts, or damaged ones.
        return False
