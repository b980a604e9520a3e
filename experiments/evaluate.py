"""Trains fresh networks on a distilled set and prints their test accuracy.

    python -m experiments.evaluate --config=configs/digits_ipc1.py \\
        --distilled=runs/digits_ipc1-dpd/distilled.npz
    python -m experiments.evaluate --config=configs/digits_ipc1.py \\
        --distilled=runs/digits_ipc1-dpd/distilled.npz \\
        --networks=convnet,convnet_bn,mlp,alexnet --protocol=datm

With --networks the frozen set is evaluated on each of these networks, beside as many random
real images, and results.json, table.md, table.csv and plot.png are written beside the set, in
evaluation/, or into --workdir. The same command continues an interrupted evaluation.
"""

import hashlib
import pathlib
from typing import Any

import jax
import numpy as np
from absl import flags

from dpd_jax import networks
from dpd_jax.datasets import loading
from dpd_jax.datasets.loading import Dataset
from dpd_jax.errors import UserError
from dpd_jax.judging import cross_architecture
from dpd_jax.presets import protocols
from dpd_jax.runs import console, keys, report, run_data
from dpd_jax.runs.experiment import Experiment
from dpd_jax.storage import atomic, distilled_set, locks
from dpd_jax.storage.distilled_set import DistilledSet
from dpd_jax.synthetic import SyntheticSet
from experiments import _cli

DISTILLED = flags.DEFINE_string("distilled", None, "The distilled.npz to evaluate.")
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
WHOLE = flags.DEFINE_bool("whole", False, "With --networks: train on the whole training set too.")


def main() -> None:
    if DISTILLED.value is None:
        raise UserError("no --distilled given: name a distilled.npz that a run has written.")
    config = _cli.config()
    if PROTOCOL.value:
        config = protocols.apply(config, PROTOCOL.value)
    experiment = Experiment.from_config(config)
    path = pathlib.Path(DISTILLED.value).expanduser()
    made = distilled_set.read(path)
    shape, classes = made.images.shape[1:], made.label_logits.shape[1]
    if (shape, classes) != (tuple(config.image_shape), config.num_classes):
        raise UserError(
            f"{path} holds images of shape {shape} for {classes} classes, but the config is for "
            f"{tuple(config.image_shape)} and {config.num_classes}. Give the config that the set "
            "was made with."
        )
    judges = {}
    for name in NETWORKS.value or ():
        own = name == config.network.name
        judges[name] = (
            experiment.network
            if own
            else networks.create(
                image_shape=shape, num_classes=classes, **config.network.to_dict() | {"name": name}
            )
        )
    dataset = run_data.read(config, _cli.DATA_DIR.value)
    if judges:
        across(experiment, made, dataset, judges, path)
        return
    # The preprocessing of the file, which may not be that of the config.
    test = made.to_model_space(dataset.test_images)
    synthetic = SyntheticSet(made.images, made.label_logits, np.float32(made.step_size))
    result = report.score(experiment, synthetic, test, dataset.test_labels)
    runs = ", ".join(f"{100 * accuracy:.2f}" for accuracy in result.accuracies)
    text = f"{path}: test accuracy {result}\n  runs: {runs}"
    console.result(text + stored(made.provenance))


def across(
    experiment: Experiment,
    made: DistilledSet,
    dataset: Dataset,
    judges: dict[str, networks.Network],
    path: pathlib.Path,
) -> None:
    """Evaluates a set on several networks, and writes and prints the table."""
    config = experiment.config
    folder = pathlib.Path(_cli.WORKDIR.value or path.parent / "evaluation").expanduser()
    with locks.alone(folder, "--workdir"):
        results = cross_architecture.Results(folder / "results.json")
        rows = cross_architecture.judge(
            cross_architecture.candidates(
                made, dataset, path.parent.name or path.stem, experiment, whole=WHOLE.value
            ),
            judges,
            experiment.protocol,
            experiment.augmentation,
            (made.to_model_space(dataset.test_images), dataset.test_labels),
            results,
            described={
                "data": loading.fingerprint(dataset),
                "preprocessing": hashlib.sha256(
                    made.mean.tobytes() + made.matrix.tobytes()
                ).hexdigest()[:16],
                "test_images": len(dataset.test_labels),
                "seed": config.seed,
            },
            root=jax.random.fold_in(jax.random.key(config.seed), keys.EVALUATION),
            num_networks=config.evaluate.num_networks,
            test_batch=config.evaluate.test_batch,
        )
        text = cross_architecture.markdown(rows, caption(experiment))
        atomic.write_text(folder / "table.md", text)
        atomic.write_text(folder / "table.csv", cross_architecture.csv_lines(rows))
        from dpd_jax.plots import bars  # Matplotlib takes a second to import.

        bars.save(folder / "plot.png", rows, title=f"{experiment.data_name}: test accuracy")
    console.result(text.rstrip())
    console.say(f"{folder / 'table.md'}, table.csv, plot.png, results.json")


def caption(experiment: Experiment) -> str:
    """How the networks were trained, in one line."""
    protocol, families = experiment.protocol, experiment.augmentation.families
    name = f"protocol {PROTOCOL.value}: " if PROTOCOL.value else ""
    return (
        f"{experiment.data_name}, test accuracy in %, last epoch, mean ± std (networks); {name}"
        f"{protocol.epochs} epochs, batch {protocol.batch_size}, learning rate x "
        f"{protocol.decay_factor:g} from epoch {protocol.decay_epoch}, augmentation "
        f"{'+'.join(families) or 'none'}, preprocessing of the set."
    )


def stored(provenance: dict[str, Any]) -> str:
    """A line with the accuracy that the file of a set states; "" if it states none."""
    accuracy = provenance.get("accuracy")
    if accuracy is None:
        return ""
    mean, std, count = 100 * accuracy["mean"], 100 * accuracy["std"], len(accuracy["runs"])
    return f"\n  stored when it was made: {mean:.2f} ± {std:.2f} % ({count} networks)"


if __name__ == "__main__":
    _cli.run(main, _cli.DATA_DIR, _cli.WORKDIR)
