"""A run as an object, for notebooks and scripts."""

import os
import pathlib

from ml_collections import ConfigDict

from dpd_jax.runs import completion, expert_training, loop, report
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.sources import EXPERTS_DIR, Sources
from dpd_jax.runs.workdir import Workdir
from dpd_jax.storage import distilled_set
from dpd_jax.storage.distilled_set import DistilledSet


class Run:
    """A run from a config to a report; a stopped run continues where it was.

    Attributes:
      experiment: the validated config.
      path: the folder; `dpd_jax/runs/workdir.py` lists its files.
    """

    def __init__(
        self,
        config: ConfigDict,
        workdir: str | os.PathLike,
        *,
        experts_dir: str | os.PathLike | None = None,
        data_dir: str | os.PathLike | None = None,
        cache_dir: str | os.PathLike = "~/.cache/dpd_jax",
    ):
        """Checks the config, which is from `load_config`; reads no images yet.

        What the config leaves open is looked up in the data (`runs/completion.py`). All runs share
        the expert trajectories in `experts_dir` (None is "experts"). Prepared TFDS sets (None is
        ~/tensorflow_datasets) or your own images are in `data_dir`, whitening matrices in
        `cache_dir`.

        Raises:
          UserError: for an invalid value, a folder of another config, or data that do not fit.
        """
        self.path = pathlib.Path(workdir).expanduser()
        config = completion.complete(config, data_dir)
        self.experiment = Experiment.from_config(config)
        self._workdir = Workdir(self.path, config)
        self._sources = Sources(
            None if data_dir is None else str(data_dir),
            pathlib.Path(cache_dir).expanduser(),
            pathlib.Path(experts_dir or EXPERTS_DIR).expanduser(),
            earlier=self.path / "experts",
        )

    def train_experts(self) -> list[int]:
        """Trains the missing experts; returns the numbers of all experts in use."""
        data = self._sources.data(self.experiment.config)
        store, epochs = self._sources.store(self.experiment, data)
        return expert_training.provide(self.experiment, data, store, epochs)

    def distill(self) -> DistilledSet:
        """Does the missing work: experts, distillation, evaluation, plots; returns the set.

        Raises the errors of `loop.run`.
        """
        if not report.complete(self._workdir, self.experiment.config):
            loop.run(self.experiment, self._workdir, self._sources)
        return self.distilled_set()

    def distilled_set(self) -> DistilledSet:
        """The set that the run has written; raises UserError if there is none."""
        return distilled_set.read(self.path / "distilled.npz")

    def report(self) -> dict | None:
        """The contents of report.json (accuracies, baseline, seconds, memory), or None."""
        return report.load(self._workdir)

    def summary(self) -> str:
        """The report of a finished run in a few lines."""
        return report.summary(self._workdir)
