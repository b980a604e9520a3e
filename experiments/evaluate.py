"""Trains fresh networks on distilled sets and prints their test accuracy.

    python -m experiments.evaluate --config=configs/digits_ipc1.py \\
        --distilled=runs/digits_ipc1-dpd/distilled.npz
    python -m experiments.evaluate --config=configs/digits_ipc1.py \\
        --distilled=runs/digits_ipc1-dpd/distilled.npz,runs/digits_ipc1-mtt/distilled.npz \\
        --networks=convnet,convnet_bn,mlp,alexnet --protocol=datm

With --networks the frozen sets are evaluated on each of these networks, beside as many random
real images, and results.json, table.md, table.csv and plot.png are written beside the first set,
in evaluation/, or into --workdir. With --scores the fair scores HLR, IOR, LRS and ARS of each set
are measured, and scores.md is written. The same command continues an interrupted evaluation, and
several processes of it share the networks; --devices=all starts one a visible device.
"""

import json
import pathlib
from typing import Any

import numpy as np
from absl import flags

from dpd_jax.errors import UserError
from dpd_jax.judging import candidates, fair_scores, judge, sets, tables
from dpd_jax.judging.judge import Comparison
from dpd_jax.presets import protocols
from dpd_jax.runs import console, report
from dpd_jax.storage import atomic
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
    only_one = len(DISTILLED.value) == 1 and not (NETWORKS.value or WHOLE.value or SCORES.value)
    if only_one and _cli.DEVICES.value:
        raise UserError(
            "--devices shares networks whose accuracies are stored, and those of a single set are "
            "not. Add --networks=convnet, or --scores."
        )
    compared = judge.prepare(
        _cli.config(),
        DISTILLED.value,
        networks=NETWORKS.value or (),
        protocol=PROTOCOL.value,
        data_dir=_cli.DATA_DIR.value,
    )
    if only_one:
        numbers = [alone(compared)]
    else:
        folder = _cli.WORKDIR.value or pathlib.Path(DISTILLED.value[0]).parent / "evaluation"
        numbers = (scores if SCORES.value else across)(compared, folder.expanduser())
    if JSON.value:
        atomic.write_text(JSON.value, json.dumps(numbers, indent=1) + "\n")


def alone(compared: Comparison) -> dict[str, Any]:
    """Evaluates one set as its run did, and prints its accuracy."""
    experiment, dataset = compared.experiment, compared.dataset
    (path,), (made,) = DISTILLED.value, compared.sets.values()
    # The preprocessing of the file, which may not be that of the config.
    test = made.to_model_space(dataset.test_images)
    synthetic = SyntheticSet(made.images, made.label_logits, np.float32(made.step_size))
    result = report.score(experiment, synthetic, test, dataset.test_labels)
    runs = ", ".join(f"{100 * accuracy:.2f}" for accuracy in result.accuracies)
    own = candidates.of_set(path, made, experiment)
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


def across(compared: Comparison, folder: pathlib.Path) -> list[dict[str, Any]]:
    """Evaluates the sets on several networks, and writes and prints the table."""
    rows, text = judge.across(
        compared, folder, _cli.cache_dir(), whole=WHOLE.value, share_out=_cli.share_out
    )
    console.result(text.rstrip())
    console.say(f"{folder / 'table.md'}, table.csv, plot.png, results.json")
    return [tables.record(row) for row in rows]


def scores(compared: Comparison, folder: pathlib.Path) -> list[dict[str, Any]]:
    """Scores the sets on several networks, and writes and prints the table."""
    found, text = judge.scores(compared, folder, _cli.cache_dir(), share_out=_cli.share_out)
    console.result(text.rstrip())
    console.say(f"{folder / 'scores.md'}, results.json")
    return [fair_scores.record(each) for each in found]


if __name__ == "__main__":
    _cli.run(main, _cli.DATA_DIR, _cli.WORKDIR, _cli.DEVICES)
