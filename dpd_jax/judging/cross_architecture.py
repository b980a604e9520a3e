"""Accuracy of networks of several kinds, trained on the same frozen sets."""

import collections
import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Mapping, Sequence

from dpd_jax import networks
from dpd_jax.judging import candidates, tables, work
from dpd_jax.judging.candidates import Candidate, Space
from dpd_jax.judging.jobs import Bench, Job
from dpd_jax.judging.results import Row
from dpd_jax.networks import Network
from dpd_jax.runs.experiment import Experiment
from dpd_jax.storage import atomic
from dpd_jax.storage.distilled_set import DistilledSet


def judges(names: Sequence[str], experiment: Experiment) -> dict[str, Network]:
    """The networks of these names, for the images and with the options of the config.

    Raises:
      UserError: for an unknown name, or a network that does not fit the images.
    """
    config = experiment.config
    return {
        name: networks.create(
            image_shape=experiment.network.image_shape,
            num_classes=config.num_classes,
            **config.network.to_dict() | {"name": name},
        )
        for name in names
    }


def compared(sets: Mapping[str, DistilledSet], bench: Bench, *, whole: bool) -> list[Candidate]:
    """The sets, as many random real images, and the whole training set if asked for.

    Random real images have the learning rate of the set beside which they stand; sets of equal
    size, learning rate and preprocessing share them.
    """
    experiment, dataset = bench.experiment, bench.dataset
    made = [candidates.of_set(name, made, experiment) for name, made in sets.items()]
    found = [
        *made,
        *(
            candidates.random_real(like, candidates.per_class(distilled), dataset, experiment)
            for like, distilled in zip(made, sets.values(), strict=True)
        ),
    ]
    if whole:
        found += [
            candidates.whole(Space.of(distilled), dataset, experiment)
            for distilled in sets.values()
        ]
    different = {(x.identity, x.learning_rate, x.space.digest): x for x in found}
    apart = _named_apart(list(different.values()), lambda x: f"rate {x.learning_rate:.4g}")
    return _named_apart(apart, lambda x: x.space.name)


def _named_apart(
    found: Sequence[Candidate], difference: Callable[[Candidate], str]
) -> list[Candidate]:
    """The candidates; equal names are followed by the difference."""
    count = collections.Counter(x.name for x in found)
    return [
        x if count[x.name] == 1 else dataclasses.replace(x, name=f"{x.name}, {difference(x)}")
        for x in found
    ]


def jobs(compared: Sequence[Candidate], judges: Mapping[str, Network], bench: Bench) -> list[Job]:
    """A job for each candidate with each network."""
    return [
        bench.job(candidate, name, network)
        for candidate, (name, network) in itertools.product(compared, judges.items())
    ]


def judge(jobs: Sequence[Job], bench: Bench) -> list[Row]:
    """Trains what is missing, after a forecast; a row for each job."""
    return work.run(jobs, bench, work.forecast(jobs, bench), "evaluate")


def save(folder: pathlib.Path, rows: Sequence[Row], caption: str, title: str) -> str:
    """Writes table.md, table.csv and plot.png; returns the Markdown."""
    from dpd_jax.plots import bars  # Matplotlib takes a second to import.

    text = tables.markdown(rows, caption)
    atomic.write_text(folder / "table.md", text)
    atomic.write_text(folder / "table.csv", tables.csv_lines(rows))
    bars.save(folder / "plot.png", rows, title=title)
    return text
