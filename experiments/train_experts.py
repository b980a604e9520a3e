"""Trains the experts that an experiment needs and its store lacks.

    python -m experiments.train_experts --config=configs/digits_ipc1.py --experts_dir=experts

With --devices=all one process a visible device does the work. The same command may run on several
machines that share the folder: each expert is trained by one process.
"""

import pathlib
import sys

from absl import flags

from dpd_jax.runs import console, expert_training, workers
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.sources import Sources
from dpd_jax.storage.trajectories import numbers, spans

from . import _cli

DEVICES = flags.DEFINE_string(
    "devices", "", 'Trains in one process for each of so many devices, or "all" that are visible.'
)


def main() -> None:
    config = _cli.config()
    directory = _cli.EXPERTS_DIR.value or _cli.default_workdir(config) / "experts"
    wanted = range(config.experts.num_experts)
    if DEVICES.value and not set(wanted) <= set(numbers(directory)):
        work_together(directory, len(wanted))
    experiment = Experiment.from_config(config)
    if not experiment.experts_read:
        console.result("this config needs no experts; nothing to do.")
        return
    sources = Sources(_cli.DATA_DIR.value, _cli.cache_dir(), directory)
    data = sources.data(config)
    store, epochs = sources.store(experiment, data)
    used = expert_training.provide(experiment, data, store, epochs)
    size = sum(p.stat().st_size for e in used for p in store.path(e).rglob("*") if p.is_file())
    params = store.read(used[0], [max(epochs)])[0]
    predicted = expert_training.logits(experiment, params, data.test).argmax(-1)
    accuracy = (predicted == data.dataset.test_labels).mean()
    console.result(
        f"{len(used)} experts, epochs {spans(epochs)}, {size / 1e6:.1f} MB in {directory}\n"
        f"expert {used[0]} at its last epoch: test accuracy {100 * accuracy:.2f} %"
    )


def work_together(directory: pathlib.Path, num_experts: int) -> None:
    """Trains the experts in processes of this command."""
    command = [sys.executable, "-m", f"{__package__}.train_experts", *sys.argv[1:]]
    command += [f"--experts_dir={directory}", "--devices="]
    with console.Bar("experts", num_experts) as bar:
        workers.run(command, DEVICES.value, lambda: bar.to(len(numbers(directory))))


if __name__ == "__main__":
    _cli.run(main, _cli.DATA_DIR, _cli.EXPERTS_DIR, starts_device=lambda: not DEVICES.value)
