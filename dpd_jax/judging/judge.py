"""Judges distilled sets side by side, from their files to a table."""

import contextlib
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ml_collections import ConfigDict

from dpd_jax.datasets.loading import Dataset
from dpd_jax.judging import cross_architecture, fair_scores, sets, tables
from dpd_jax.judging.fair_scores import FairScores
from dpd_jax.judging.jobs import Bench, Job
from dpd_jax.judging.results import Row
from dpd_jax.networks import Network
from dpd_jax.presets import protocols
from dpd_jax.runs import completion, console, run_data, shared_work
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.shared_work import ShareOut
from dpd_jax.storage import atomic, locks
from dpd_jax.storage.distilled_set import DistilledSet


class Comparison(NamedTuple):
    """Distilled sets, and what they are judged with.

    Attributes:
      experiment: the config, with the values of the protocol.
      protocol: its name, or None for the config's own values.
      sets, networks: by their names in tables.
      dataset: real images, for the test and for the baselines.
    """

    experiment: Experiment
    protocol: str | None
    sets: Mapping[str, DistilledSet]
    networks: Mapping[str, Network]
    dataset: Dataset


def judge(
    config: ConfigDict,
    paths: Sequence[str | os.PathLike],
    workdir: str | os.PathLike,
    *,
    networks: Sequence[str] = (),
    protocol: str | None = None,
    whole: bool = False,
    data_dir: str | os.PathLike | None = None,
    cache_dir: str | os.PathLike = "~/.cache/dpd_jax",
) -> list[Row]:
    """Trains fresh networks on distilled sets and on as many random real images.

    The sets stay as they are. table.md, table.csv, plot.png and results.json are written to
    `workdir`. A second call trains only what is missing there.

    Args:
      config: of the data and of the training, from `load_config`.
      paths: the distilled.npz of each set.
      workdir: the folder for the results.
      networks: their names, as for --networks of the command `evaluate`; () is the config's own.
      protocol: "mtt", "datm", "dc" or "dm"; None trains as the config says.
      whole: whether networks are trained on the whole training set, too.
      data_dir, cache_dir: as for `Run`.

    Returns:
      A row for each set and each baseline with each network. `row.mean` and `row.std` (population)
      are of `row.accuracies`, fractions of the test images at the last epoch.

    Raises:
      UserError: for an unknown name, or a set that does not fit the config.
    """
    config = completion.complete(config, data_dir)
    compared = prepare(config, paths, networks=networks, protocol=protocol, data_dir=data_dir)
    folder, cache = pathlib.Path(workdir).expanduser(), pathlib.Path(cache_dir).expanduser()
    return across(compared, folder, cache, whole=whole)[0]


def prepare(
    config: ConfigDict,
    paths: Sequence[str | os.PathLike],
    *,
    networks: Sequence[str] = (),
    protocol: str | None = None,
    data_dir: str | os.PathLike | None = None,
) -> Comparison:
    """Checks everything and reads the sets and the data. Raises UserError as `judge` does."""
    if protocol:
        config = protocols.apply(config, protocol)
    experiment = Experiment.from_config(config)
    made = sets.read([pathlib.Path(path).expanduser() for path in paths], config)
    judges = cross_architecture.judges(networks or (config.network.name,), experiment)
    dataset = run_data.read(config, data_dir)
    for remark in sets.check_data(made, dataset, config):
        console.say(f"note: {remark}")
    return Comparison(experiment, protocol, made, judges, dataset)


def across(
    compared: Comparison,
    folder: pathlib.Path,
    cache: pathlib.Path,
    *,
    whole: bool,
    share_out: ShareOut = shared_work.alone,
) -> tuple[list[Row], str]:
    """Trains every network on everything that is compared; the rows, and the table in Markdown.

    Several processes may do the same: each network is trained by one of them. With `share_out`
    this process does the work that others leave.
    """
    with _bench(compared, folder, cache, ["networks", whole]) as bench:
        candidates = cross_architecture.compared(compared.sets, bench, whole=whole)
        jobs = cross_architecture.jobs(candidates, compared.networks, bench)
        share_out(lambda: _missing(jobs, bench))
        rows = cross_architecture.judge(jobs, bench)
        caption = tables.caption(compared.experiment, compared.protocol)
        title = f"{compared.experiment.data_name}: test accuracy"
        return rows, cross_architecture.save(folder, rows, caption, title)


def scores(
    compared: Comparison,
    folder: pathlib.Path,
    cache: pathlib.Path,
    *,
    share_out: ShareOut = shared_work.alone,
) -> tuple[list[FairScores], str]:
    """Scores every set on every network; the scores, and scores.md. Otherwise as `across`."""
    with _bench(compared, folder, cache, ["scores"]) as bench:
        trials = fair_scores.trials(compared.sets, compared.networks, bench)
        share_out(lambda: _missing(fair_scores.jobs(trials, bench), bench))
        found = fair_scores.score(trials, bench)
        caption = tables.caption(compared.experiment, compared.protocol)
        text = fair_scores.markdown(found, f"{caption} {fair_scores.caption(bench)}")
        atomic.write_text(folder / "scores.md", text)
        return found, text


@contextlib.contextmanager
def _bench(
    compared: Comparison, folder: pathlib.Path, cache: pathlib.Path, asked: list
) -> Iterator[Bench]:
    """A bench in a folder, from which other commands are kept out."""
    experiment, asked = compared.experiment, [*asked, compared.protocol, list(compared.networks)]
    command = sets.command(compared.sets, experiment.config, *asked)
    with locks.together(folder, "--workdir", command):
        yield Bench(experiment, compared.dataset, folder, cache / "judging", command)


def _missing(jobs: Sequence[Job], bench: Bench) -> int:
    """How many networks are still to be trained."""
    return sum(len(bench.missing(job)) for job in jobs)
