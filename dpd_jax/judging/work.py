"""The missing networks of some jobs: their forecast, and their training by several processes."""

import functools
import math
import pathlib
from collections.abc import Sequence

import jax
import numpy as np

from dpd_jax.augment import Augmentation
from dpd_jax.errors import UserError
from dpd_jax.evaluate import Protocol
from dpd_jax.judging.jobs import Bench, Group, Job
from dpd_jax.judging.results import Row
from dpd_jax.networks import Network
from dpd_jax.runs import console, cost, shared_work
from dpd_jax.runs.forecast import long, short

# What the seconds of a network depend on; the numbers are those of images and of networks that
# train side by side.
Kind = tuple[Network, Protocol, Augmentation, int, int]


def forecast(jobs: Sequence[Job], bench: Bench) -> dict[Kind, float]:
    """Prints what the missing networks of some jobs cost; returns seconds of one of each kind."""
    counts: dict[str, dict[Kind, int]] = {}
    for job in jobs:
        if missing := len(bench.missing(job)):
            own = counts.setdefault(job.name, {})
            own[_kind(job, bench)] = own.get(_kind(job, bench), 0) + missing
    seconds: dict[Kind, float] = {}
    if counts:
        console.say("forecast, timed on this machine with random weights:")
    for name, own in counts.items():
        console.say(f"  {name:<14} ", end="")
        seconds |= {kind: _seconds(bench, *kind) for kind in own}
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


def run(
    jobs: Sequence[Job],
    bench: Bench,
    seconds: dict[Kind, float],
    text: str,
    failures: dict[str, str] | None = None,
) -> list[Row]:
    """Trains the missing networks of some jobs; returns the row of each job.

    Other processes may do the same jobs: each network is trained by one of them.

    Args:
      jobs: different ones.
      bench: trains.
      seconds: those of the forecast, which weigh the progress bar.
      text: the bar's.
      failures: gets why a job cannot be done, by the names of its candidate and its network. The
        others are done nevertheless, and it has no row. If this is None, the reason is raised.

    Raises:
      UserError: as `Bench.train`, or if another process works in the folder with other settings.
    """
    failed: set[Job] = set()
    weights = {job: seconds.get(_kind(job, bench), 1.0) for job in jobs}

    def left() -> float:
        return sum(weights[job] * len(bench.missing(job)) for job in jobs)

    def train(group: Group) -> None:
        job = group.job
        done, weight = total - left(), weights[job] * len(group.numbers)
        try:
            bench.train(group, functools.partial(_show, bar, job, done, weight, total))
        except (UserError, jax.errors.JaxRuntimeError) as error:
            if failures is None:
                raise
            failed.add(job)
            # JAX's messages are long, and most likely about memory.
            reason = str(error) if isinstance(error, UserError) else str(error).partition("\n")[0]
            failures[f"{job.candidate.name} on {job.name}"] = reason

    def share(own: Sequence[Job], folder: pathlib.Path, flag: str, settings: str) -> None:
        def groups() -> dict[str, Group]:
            missing = bench.groups([job for job in own if job not in failed])
            return {group.name: group for group in missing}

        shared_work.share(
            lambda: list(groups()),
            lambda names: train(groups()[names[0]]),
            lambda _: bar.to(1 - left() / total, now="waiting for other processes"),
            folder=folder,
            flag=flag,
            at_once=1,
            settings=settings,
        )

    if total := left():
        with console.Bar(text, 1.0) as bar:
            part = [job for job in jobs if not job.candidate.is_whole]
            share(part, bench.folder, "--workdir", bench.command)
            # Last, so that nothing waits for this long work. Commands of other settings share it.
            share([job for job in jobs if job.candidate.is_whole], bench.cache, "--cache_dir", "")
            bar.to(1.0)
    return [bench.row(job) for job in jobs if job not in failed]


def _kind(job: Job, bench: Bench) -> Kind:
    images = job.candidate.num_images
    return job.network, job.protocol, job.augmentation, images, bench.at_once(job)


def _seconds(
    bench: Bench,
    network: Network,
    protocol: Protocol,
    augmentation: Augmentation,
    num_images: int,
    at_once: int,
) -> float:
    """Seconds of one of `at_once` networks, its tests included."""
    experiment = bench.experiment._replace(
        network=network, protocol=protocol, augmentation=augmentation
    )
    epoch = cost.evaluation_epoch_seconds(experiment, at_once, num_images) / at_once
    tests = math.ceil(protocol.epochs / (protocol.test_every or protocol.epochs))
    images = np.zeros((len(bench.dataset.test_labels), *network.image_shape), np.float32)
    return protocol.epochs * epoch + tests * cost.test_seconds(experiment, images)


def _show(
    bar: console.Bar, job: Job, done: float, weight: float, total: float, share: float, text: str
) -> None:
    epoch = text.partition(", ")[2]  # After the number of the network.
    bar.to((done + weight * share) / total, now=f"{job.candidate.name}, {job.name}, {epoch}")
