"""Trains the experts that an experiment needs and its store lacks.

python -m experiments.train_experts --config=configs/digits_ipc1.py --experts_dir=experts
"""

from dpd_jax.runs import console, expert_training
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.sources import Sources
from dpd_jax.storage.trajectories import spans

from . import _cli


def main() -> None:
    config = _cli.config()
    experiment = Experiment.from_config(config)
    if not experiment.experts_read:
        console.result("this config needs no experts; nothing to do.")
        return
    directory = _cli.EXPERTS_DIR.value or _cli.default_workdir(config) / "experts"
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


if __name__ == "__main__":
    _cli.run(main, _cli.DATA_DIR, _cli.EXPERTS_DIR)
