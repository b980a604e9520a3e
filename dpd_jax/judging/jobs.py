"""Training jobs of judging: their forecast, and their work as far as it is missing.

Every trained network is stored at once: interrupted jobs continue with the networks that are
missing.
"""

import dataclasses
import functools
import hashlib
import math
import pathlib
import zipfile
from collections.abc import Sequence
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
from dpd_jax.runs import console, cost, keys
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.forecast import long, short
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


class Bench:
    """Where jobs are done: their data, their stores and their randomness."""

    def __init__(
        self, experiment: Experiment, dataset: Dataset, stored: Results, cache: pathlib.Path
    ):
        """`cache` is the folder for results on the whole training set, which all sets share."""
        self.experiment = experiment
        self.dataset = dataset
        self.validation = candidates.validation_indices(dataset, experiment)
        self._stored = stored
        self._cache = cache
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
            "network": repr(job.network.module),
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

    def missing(self, job: Job) -> int:
        """How many networks are still to be trained."""
        return job.num_networks - len(self.row(job).accuracies)

    def forecast(self, jobs: Sequence[Job]) -> dict[tuple, float]:
        """Prints what the missing networks of some jobs cost.

        Returns:
          Seconds of one network, by what it depends on.
        """
        counts: dict[str, dict[tuple, int]] = {}
        for job in jobs:
            if missing := self.missing(job):
                own = counts.setdefault(job.name, {})
                own[self._kind(job)] = own.get(self._kind(job), 0) + missing
        seconds: dict[tuple, float] = {}
        if counts:
            console.say("forecast, timed on this machine with random weights:")
        for name, own in counts.items():
            console.say(f"  {name:<14} ", end="")
            seconds |= {kind: self._seconds(*kind) for kind in own}
            parts = [
                f"{count} networks on {kind[3]:,} images, {short(seconds[kind])} each"
                for kind, count in own.items()
            ]
            total = sum(count * seconds[kind] for kind, count in own.items())
            console.say(f"{'; '.join(parts)}: {long(total)}")
        if counts:
            everything = (n * seconds[kind] for own in counts.values() for kind, n in own.items())
            console.say(f"  in all         {long(sum(everything))}")
        return seconds

    def run(self, jobs: Sequence[Job], seconds: dict[tuple, float], text: str) -> list[Row]:
        """Trains the missing networks of some jobs; returns the row of each job.

        `seconds` are those of the forecast, which weigh the progress bar called `text`.

        Raises:
          UserError: if a learning rate is not usable, or a candidate does not fit a network.
        """
        weights = [seconds.get(self._kind(job), 0.0) for job in jobs]
        total = sum(w * self.missing(job) for w, job in zip(weights, jobs, strict=True))
        if not any(map(self.missing, jobs)):
            return [self.row(job) for job in jobs]
        done = 0.0
        with console.Bar(text, 1.0) as bar:
            for job, weight in zip(jobs, weights, strict=True):
                while self.missing(job):
                    done += weight * self._train(
                        job, functools.partial(_show, bar, job, done, weight, total)
                    )
        return [self.row(job) for job in jobs]

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

    def _train(self, job: Job, progress) -> int:
        """Trains and stores the next networks; returns how many."""
        config = self.experiment.config.evaluate
        candidate, settings, store = job.candidate, self.settings(job), self._store(job)
        number = len(store.accuracies(settings))
        at_once = min(self._at_once(job), self.missing(job))
        test, labels = self._part(job.on)
        found = evaluate.evaluate(
            job.network,
            job.protocol,
            job.augmentation,
            *candidate.draw(number),
            candidate.learning_rate,
            self._entered(job.on, test, candidate.space),
            labels,
            self._key,
            num_networks=at_once,
            at_once=at_once,
            test_batch=config.test_batch,
            first=number,
            progress=lambda share, words: progress(at_once * share, words),
            trained=functools.partial(self._keep, job) if candidate.is_whole else None,
        )
        for accuracy, best in zip(found.accuracies, found.best, strict=True):
            store.add(settings, float(accuracy), float(best) if job.protocol.test_every else None)
        return at_once

    def _keep(self, job: Job, number: int, params: jax.Array, stats: Any) -> None:
        if number == 0:
            leaves = {f"stats_{i}": leaf for i, leaf in enumerate(jax.tree.leaves(stats))}
            atomic.write_arrays(self._weights_path(job), {"params": params} | leaves)

    def _store(self, job: Job) -> Results:
        if not job.candidate.is_whole:
            return self._stored
        path = self._cache / f"{self.key(job)}.json"
        if not self._weights_path(job).is_file():
            path.unlink(missing_ok=True)  # Both are there, or both are made again.
        return Results(path)

    def _weights_path(self, job: Job) -> pathlib.Path:
        return self._cache / f"{self.key(job)}.npz"

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

    def _at_once(self, job: Job) -> int:
        """How many networks train side by side; those whose images differ train one by one."""
        return 1 if job.candidate.redrawn else self.experiment.config.evaluate.at_once

    def _kind(self, job: Job) -> tuple[Network, Protocol, Augmentation, int, int]:
        """What the seconds of a network depend on."""
        images = job.candidate.num_images
        return job.network, job.protocol, job.augmentation, images, self._at_once(job)

    def _seconds(
        self,
        network: Network,
        protocol: Protocol,
        augmentation: Augmentation,
        num_images: int,
        at_once: int,
    ) -> float:
        """Seconds of one of `at_once` networks, its tests included."""
        experiment = self.experiment._replace(
            network=network, protocol=protocol, augmentation=augmentation
        )
        epoch = cost.evaluation_epoch_seconds(experiment, at_once, num_images) / at_once
        tests = math.ceil(protocol.epochs / (protocol.test_every or protocol.epochs))
        images = np.zeros((len(self.dataset.test_labels), *network.image_shape), np.float32)
        return protocol.epochs * epoch + tests * cost.test_seconds(experiment, images)


def _show(
    bar: console.Bar, job: Job, done: float, weight: float, total: float, share: float, text: str
) -> None:
    epoch = text.partition(", ")[2]  # After the number of the network.
    bar.to((done + weight * share) / total, now=f"{job.candidate.name}, {job.name}, {epoch}")


def _described(on: str, images: np.ndarray) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(images)).hexdigest()[:16]
    return f"{len(images)} {on} images, {digest}"
