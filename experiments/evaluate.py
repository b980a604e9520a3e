"""Trains fresh networks on distilled sets and prints their test accuracy.

    python -m experiments.evaluate --config=configs/digits_ipc1.py \\
        --distilled=runs/digits_ipc1-dpd/distilled.npz
    python -m experiments.evaluate --config=configs/digits_ipc1.py \\
        --distilled=runs/digits_ipc1-dpd/distilled.npz,runs/digits_ipc1-mtt/distilled.npz \\
        --networks=convnet,convnet_bn,mlp,alexnet --protocol=datm

With --networks the frozen sets are evaluated on each of these networks, beside as many random
real images, and results.json, table.md, table.csv and plot.png are written beside the first set,
in evaluation/, or into --workdir. With --scores the fair scores HLR, IOR, LRS and ARS of each set
are measured, and scores.md is written. The same command continues an interrupted evaluation.
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import flags

from dpd_jax import networks
from dpd_jax.datasets.loading import Dataset
from dpd_jax.errors import UserError
from dpd_jax.judging import candidates, cross_architecture, fair_scores, sets, tables
from dpd_jax.judging.jobs import Bench
from dpd_jax.judging.results import Results
from dpd_jax.presets import protocols
from dpd_jax.runs import console, report, run_data
from dpd_jax.runs.experiment import Experiment
from dpd_jax.storage import atomic, locks
from dpd_jax.storage.distilled_set import DistilledSet
from dpd_jax.synthetic import SyntheticSet

from . import _cli

DISTILLED = flags.DEFINE_list(
    "distilled", None, "The distilled.npz to evaluate; several files make one table."
)
NETWORKS = flags.DEFINE_list(
    "networks",
    None,
    "Networks to train, e.g. convnet,resnet18,vgg11,alexnet; convnet is the config's own network. "
    "package.module:function names a network of your own.",
)
PROTOCOL = flags.DEFINE_string(
    "protocol",
    None,
    f"How they are trained: {', '.join(protocols.PROTOCOLS)} (default: as the config).",
)
WHOLE = flags.DEFINE_bool("whole", False, "Train on the whole training set too; it is cached.")
SCORES = flags.DEFINE_bool(
    "scores", False, "Measure HLR, IOR, LRS and ARS, on --networks or the config's network."
)
JSON = _cli.define_path("json", None, "Also write all numbers, with their settings, to a file.")


def main() -> None:
    if not DISTILLED.value:
        raise UserError("no --distilled given: name a distilled.npz that a run has written.")
    config = _cli.config()
    if PROTOCOL.value:
        config = protocols.apply(config, PROTOCOL.value)
    experiment = Experiment.from_config(config)
    paths = [pathlib.Path(path).expanduser() for path in DISTILLED.value]
    made = sets.read(paths, config)
    judges = {
        name: networks.create(
            image_shape=experiment.network.image_shape,
            num_classes=config.num_classes,
            **config.network.to_dict() | {"name": name},
        )
        for name in NETWORKS.value or (config.network.name,)
    }
    dataset = run_data.read(config, _cli.DATA_DIR.value)
    for name, each in made.items():
        if remark := sets.check_data(name, each, dataset):
            console.say(f"note: {remark}")
    if len(made) == 1 and not (NETWORKS.value or WHOLE.value or SCORES.value):
        numbers = [alone(experiment, *paths, *made.values(), dataset)]
    else:
        folder = _cli.WORKDIR.value or paths[0].parent / "evaluation"
        cache = _cli.cache_dir() / "judging"
        with locks.alone(folder, "--workdir"):
            bench = Bench(experiment, dataset, Results(folder / "results.json"), cache)
            numbers = (scores if SCORES.value else across)(bench, made, judges, folder)
    if JSON.value:
        atomic.write_text(JSON.value, json.dumps(numbers, indent=1) + "\n")


def alone(
    experiment: Experiment, path: pathlib.Path, made: DistilledSet, dataset: Dataset
) -> dict[str, Any]:
    """Evaluates one set as its run did, and prints its accuracy."""
    # The preprocessing of the file, which may not be that of the config.
    test = made.to_model_space(dataset.test_images)
    synthetic = SyntheticSet(made.images, made.label_logits, np.float32(made.step_size))
    result = report.score(experiment, synthetic, test, dataset.test_labels)
    runs = ", ".join(f"{100 * accuracy:.2f}" for accuracy in result.accuracies)
    own = candidates.of_set(str(path), made, experiment)
    text = (
        f"{path}: test accuracy {result}\n  runs: {runs}\n"
        f"  {tables.caption(experiment, PROTOCOL.value)} Learning rate {own.learning_rate:.4g}, "
        f"{own.label_kind} labels, preprocessing {own.space.name}."
    )
    if stored := sets.stored_accuracy(made, experiment.config):
        text += f"\n  {stored}"
    console.result(text)
    return {
        "trained_on": own.name,
        **report.numbers(result),
        "learning_rate": own.learning_rate,
        "labels": own.label_kind,
        "preprocessing": own.space.name,
        "evaluate": experiment.config.evaluate.to_dict(),
        "augment": experiment.config.augment.to_dict(),
    }


def across(
    bench: Bench,
    made: Mapping[str, DistilledSet],
    judges: Mapping[str, networks.Network],
    folder: pathlib.Path,
) -> list[dict[str, Any]]:
    """Evaluates the sets on several networks, and writes and prints the table."""
    compared = cross_architecture.compared(made, bench, whole=WHOLE.value)
    rows = cross_architecture.judge(compared, judges, bench)
    caption = tables.caption(bench.experiment, PROTOCOL.value)
    title = f"{bench.experiment.data_name}: test accuracy"
    console.result(cross_architecture.save(folder, rows, caption, title).rstrip())
    console.say(f"{folder / 'table.md'}, table.csv, plot.png, results.json")
    return [tables.record(row) for row in rows]


def scores(
    bench: Bench,
    made: Mapping[str, DistilledSet],
    judges: Mapping[str, networks.Network],
    folder: pathlib.Path,
) -> list[dict[str, Any]]:
    """Scores the sets on several networks, and writes and prints the table."""
    found = fair_scores.score(made, judges, bench)
    caption = tables.caption(bench.experiment, PROTOCOL.value)
    text = fair_scores.markdown(found, f"{caption} {fair_scores.caption(bench)}")
    atomic.write_text(folder / "scores.md", text)
    console.result(text.rstrip())
    console.say(f"{folder / 'scores.md'}, results.json")
    return [fair_scores.record(each) for each in found]


if __name__ == "__main__":
    _cli.run(main, _cli.DATA_DIR, _cli.WORKDIR)
