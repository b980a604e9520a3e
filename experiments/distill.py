"""Distills a data set in one command: trains experts, distills, evaluates.

    python -m experiments.distill --config=configs/digits_ipc1.py

The same command continues a stopped run. `dpd_jax/runs/workdir.py` lists the files it writes.
"""

from absl import flags

from dpd_jax.runs import console, loop, report
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.sources import Sources
from dpd_jax.runs.workdir import Workdir

from . import _cli

TENSORBOARD = flags.DEFINE_bool(
    "tensorboard", False, "Write the metrics as TensorBoard events, too, into WORKDIR/tensorboard."
)


def main() -> None:
    config = _cli.config()
    experiment = Experiment.from_config(config)
    path = _cli.WORKDIR.value or _cli.default_workdir(config)
    workdir = Workdir(path, config, with_events=TENSORBOARD.value)
    workdir.note("command", _cli.line())
    console.say(f"{config.method} on {config.data.name}, ipc {config.ipc} -> {workdir.path}")
    if report.complete(workdir, config):
        console.say("this run is finished; nothing left to do.")
    else:
        folders = _cli.DATA_DIR.value, _cli.cache_dir(), _cli.EXPERTS_DIR.value
        loop.run(experiment, workdir, Sources(*folders, earlier=workdir.path / "experts"))
    console.result(report.summary(workdir))


if __name__ == "__main__":
    _cli.run(main, _cli.DATA_DIR, _cli.EXPERTS_DIR, _cli.WORKDIR)
