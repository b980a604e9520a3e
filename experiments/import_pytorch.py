"""Makes a store of experts, or a distilled set, of files that the PyTorch programs wrote.

    python -m experiments.import_pytorch --config=configs/cifar10_ipc1.py:mtt \\
        --buffers='buffers/CIFAR10/ConvNet/replay_buffer_*.pt' --experts_dir=imported
    python -m experiments.import_pytorch --config=configs/cifar10_ipc10.py:datm \\
        --images=images_best.pt --labels=labels_best.pt --lr=lr_best.pt --out=datm.npz --evaluate

The config says what the files are for: data set, preprocessing and network. Imported experts are
used with --config.experts.imported=True and are never mixed with own ones. A set without --labels
has hard ones, in the order of the classes; without --lr its learning rate is
synthetic.step_size. --evaluate trains fresh networks on the set, as the config says, and prints
their test accuracy. Needs PyTorch: pip install -e '.[torch]'.
"""

import hashlib
import json

from absl import flags

from dpd_jax.errors import UserError
from dpd_jax.interchange import pytorch_experts, pytorch_sets
from dpd_jax.runs import console, expert_training, report, run_data
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.workdir import versions
from dpd_jax.storage import distilled_set, locks
from dpd_jax.storage.trajectories import TrajectoryStore, spans

from . import _cli

BUFFERS = _cli.define_path(
    "buffers", None, "Files of experts, a name with * or ?, e.g. 'replay_buffer_*.pt'."
)
IMAGES = _cli.define_path("images", None, "The images of a distilled set, images_best.pt.")
LABELS = _cli.define_path("labels", None, "Its labels, labels_best.pt: classes or logits.")
LR = _cli.define_path("lr", None, "Its learning rate, lr_best.pt.")
OUT = _cli.define_path("out", None, "The distilled set to write, FILE.npz.")
EVALUATE = flags.DEFINE_bool("evaluate", False, "Evaluate the distilled set.")


def main() -> None:
    experiment = Experiment.from_config(_cli.config())
    if BUFFERS.value and not IMAGES.value:
        import_experts(experiment)
    elif IMAGES.value and not BUFFERS.value:
        import_set(experiment)
    else:
        raise UserError(
            "give either --buffers='replay_buffer_*.pt' with --experts_dir, for experts, or "
            "--images=images_best.pt with --out, for a distilled set."
        )


def import_experts(experiment: Experiment) -> None:
    """Copies the experts of --buffers into the store --experts_dir."""
    if not flags.FLAGS["experts_dir"].present:
        raise UserError("no --experts_dir given: name a folder for the imported experts.")
    store = TrajectoryStore(
        _cli.EXPERTS_DIR.value,
        expert_training.imported_provenance(experiment),
        experiment.config.experts.storage,
    )
    paths = pytorch_experts.find(BUFFERS.value)
    count = pytorch_experts.check(paths, experiment.network)
    with locks.in_turn(store.directory, "--experts_dir", "importing experts", console.note):
        with console.Bar("import", count, unit=" experts") as bar:
            epochs = pytorch_experts.copy(paths, experiment.network, store, bar.to)
    shared = set.intersection(*map(set, epochs.values()))
    lines = [
        f"{len(epochs)} experts, epochs {spans(shared)}, of {len(paths)} file(s) in "
        f"{store.directory}",
        f"Use them with --experts_dir={_cli.EXPERTS_DIR.value} --config.experts.imported=True "
        f"--config.experts.num_experts={len(epochs)}.",
    ]
    if lacking := set(experiment.epochs_read) - shared:
        lines.append(
            f"This config also reads the epochs {spans(lacking)}, which they lack: lower "
            "curriculum.max_start_epoch, expert_epochs or synthetic.label_epoch."
        )
    console.result("\n".join(lines))


def import_set(experiment: Experiment) -> None:
    """Writes the set of --images to --out, and evaluates it if asked."""
    if not OUT.value:
        raise UserError("no --out given: name the file of the distilled set, e.g. --out=datm.npz.")
    config, out = experiment.config, OUT.value
    given = {flag.name: flag.value for flag in (IMAGES, LABELS, LR)}
    synthetic, classes = pytorch_sets.read(
        **given,
        image_shape=tuple(config.image_shape),
        num_classes=config.num_classes,
        step_size=config.synthetic.step_size,
    )
    data = run_data.load(config, _cli.DATA_DIR.value, _cli.cache_dir())
    stored = json.loads(config.to_json_best_effort())
    read = ("image_shape", "num_classes", "seed", "data", "network", "augment", "evaluate")
    provenance = {
        "imported": {
            name: {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            for name, path in given.items()
            if path
        },
        "config": {name: stored[name] for name in read},  # The rest did not make this set.
        "versions": versions(),
        "accuracy": None,
        "training_data": data.fingerprint,
    }
    names = data.dataset.class_names

    def write() -> None:
        made = distilled_set.make(synthetic, classes, data.preprocessing, names, provenance)
        distilled_set.write(out, made)

    write()
    text = (
        f"{out}: {len(classes)} images, {config.num_classes} classes, learning rate "
        f"{float(synthetic.step_size):.4g}"
    )
    if EVALUATE.value:
        result = report.score(experiment, synthetic, data.test, data.dataset.test_labels)
        provenance["accuracy"] = report.numbers(result)
        write()
        text += f"\ntest accuracy {result}"
    console.result(text)


if __name__ == "__main__":
    _cli.run(main, _cli.DATA_DIR, _cli.EXPERTS_DIR)
