"""Trains the experts an experiment needs and lacks, and nothing else.

python -m experiments.train_experts --config=configs/digits_ipc1.py --experts_dir=experts
"""

import pathlib

from dpd_jax.runs import console, expert_training, run_data
from dpd_jax.runs.experiment import Experiment
from dpd_jax.storage.trajectories import spans
from experiments import _cli


def main() -> None:
    config = _cli.CONFIG.value
    experiment = Experiment.from_config(config)
    loaded = run_data.load(config, _cli.DATA_DIR.value, _cli.cache_dir())
    directory = pathlib.Path(_cli.EXPERTS_DIR.value or _cli.default_workdir() / "experts")
    store = expert_training.open_store(experiment, loaded, directory)
    used = expert_training.provide(experiment, loaded, store, experiment.epochs_read)
    size = sum(p.stat().st_size for e in used for p in store.path(e).rglob("*") if p.is_file())
    params = store.read(used[0], [max(experiment.epochs_read)])[0]
    right = (
        expert_training.logits(experiment, params, loaded.test).argmax(-1)
        == loaded.dataset.test_labels
    )
    console.result(
        f"{len(used)} experts, epochs {spans(experiment.epochs_read)}, {size / 1e6:.1f} MB in "
        f"{directory}\n"
        f"expert {used[0]} at its last epoch: test accuracy {100 * right.mean():.2f} %"
    )


if __name__ == "__main__":
    _cli.run(main, _cli.DATA_DIR, _cli.EXPERTS_DIR)
