"""Distills a data set in one command: trains experts, distills, evaluates.

    python -m experiments.distill --config=configs/digits_ipc1.py

The same command continues a stopped run. `dpd_jax/runs/workdir.py` lists the files it writes.
"""

from dpd_jax.runs import console, loop, report
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.sources import Sources
from dpd_jax.runs.workdir import Workdir

from . import _cli


def main() -> None:
    config = _cli.config()
    experiment = Experiment.from_config(config)
    workdir = Workdir(_cli.WORKDIR.value or _cli.default_workdir(config), config)
    console.say(f"{config.method} on {config.data.name}, ipc {config.ipc} -> {workdir.path}")
    if report.complete(workdir, config):
        console.say("this run is finished; nothing left to do.")
    else:
        experts = _cli.EXPERTS_DIR.value or workdir.path / "experts"
        loop.run(experiment, workdir, Sources(_cli.DATA_DIR.value, _cli.cache_dir(), experts))
    console.result(report.summary(workdir))


if __name__ == "__main__":
    _cli.run(main, _cli.DATA_DIR, _cli.EXPERTS_DIR, _cli.WORKDIR)
