"""Judges distilled sets side by side, from their files to a table."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ml_collections import ConfigDict

from dpd_jax.datasets.loading import Dataset
from dpd_jax.judging import cross_architecture, fair_scores, sets, tables
from dpd_jax.judging.fair_scores import FairScores
from dpd_jax.judging.jobs import Bench
from dpd_jax.judging.results import Results, Row
from dpd_jax.networks import Network
from dpd_jax.presets import protocols
from dpd_jax.runs import completion, console, run_data
from dpd_jax.runs.experiment import Experiment
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
    for name, each in made.items():
        if remark := sets.check_data(name, each, dataset):
            console.say(f"note: {remark}")
    return Comparison(experiment, protocol, made, judges, dataset)


def across(
    compared: Comparison, folder: pathlib.Path, cache: pathlib.Path, *, whole: bool
) -> tuple[list[Row], str]:
    """Trains every network on everything that is compared; the rows, and the table in Markdown."""
    with locks.alone(folder, "--workdir"):
        bench = _bench(compared, folder, cache)
        candidates = cross_architecture.compared(compared.sets, bench, whole=whole)
        rows = cross_architecture.judge(candidates, compared.networks, bench)
        caption = tables.caption(compared.experiment, compared.protocol)
        title = f"{compared.experiment.data_name}: test accuracy"
        return rows, cross_architecture.save(folder, rows, caption, title)


def scores(
    compared: Comparison, folder: pathlib.Path, cache: pathlib.Path
) -> tuple[list[FairScores], str]:
    """Scores every set on every network; the scores, and scores.md."""
    with locks.alone(folder, "--workdir"):
        bench = _bench(compared, folder, cache)
        found = fair_scores.score(compared.sets, compared.networks, bench)
        caption = tables.caption(compared.experiment, compared.protocol)
        text = fair_scores.markdown(found, f"{caption} {fair_scores.caption(bench)}")
        atomic.write_text(folder / "scores.md", text)
        return found, text


def _bench(compared: Comparison, folder: pathlib.Path, cache: pathlib.Path) -> Bench:
    stored = Results(folder / "results.json")
    return Bench(compared.experiment, compared.dataset, stored, cache / "judging")
