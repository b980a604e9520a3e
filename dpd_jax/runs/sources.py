"""The data and the expert store of a run; runs share both."""

import hashlib
import json
import pathlib
from collections.abc import Iterable, Sequence

from ml_collections import ConfigDict

from dpd_jax.errors import UserError
from dpd_jax.runs import console, expert_training, identity, run_data
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.storage import expert_stores
from dpd_jax.storage.trajectories import OtherProvenance, TrajectoryStore

EXPERTS_DIR = pathlib.Path("experts")  # Of all runs that name no other.


class Sources:
    """The data of runs, and the expert stores in one folder, which they share.

    A run uses the store that has the most of its experts: `experts_dir`, a folder in it, or the
    folder of earlier work. If none has any, it is a new folder of `experts_dir`, whose name comes
    from what makes its experts.
    """

    def __init__(
        self,
        data_dir: str | None,
        cache: pathlib.Path,
        experts_dir: pathlib.Path,
        sharing: Sequence[Experiment] = (),
        earlier: pathlib.Path | None = None,
    ):
        """Reads nothing yet.

        Args:
          data_dir: of prepared data sets; None is the usual one.
          cache: of whitening matrices.
          experts_dir: of expert stores.
          sharing: experiments whose experts may be the same; new ones get the epochs of all.
          earlier: another folder of experts, that of work which an earlier version began.
        """
        self._data_dir = data_dir
        self._cache = cache
        self._experts_dir = experts_dir
        self._sharing = sharing
        self._earlier = earlier
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

    def store(
        self, experiment: Experiment, data: RunData, begun: pathlib.Path | None = None
    ) -> tuple[TrajectoryStore, Sequence[int]]:
        """The expert store of an experiment, and the epochs to keep of experts trained into it.

        `begun` is the store with which the run began. It is used again if it still fits, so that
        the run goes on with the same experts.
        """
        key = identity.of_data(experiment.config)
        name = _store_name(experiment, data, ())
        epochs = set(experiment.epochs_read)
        for other in self._sharing:
            if identity.of_data(other.config) == key and _store_name(other, data, ()) == name:
                epochs.update(other.epochs_read)
        wanted = sorted(epochs)
        new = self._experts_dir / _store_name(experiment, data, wanted)
        places = [begun] if begun else []
        places += [new, *expert_stores.folders(self._experts_dir)]
        places += expert_stores.folders(self._earlier) if self._earlier else []
        found = best(experiment, data, places, wanted)
        if found is None:
            self._say_nearest(experiment, data, new)
            found = expert_training.open_store(experiment, data, new)
        return found, wanted

    def _say_nearest(self, experiment: Experiment, data: RunData, new: pathlib.Path) -> None:
        """Says why experts are trained although there are some."""
        asked = expert_training.open_store(experiment, data, new).provenance
        nearest = expert_stores.nearest(self._experts_dir, asked)
        if experiment.experts_read and nearest:
            directory, lines = nearest
            lines[3:] = [f"and {len(lines) - 3} more"] if len(lines) > 3 else []
            console.say(
                f"no experts of {self._experts_dir} fit; new ones go into {new}. The nearest, in "
                f"{directory}, differ: {'; '.join(lines) or 'they lack epochs'}."
            )


def best(
    experiment: Experiment, data: RunData, places: Iterable[pathlib.Path], epochs: Sequence[int]
) -> TrajectoryStore | None:
    """The store with the most experts that fit, of several folders; None if there are none.

    Of equal ones it is the first. Experts fit if they hold all `epochs`.
    """
    if not experiment.experts_read:
        return None
    stores = [expert_training.open_store(experiment, data, place) for place in places]
    counts = [_num_usable(store, experiment.experts_read, epochs) for store in stores]
    return stores[counts.index(max(counts))] if max(counts, default=0) else None


def _store_name(experiment: Experiment, data: RunData, epochs: Sequence[int]) -> str:
    made = [expert_training.provenance(experiment, data), experiment.config.experts.storage, epochs]
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()
    return f"{experiment.recipe.optimizer}-{digest[:8]}"


def _num_usable(store: TrajectoryStore, wanted: range, epochs: Sequence[int]) -> int:
    """How many of the wanted experts a store has; 0 if one lacks an epoch or is another."""
    try:
        present = set(store.experts()) & set(wanted)
        return len(present) if all(set(epochs) <= set(store.epochs(e)) for e in present) else 0
    except OtherProvenance:
        return 0
    except UserError as error:  # Damaged.
        console.say(f"these experts are not used: {error}")
        return 0
