"""Trains the experts that an experiment needs and its store lacks, or lists the stores.

    python -m experiments.train_experts --config=configs/digits_ipc1.py
    python -m experiments.train_experts --config=configs/cifar10_ipc1.py --devices=all
    python -m experiments.train_experts --list

With --devices=all one process a visible device does the work. The same command may run on several
machines that share the folder: each expert is trained by one process.

--list shows the stores in --experts_dir: what made their experts, which runs use them, and which
no run uses. Such a store may be deleted.
"""

import pathlib
from typing import Any

from absl import flags

from dpd_jax.runs import console, expert_training
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.forecast import gigabytes, long
from dpd_jax.runs.sources import Sources
from dpd_jax.storage import expert_stores
from dpd_jax.storage.expert_stores import Stored
from dpd_jax.storage.trajectories import spans

from . import _cli

LIST = flags.DEFINE_bool("list", False, "List the stores in --experts_dir, and train nothing.")


def main() -> None:
    if LIST.value:
        console.result(listed(_cli.EXPERTS_DIR.value))
        return
    config = _cli.config()
    experiment = Experiment.from_config(config)
    if not experiment.experts_read:
        console.result("this config needs no experts; nothing to do.")
        return
    earlier = _cli.default_workdir(config) / "experts"
    folders = _cli.DATA_DIR.value, _cli.cache_dir(), _cli.EXPERTS_DIR.value
    sources = Sources(*folders, earlier=earlier)
    data = sources.data(config)
    store, epochs = sources.store(experiment, data)
    _cli.share_out(lambda: len(expert_training.missing(experiment, store)))
    used = expert_training.provide(experiment, data, store, epochs)
    size = sum(p.stat().st_size for e in used for p in store.path(e).rglob("*") if p.is_file())
    params = store.read(used[0], [max(epochs)])[0]
    predicted = expert_training.logits(experiment, params, data.test).argmax(-1)
    accuracy = (predicted == data.dataset.test_labels).mean()
    console.result(
        f"{len(used)} experts, epochs {spans(epochs)}, {gigabytes(size)} in {store.directory}\n"
        f"expert {used[0]} at its last epoch: test accuracy {100 * accuracy:.2f} %"
    )


def listed(experts_dir: pathlib.Path) -> str:
    """The stores of a folder, a few lines each, and those that no run uses."""
    stores = expert_stores.find(experts_dir)
    if not stores:
        return f"there are no experts in {experts_dir}."
    unused = [store for store in stores if not store.runs]
    lines = [text for store in stores for text in _lines(store)]
    size = gigabytes(sum(store.num_bytes for store in stores))
    lines.append(f"{len(stores)} stores, {size} in all.")
    if unused:
        names = ", ".join(str(store.directory) for store in unused)
        size = gigabytes(sum(store.num_bytes for store in unused))
        lines.append(f"No run that is still there has used {names}; deleting frees {size}.")
    return "\n".join(lines)


def _lines(store: Stored) -> list[str]:
    about = store.provenance
    took = "unknown time" if store.seconds is None else long(store.seconds)
    return [
        f"{store.directory}",
        f"  {store.experts} experts, epochs {spans(store.epochs)}, {gigabytes(store.num_bytes)}, "
        f"trained in {took}",
        f"  data      {_values(about['data'])}; {_values(about['preprocessing'])}",
        f"  network   {_values(about['network'])}",
        f"  training  {_values(about.get('optimizer', {})) or 'by another program'}",
        f"  used by   {', '.join(map(str, store.runs)) or 'no run that is still there'}",
        "",
    ]


def _values(group: dict[str, Any]) -> str:
    """ "name digits, images 1438", without what is too long for a line."""
    return ", ".join(f"{name} {value}" for name, value in group.items() if name != "leaves")


if __name__ == "__main__":
    _cli.run(
        main,
        _cli.CONFIG,
        _cli.DATA_DIR,
        _cli.EXPERTS_DIR,
        _cli.DEVICES,
        needs_config=False,
    )
