"""Training jobs of judging, and what is stored of them.

Every trained network is stored at once: interrupted jobs continue with the networks that are
missing.
"""

import dataclasses
import functools
import hashlib
import pathlib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from dpd_jax import evaluate
from dpd_jax.augment import Augmentation
from dpd_jax.datasets import loading
from dpd_jax.datasets.loading import Dataset
from dpd_jax.errors import UserError
from dpd_jax.evaluate import Protocol
from dpd_jax.judging import candidates, results
from dpd_jax.judging.candidates import Candidate, Space
from dpd_jax.judging.results import Results, Row
from dpd_jax.networks import Network
from dpd_jax.runs import keys
from dpd_jax.runs.experiment import Experiment
from dpd_jax.storage import atomic
from dpd_jax.storage.provenance import as_json


class Job(NamedTuple):
    """Networks of one kind, trained on one candidate in one way.

    Attributes:
      candidate: what they are trained on.
      name, network: the kind.
      protocol, augmentation: how they are trained.
      num_networks: how many.
      on: what they are tested on, "test" or "validation".
    """

    candidate: Candidate
    name: str
    network: Network
    protocol: Protocol
    augmentation: Augmentation
    num_networks: int
    on: str = "test"


class Group(NamedTuple):
    """Missing networks of a job that train side by side, with a name for their lock."""

    job: Job
    numbers: list[int]
    name: str


class Bench:
    """Where jobs are done: their data, their stores and their randomness."""

    def __init__(
        self,
        experiment: Experiment,
        dataset: Dataset,
        folder: pathlib.Path,
        cache: pathlib.Path,
        command: str = "",
    ):
        """Reads what is stored.

        Args:
          experiment, dataset: what networks are trained and tested with.
          folder: of results.json.
          cache: folder for results on the whole training set, which all sets share.
          command: all that determines the jobs done in `folder`. Processes of other commands are
            refused there.

        Raises:
          UserError: if results.json is damaged.
        """
        self.experiment = experiment
        self.dataset = dataset
        self.validation = candidates.validation_indices(dataset, experiment)
        self._stored = Results(folder / "results.json")
        self.folder = folder
        self.cache = cache
        self.command = command
        self._data = loading.fingerprint(dataset)
        self._tested_on = {on: _described(on, self._part(on)[0]) for on in ("test", "validation")}
        self._key = jax.random.fold_in(jax.random.key(experiment.config.seed), keys.EVALUATION)
        self._tests: dict[tuple[str, str], np.ndarray] = {}

    def job(self, candidate: Candidate, name: str, network: Network, **others: Any) -> Job:
        """A job as the config asks for it, but for `others`."""
        experiment = self.experiment
        usual = dict(
            protocol=experiment.protocol,
            augmentation=experiment.augmentation,
            num_networks=experiment.config.evaluate.num_networks,
        )
        return Job(candidate, name, network, **usual | others)

    def settings(self, job: Job) -> dict[str, Any]:
        """All that determines the accuracies of a job."""
        candidate = job.candidate
        return {
            "set": candidate.identity,
            "images": candidate.num_images,
            "network": _described_network(job.network),
            "learning_rate": candidate.learning_rate,
            "labels": candidate.label_kind,
            "preprocessing": candidate.space.name,
            "space": candidate.space.digest,
            "protocol": dataclasses.asdict(job.protocol),
            "augmentation": as_json(dataclasses.asdict(job.augmentation)),
            "tested_on": self._tested_on[job.on],
            "data": self._data,
            "seed": self.experiment.config.seed,
        }

    def key(self, job: Job) -> str:
        """The name of a job in the stores."""
        return results.key(self.settings(job))

    def row(self, job: Job) -> Row:
        """What is stored of a job."""
        settings, store = self.settings(job), self._store(job)
        count = job.num_networks
        accuracies, best = store.accuracies(settings)[:count], store.best(settings)[:count]
        return Row(job.candidate.name, job.name, settings, accuracies, best)

    def different(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs without those whose networks another one trains; of these the largest stays."""
        by_size = sorted(jobs, key=lambda job: job.num_networks)
        largest = {self.key(job): job for job in by_size}
        return [largest[key] for key in dict.fromkeys(map(self.key, jobs))]

    def missing(self, job: Job) -> list[int]:
        """The numbers of the networks that are still to be trained."""
        found = self._store(job).missing(self.settings(job), job.num_networks)
        if job.candidate.is_whole and 0 not in found and not self._weights_path(job).is_file():
            return [0, *found]
        return found

    def at_once(self, job: Job) -> int:
        """How many networks train side by side; those whose images differ train one by one."""
        return 1 if job.candidate.redrawn else self.experiment.config.evaluate.at_once

    def groups(self, jobs: Sequence[Job]) -> Iterator[Group]:
        """The missing networks in groups, whose bounds are the same for all processes."""
        for job in jobs:
            size, missing = self.at_once(job), self.missing(job)
            for place in sorted({number // size for number in missing}):
                own = [number for number in missing if number // size == place]
                # What is already there leaves gaps, and only neighbours train together.
                neighbours = [number for i, number in enumerate(own) if number == own[0] + i]
                yield Group(job, neighbours, f"{self.key(job)}-{place * size}")

    def train(self, group: Group, progress: Callable[[float, str], None]) -> None:
        """Trains and stores a group.

        `progress` is called with the share of the work that is done and a short text.

        Raises:
          UserError: if the learning rate is not usable, or the candidate does not fit the network.
        """
        job, numbers, _ = group
        config = self.experiment.config.evaluate
        candidate, first = job.candidate, numbers[0]
        test, labels = self._part(job.on)
        found = evaluate.evaluate(
            job.network,
            job.protocol,
            job.augmentation,
            *candidate.draw(first),
            candidate.learning_rate,
            self._entered(job.on, test, candidate.space),
            labels,
            self._key,
            num_networks=len(numbers),
            at_once=len(numbers),
            test_batch=config.test_batch,
            first=first,
            progress=progress,
            trained=functools.partial(self._keep, job) if candidate.is_whole else None,
        )
        best = found.best.tolist() if job.protocol.test_every else ()
        self._store(job).add(self.settings(job), first, found.accuracies.tolist(), best)

    def weights(self, job: Job) -> tuple[jax.Array, Any]:
        """Weights [P] and running statistics of the first network on the whole training set.

        Raises:
          UserError: if the file in the cache cannot be read.
        """
        path = self._weights_path(job)
        leaves, form = jax.tree.flatten(job.network.init_stats())
        try:
            with np.load(path) as stored:
                stats = [stored[f"stats_{i}"] for i in range(len(leaves))]
                return stored["params"], jax.tree.unflatten(form, stats)
        except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{path} is damaged ({error}). Delete it, and its networks are trained again."
            ) from error

    def _keep(self, job: Job, number: int, params: jax.Array, stats: Any) -> None:
        if number == 0:
            leaves = {f"stats_{i}": leaf for i, leaf in enumerate(jax.tree.leaves(stats))}
            atomic.write_arrays(self._weights_path(job), {"params": params} | leaves)

    def _store(self, job: Job) -> Results:
        if not job.candidate.is_whole:
            return self._stored
        return Results(self.cache / f"{self.key(job)}.json", "--cache_dir")

    def _weights_path(self, job: Job) -> pathlib.Path:
        return self.cache / f"{self.key(job)}.npz"

    def _part(self, on: str) -> tuple[np.ndarray, np.ndarray]:
        """Raw images and labels that networks are tested on."""
        data = self.dataset
        if on == "test":
            return data.test_images, data.test_labels
        return data.train_images[self.validation], data.train_labels[self.validation]

    def _entered(self, on: str, images: np.ndarray, space: Space) -> np.ndarray:
        if (on, space.digest) not in self._tests:
            self._tests[on, space.digest] = space.enter(images)
        return self._tests[on, space.digest]


def _described_network(network: Network) -> str:
    # The form of convolutions is chosen by the device, and changes no more than rounding. A result
    # is the same on all, called by the form of a CPU.
    return repr(network.module).replace("convolution = 'lax'", "convolution = 'patches'")


def _described(on: str, images: np.ndarray) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(images)).hexdigest()[:16]
    return f"{len(images)} {on} images, {digest}"
