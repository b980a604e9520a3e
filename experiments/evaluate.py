"""Trains fresh networks on a distilled set and prints their test accuracy.

    python -m experiments.evaluate --config=configs/digits_ipc1.py \\
        --distilled=runs/digits_ipc1-dpd/distilled.npz
"""

import pathlib
from typing import Any

import numpy as np
from absl import flags

from dpd_jax.errors import UserError
from dpd_jax.runs import console, report, run_data
from dpd_jax.runs.experiment import Experiment
from dpd_jax.storage import distilled_set
from dpd_jax.synthetic import SyntheticSet
from experiments import _cli

DISTILLED = flags.DEFINE_string("distilled", None, "The distilled.npz to evaluate.")


def main() -> None:
    if DISTILLED.value is None:
        raise UserError("no --distilled given: name a distilled.npz that a run has written.")
    config = _cli.CONFIG.value
    experiment = Experiment.from_config(config)
    made = distilled_set.read(pathlib.Path(DISTILLED.value))
    shape, classes = made.images.shape[1:], made.label_logits.shape[1]
    if (shape, classes) != (tuple(config.image_shape), config.num_classes):
        raise UserError(
            f"{DISTILLED.value} holds images of shape {shape} for {classes} classes, but the "
            f"config is for {tuple(config.image_shape)} and {config.num_classes}. Give the "
            "config that the set was made with."
        )
    loaded = run_data.read(config, _cli.DATA_DIR.value)
    # The preprocessing of the file, which may not be that of the config.
    test = made.to_model_space(loaded.test_images)
    synthetic = SyntheticSet(made.images, made.label_logits, np.float32(made.step_size))
    result = report.score(experiment, synthetic, test, loaded.test_labels)
    runs = ", ".join(f"{100 * accuracy:.2f}" for accuracy in result.accuracies)
    text = f"{DISTILLED.value}: test accuracy {result}\n  runs: {runs}"
    console.result(text + stored(made.provenance))


def stored(provenance: dict[str, Any]) -> str:
    """A line with the accuracy that the file of a set states; "" if it states none."""
    accuracy = provenance.get("accuracy")
    if accuracy is None:
        return ""
    mean, std, count = 100 * accuracy["mean"], 100 * accuracy["std"], len(accuracy["runs"])
    return f"\n  stored when it was made: {mean:.2f} ± {std:.2f} % ({count} networks)"


if __name__ == "__main__":
    _cli.run(main, _cli.DATA_DIR)
