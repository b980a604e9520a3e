"""The end of a run: its accuracy, the baseline, and the files with the result."""

import json
import time

import jax
import numpy as np
from ml_collections import ConfigDict

from dpd_jax import evaluate, synthetic
from dpd_jax.distill import DistillState
from dpd_jax.errors import UserError
from dpd_jax.evaluate import Evaluation
from dpd_jax.runs import console, identity, keys
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.initialization import Initial
from dpd_jax.runs.run_data import RunData
from dpd_jax.runs.workdir import Workdir, peak_memory_bytes, versions, write_json
from dpd_jax.storage import distilled_set
from dpd_jax.synthetic import SyntheticSet


def finished(workdir: Workdir, config: ConfigDict) -> bool:
    """Whether the files of this evaluation are there, after as many iterations or more.

    A run that was extended is finished for the command that began it, too.
    """
    report = load(workdir)
    if report is None or report["steps"] < config.distill.iterations:
        return False
    if not all((workdir.path / name).is_file() for name in ("distilled.npz", "images.png")):
        return False
    iterations = {"distill": {"iterations": config.distill.iterations}}
    stored = iterations | {"evaluate": report["asked"]["evaluate"]}
    return identity.of_evaluation(stored) == identity.of_evaluation(config)


def complete(workdir: Workdir, config: ConfigDict) -> bool:
    """Whether the run is finished and its set is as it was written; reads the whole set."""
    if not finished(workdir, config):
        return False
    try:
        distilled_set.read(workdir.path / "distilled.npz")
    except UserError as error:
        console.say(f"the set is made again, because {error}")
        return False
    return True


def distilled(workdir: Workdir, config: ConfigDict) -> bool:
    """Whether distilled.npz is there, and is the set after so many iterations; reads it."""
    try:
        made = distilled_set.read(workdir.path / "distilled.npz").provenance["config"]
    except UserError:  # Missing, or damaged: the run writes it again.
        return False
    asked = config.distill.iterations
    # A run that the guard stopped leaves its last good set.
    return made["distill"]["iterations"] == asked == (workdir.checkpoints.latest() or 0)


def finish(
    experiment: Experiment,
    data: RunData,
    workdir: Workdir,
    initial: Initial,
    state: DistillState,
    seconds: dict[str, float],
) -> None:
    """Evaluates the set and the baseline, and writes distilled.npz, images.png, report.json.

    The run began with `initial`; `seconds` are those of its earlier parts.
    """
    from dpd_jax.plots import image_grid  # Matplotlib takes a second to import.

    config = experiment.config
    result = state.average
    save(experiment, data, workdir, initial, result)
    start = time.monotonic()
    learned = score(experiment, result, data.test, data.dataset.test_labels)
    baseline = random_real(experiment, data, float(result.step_size))
    seconds = seconds | {"evaluate": time.monotonic() - start}

    accuracy = numbers(learned)
    save(experiment, data, workdir, initial, result, accuracy)
    steps, real = int(state.step), initial.real
    image_grid.save(
        workdir.path / "images.png",
        data.preprocessing,
        np.asarray(result.images),
        None if real is None or not steps else data.train[real],
        data.dataset.class_names,
        title=experiment.title,
        caption=f"test accuracy {_percent(learned)}; as many random real images "
        f"{_percent(baseline)}",
    )
    write_json(
        workdir.path / "report.json",
        {
            "method": config.method,
            "dataset": config.data.name,
            "ipc": config.ipc,
            "seed": config.seed,
            "reduced": config.reduced,
            "accuracy": accuracy,
            "random_real": numbers(baseline),
            "seconds": {name: round(value, 1) for name, value in seconds.items()},
            "peak_memory_bytes": peak_memory_bytes(),
            "step_size": float(result.step_size),
            "network": config.network.to_dict(),
            "student": config.student.to_dict(),
            "init": initial.origin,
            "experts": len(experiment.experts_read),
            "steps": steps,
            "backend": str(jax.devices()[0]),
            "versions": versions(),
            "asked": _asked(config),
        },
    )


def save(
    experiment: Experiment,
    data: RunData,
    workdir: Workdir,
    initial: Initial,
    result: SyntheticSet,
    accuracy: dict | None = None,
) -> None:
    """Writes distilled.npz; `accuracy` is None before the evaluation."""
    config = experiment.config
    provenance = {
        "config": json.loads(config.to_json_best_effort()),
        "versions": versions(),
        "init": initial.origin,
        "accuracy": accuracy,
        "training_data": data.fingerprint,
    }
    chosen = synthetic.classes(config.num_classes, config.ipc)
    made = distilled_set.make(
        result, chosen, data.preprocessing, data.dataset.class_names, provenance
    )
    distilled_set.write(workdir.path / "distilled.npz", made)


def score(
    experiment: Experiment, result: SyntheticSet, test: np.ndarray, labels: np.ndarray
) -> Evaluation:
    """Accuracy of fresh networks trained on a set, on test images [m, h, w, c] with labels [m].

    Raises UserError as `evaluate.evaluate`.
    """
    config = experiment.config.evaluate
    key = jax.random.fold_in(jax.random.key(experiment.config.seed), keys.EVALUATION)
    with console.Bar("evaluate", 1.0) as bar:
        return _evaluate(
            experiment,
            result.images,
            result.labels,
            config.learning_rate or float(result.step_size),
            test,
            labels,
            key,
            num_networks=config.num_networks,
            at_once=config.at_once,
            progress=lambda share, text: bar.to(share, now=text),
        )


def random_real(experiment: Experiment, data: RunData, step_size: float) -> Evaluation:
    """The baseline: the same protocol on as many random real images, new ones per network.

    Labels are hard. The learning rate is that of the distilled set unless the config sets
    `evaluate.random_real_learning_rate`.
    """
    config = experiment.config
    root = jax.random.fold_in(jax.random.key(config.seed), keys.RANDOM_REAL)
    rate = config.evaluate.random_real_learning_rate or config.evaluate.learning_rate or step_size
    counts = config.num_classes, config.ipc
    labels = synthetic.hard_labels(synthetic.classes(*counts), config.num_classes)
    evaluations = []
    with console.Bar("random real", config.evaluate.num_networks, unit=" networks") as bar:
        for network in range(config.evaluate.num_networks):
            image_key, key = jax.random.split(jax.random.fold_in(root, network))
            real = synthetic.real_indices(image_key, data.dataset.train_labels, *counts)
            evaluation = _evaluate(
                experiment,
                data.train[real],
                labels,
                rate,
                data.test,
                data.dataset.test_labels,
                key,
                num_networks=1,
                at_once=1,
                progress=lambda share, text, n=network: bar.to(n + share),
            )
            evaluations.append(evaluation)
    return Evaluation(*(np.concatenate(parts) for parts in zip(*evaluations, strict=True)))


def _evaluate(experiment: Experiment, *arrays, **options) -> Evaluation:
    return evaluate.evaluate(
        experiment.network,
        experiment.protocol,
        experiment.augmentation,
        *arrays,
        test_batch=experiment.config.evaluate.test_batch,
        **options,
    )


def summary(workdir: Workdir) -> str:
    """The report in a few lines; raises UserError if there is none."""
    if (report := load(workdir)) is None:
        raise UserError(f"{workdir.path} has no report.json: the run is not finished.")
    ours, base = report["accuracy"], report["random_real"]
    seconds = report["seconds"]
    return "\n".join(
        [
            f"{report['method']} on {report['dataset']}, {report['ipc']} image(s) per class, seed "
            f"{report['seed']}, {report['steps']:,} steps:",
            f"  test accuracy        {100 * ours['mean']:6.2f} ± {100 * ours['std']:.2f} %   "
            f"({len(ours['runs'])} fresh networks, last epoch)",
            f"  random real images   {100 * base['mean']:6.2f} ± {100 * base['std']:.2f} %   "
            "(as many, same protocol)",
            f"  seconds              experts {seconds['experts']:.0f}, distil "
            f"{seconds['distill']:.0f}, evaluate {seconds['evaluate']:.0f}",
            f"  peak memory          {report['peak_memory_bytes'] / 2**20:.0f} MiB",
            f"  files                {workdir.path / 'distilled.npz'}, images.png, report.json",
        ]
    )


def load(workdir: Workdir) -> dict | None:
    """The contents of report.json, or None if it is missing or damaged."""
    try:
        return json.loads((workdir.path / "report.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _asked(config: ConfigDict) -> dict:
    return {
        "iterations": config.distill.iterations,
        "evaluate": {
            name: value
            for name, value in config.evaluate.items()
            if f"evaluate.{name}" in identity.of_evaluation(config)
        },
    }


def numbers(evaluation: Evaluation) -> dict:
    """An evaluation for a JSON file."""
    tested = (evaluation.best > evaluation.accuracies).any()
    return {
        "mean": evaluation.mean,
        "std": evaluation.std,
        "runs": [float(a) for a in evaluation.accuracies],
        "diverged": int(evaluation.diverged.sum()),
    } | ({"best_on_test": evaluation.best.tolist()} if tested else {})


def _percent(evaluation: Evaluation) -> str:
    return f"{100 * evaluation.mean:.1f} ± {100 * evaluation.std:.1f} %"
