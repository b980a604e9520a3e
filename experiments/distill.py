"""Distills a data set in one command: trains experts, distills, evaluates.

    python -m experiments.distill --config=configs/digits_ipc1.py

The same command continues a stopped run. `dpd_jax/runs/workdir.py` lists the files it writes.

Several processes, on one host or on several, can take the outer steps together, each with devices
of its own. With --hosts the same command is started once for each (docs/clusters.md). Process 0
writes all files, and evaluates alone.
"""

import pathlib
import sys

from absl import flags
from ml_collections import ConfigDict

from dpd_jax.runs import console, follower, hosts, loop, report, workers
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.hosts import Group
from dpd_jax.runs.sources import Sources
from dpd_jax.runs.workdir import Workdir

from . import _cli

TENSORBOARD = flags.DEFINE_bool(
    "tensorboard", False, "Write the metrics as TensorBoard events, too, into WORKDIR/tensorboard."
)
HOSTS = flags.DEFINE_string(
    "hosts",
    "",
    "The processes that take the outer steps together: auto, as SLURM, Open MPI or a TPU has "
    "started them; or ADDRESS:PORT,COUNT,NUMBER: where process 0 is reached, how many there are, "
    "and which one this is, from 0.",
)


def join() -> None:
    """Joins the other processes of --hosts, when they have trained the experts.

    These are trained by processes of their own, because a process that has joined waits for the
    others in each of its steps.
    """
    if not HOSTS.value:
        return
    config = _cli.config()
    if not report.finished(Workdir(_path(config), config), config):
        rest = _cli.arguments_without("hosts", "workdir", "tensorboard")
        command = [sys.executable, "-m", f"{__package__}.train_experts", *rest]
        if status := workers.alone(command):
            sys.exit(status)
    hosts.join(HOSTS.value)


def main() -> None:
    with hosts.group() as group:
        config = _cli.config()
        experiment = Experiment.from_config(config)
        hosts.check(experiment)
        if hosts.leads():
            run(experiment, group)
        else:
            follower.follow(experiment, group)


def run(experiment: Experiment, group: Group) -> None:
    """Does the missing work of the run."""
    config = experiment.config
    workdir = Workdir(_path(config), config, with_events=TENSORBOARD.value)
    workdir.note("command", _cli.line())
    console.say(f"{config.method} on {config.data.name}, ipc {config.ipc} -> {workdir.path}")
    if report.complete(workdir, config):
        console.say("this run is finished; nothing left to do.")
    else:
        folders = _cli.DATA_DIR.value, _cli.cache_dir(), _cli.EXPERTS_DIR.value
        sources = Sources(*folders, earlier=workdir.path / "experts")
        loop.run(experiment, workdir, sources, group=group)
    console.result(report.summary(workdir))


def _path(config: ConfigDict) -> pathlib.Path:
    return _cli.WORKDIR.value or _cli.default_workdir(config)


if __name__ == "__main__":
    _cli.run(main, _cli.DATA_DIR, _cli.EXPERTS_DIR, _cli.WORKDIR, prepare=join)
