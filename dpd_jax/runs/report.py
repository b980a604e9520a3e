"""The end of a run: accuracy, baseline, the files people look at."""

import json
import pathlib
import time

import jax
import numpy as np
from ml_collections import ConfigDict

from dpd_jax import evaluate, synthetic
from dpd_jax.distill import DistillState
from dpd_jax.evaluate import Evaluation
from dpd_jax.runs import console, identity, keys
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.initialization import Start
from dpd_jax.runs.run_data import RunData
from dpd_jax.runs.workdir import Workdir, peak_memory_bytes, versions, write_json
from dpd_jax.storage import distilled_set
from dpd_jax.synthetic import SyntheticSet


def finished(workdir: Workdir, config: ConfigDict) -> bool:
    """Whether the report of exactly this evaluation of this many iterations is there."""
    report = load(workdir)
    if report is None:
        return False
    asked = report["asked"]
    stored = {"distill": {"iterations": asked["iterations"]}, "evaluate": asked["evaluate"]}
    return identity.of_evaluation(stored) == identity.of_evaluation(config)


def finish(
    experiment: Experiment,
    data: RunData,
    workdir: Workdir,
    first: Start,
    state: DistillState,
    seconds: dict[str, float],
) -> None:
    """Evaluates the set and the baseline, and writes distilled.npz, images.png, report.json."""
    from dpd_jax.plots import (
        image_grid,  # A second to load, which not every mistake should wait for.
    )

    config = experiment.config
    result = state.average
    save(experiment, data, workdir, result, accuracy=None)
    began = time.monotonic()
    learned = score(experiment, result, data.test, data.dataset.test_labels, "evaluate")
    baseline = random_real(experiment, data, float(result.step_size))
    seconds = seconds | {"evaluate": time.monotonic() - began}

    accuracy = _numbers(learned)
    save(experiment, data, workdir, result, accuracy=accuracy)
    image_grid.save(
        workdir.path / "images.png",
        data.preprocessing,
        np.asarray(result.images),
        None if first.real is None else data.train[first.real],
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
            "random_real": _numbers(baseline),
            "seconds": {name: round(value, 1) for name, value in seconds.items()},
            "peak_memory_bytes": peak_memory_bytes(),
            "step_size": float(result.step_size),
            "network": config.network.to_dict(),
            "experts": config.experts.num_experts,
            "steps": int(state.step),
            "backend": str(jax.devices()[0]),
            "versions": versions(),
            "asked": _asked(config),
        },
    )


def save(
    experiment: Experiment,
    data: RunData,
    workdir: Workdir,
    result: SyntheticSet,
    accuracy: dict | None,
) -> None:
    """Writes distilled.npz, with the accuracy if it is known."""
    config = experiment.config
    provenance = {
        "config": json.loads(config.to_json_best_effort()),
        "versions": versions(),
        "accuracy": accuracy,
        "training_data": data.fingerprint,
    }
    chosen = synthetic.classes(config.num_classes, config.ipc)
    made = distilled_set.make(
        result, chosen, data.preprocessing, data.dataset.class_names, provenance
    )
    distilled_set.write(workdir.path / "distilled.npz", made)


def score(
    experiment: Experiment, result: SyntheticSet, test: np.ndarray, labels: np.ndarray, text: str
) -> Evaluation:
    """Accuracy of fresh networks trained on a set, at the last epoch, on the test images."""
    config = experiment.config.evaluate
    with console.bar(text, 1.0) as bar:
        return evaluate.evaluate(
            experiment.network,
            experiment.protocol,
            experiment.augmentation,
            result.images,
            result.labels,
            config.learning_rate or float(result.step_size),
            test,
            labels,
            jax.random.fold_in(jax.random.key(experiment.config.seed), keys.EVALUATION),
            num_networks=config.num_networks,
            at_once=config.at_once,
            test_batch=config.test_batch,
            progress=lambda share, words: bar.to(share, now=words),
        )


def random_real(experiment: Experiment, data: RunData, step_size: float) -> Evaluation:
    """The same protocol on as many random real images, drawn anew for each network.

    Labels are hard; the learning rate is that of the distilled set unless
    `evaluate.random_real_learning_rate` gives one.
    """
    config = experiment.config
    root = jax.random.fold_in(jax.random.key(config.seed), keys.RANDOM_REAL)
    rate = config.evaluate.random_real_learning_rate or config.evaluate.learning_rate or step_size
    labels = data.dataset.train_labels
    chosen = synthetic.classes(config.num_classes, config.ipc)
    runs = []
    with console.bar("random real", config.evaluate.num_networks, unit=" networks") as bar:
        for network in range(config.evaluate.num_networks):
            draw_key, train_key = jax.random.split(jax.random.fold_in(root, network))
            real = synthetic.real_indices(draw_key, labels, config.num_classes, config.ipc)
            runs.append(
                evaluate.evaluate(
                    experiment.network,
                    experiment.protocol,
                    experiment.augmentation,
                    data.train[real],
                    synthetic.hard_labels(chosen, config.num_classes),
                    rate,
                    data.test,
                    data.dataset.test_labels,
                    train_key,
                    num_networks=1,
                    at_once=1,
                    test_batch=config.evaluate.test_batch,
                    progress=lambda share, words, n=network: bar.to(n + share),
                )
            )
    return Evaluation(*(np.concatenate(parts) for parts in zip(*runs, strict=True)))


def summary(workdir: Workdir) -> str:
    """A few lines a person can quote."""
    report = load(workdir)
    ours, base = report["accuracy"], report["random_real"]
    seconds = report["seconds"]
    return "\n".join(
        [
            f"{report['method']} on {report['dataset']}, {report['ipc']} image(s) per class, seed "
            f"{report['seed']}:",
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
    """report.json, or None where there is none to be read."""
    path = pathlib.Path(workdir.path / "report.json")
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
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


def _numbers(evaluation: Evaluation) -> dict:
    return {
        "mean": evaluation.mean,
        "std": evaluation.std,
        "runs": [float(a) for a in evaluation.accuracies],
        "diverged": int(evaluation.diverged.sum()),
    }


def _percent(evaluation: Evaluation) -> str:
    return f"{100 * evaluation.mean:.1f} ± {100 * evaluation.std:.1f} %"
