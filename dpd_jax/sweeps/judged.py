"""The finished sets of a sweep, judged on networks and by architecture search."""

import itertools
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence

from ml_collections import ConfigDict

from dpd_jax.datasets.loading import Dataset
from dpd_jax.errors import UserError
from dpd_jax.judging import candidates, cross_architecture, work
from dpd_jax.judging.jobs import Bench
from dpd_jax.judging.results import Row
from dpd_jax.judging.search import run as search_run
from dpd_jax.runs import console, identity
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.storage import atomic, distilled_set
from dpd_jax.storage.distilled_set import DistilledSet
from dpd_jax.sweeps import network_table
from dpd_jax.sweeps.grid import CONFIG
from dpd_jax.sweeps.runner import Run
from dpd_jax.sweeps.sweep_file import SweepFile

_REDUCED_SPACE = "small"  # of architectures, for reduced runs


def check(experiments: Sequence[Experiment], names: Sequence[str]) -> None:
    """Raises UserError if one of the networks is unknown, or does not fit the images of a sweep."""
    for experiment in experiments:
        cross_architecture.judges(names, experiment)


def on_networks(
    runs: Sequence[Run],
    file: SweepFile,
    folder: pathlib.Path,
    *,
    read: Callable[[ConfigDict], Dataset],
    cache: pathlib.Path,
    line: str,
) -> dict[str, str]:
    """Trains the networks of a sweep file on every finished set, as far as they are missing.

    Writes networks/results.json after each network, at last networks.md and networks.csv, and
    prints the first. Other processes may do the same: each network is trained by one of them.

    Args:
      runs: those that are finished.
      file: has the names of the networks, and the paper's figures.
      folder: of the files.
      read: reads the raw images of a config.
      cache: as in `Bench`.
      line: the command, repeated in the table.

    Returns:
      Why some sets could not be judged, by name.
    """
    failures: dict[str, str] = {}
    rows: dict[str, list[Row]] = {}
    console.say(f"\n{len(runs)} sets on {', '.join(file.networks)}")
    for group in _groups(runs):
        experiment = group[0].setting.experiment
        bench = Bench(experiment, read(experiment.config), folder / "networks", cache)
        rows |= _train(bench, group, file.networks, failures)
    table = [(run, rows[run.label]) for run in runs if run.label in rows]
    if not table:
        return failures
    text = network_table.markdown(table, file, failures, line)
    atomic.write_text(folder / "networks.md", text)
    atomic.write_text(folder / "networks.csv", network_table.csv_lines(table, file))
    console.result(text.rstrip())
    console.say(f"{folder / 'networks.md'}, networks.csv")
    return failures


def by_search(
    runs: Sequence[Run],
    file: SweepFile,
    folder: pathlib.Path,
    *,
    read: Callable[[ConfigDict], RunData],
) -> dict[str, str]:
    """Searches the space of a sweep file with the finished sets of each config.

    Each set is searched with one network of each architecture. The files of `search_run.run` are
    in search/ and, if there are several configs, a folder for each. search.md has all tables and
    the paper's figures, and is printed. Arguments and value are those of `on_networks`, but for
    `read`, which also brings the images into model space.
    """
    failures: dict[str, str] = {}
    parts = []
    by_config: dict[str, list[Run]] = {}
    for run in runs:
        by_config.setdefault(str(run.setting.values.get(CONFIG, "")), []).append(run)
    for name, group in by_config.items():
        experiment = group[0].setting.experiment
        space = _REDUCED_SPACE if experiment.config.scale == "small" else file.search
        place = folder / "search" / (name if len(by_config) > 1 else "")
        sets = _read_sets(group, failures)
        try:
            if sets:
                data = read(experiment.config)
                parts.append(search_run.run(experiment, data, sets, place, space=space, seeds=1))
        except UserError as error:
            failures[f"search {name}".rstrip()] = str(error)
    claims = network_table.claims([run.setting for run in runs], file)
    if parts:
        text = "\n".join([*parts, *claims])
        atomic.write_text(folder / "search.md", text)
        console.result(text.rstrip())
        console.say(f"{folder / 'search.md'}, {folder / 'search'}")
    return failures


def _train(
    bench: Bench, group: Sequence[Run], names: Sequence[str], failures: dict[str, str]
) -> dict[str, list[Row]]:
    """The rows of each run of a group, by its label; adds the sets that cannot be judged."""
    judges = cross_architecture.judges(names, bench.experiment)
    sets = _read_sets(group, failures)
    found: dict[str, list[Row]] = {label: [] for label in sets}
    jobs = [
        bench.job(candidates.of_set(label, made, bench.experiment), name, network)
        for label, made in sets.items()
        for name, network in judges.items()
    ]
    for row in work.run(jobs, bench, work.forecast(jobs, bench), "judge", failures):
        found[row.candidate].append(row)
    return found


def _groups(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """Runs with the same data whose sets are judged in the same way."""

    def kind(run: Run) -> str:
        config = run.setting.experiment.config
        return identity.of_data(config) + json.dumps(identity.of_accuracy(config), sort_keys=True)

    for _, group in itertools.groupby(sorted(runs, key=kind), kind):
        yield list(group)


def _read_sets(runs: Sequence[Run], failures: dict[str, str]) -> dict[str, DistilledSet]:
    """The sets of runs by label, without those that cannot be read, which become failures."""
    found = {}
    for run in runs:
        try:
            found[run.label] = distilled_set.read(run.workdir.path / "distilled.npz")
        except UserError as error:
            failures[run.label] = str(error)
    return found
