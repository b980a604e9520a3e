"""The end of a run: its accuracy, the baseline, and the files with the result."""

import collections
import json
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from dpd_jax import evaluate, guard, synthetic
from dpd_jax.distill import DistillState
from dpd_jax.errors import UserError
from dpd_jax.evaluate import Evaluation
from dpd_jax.runs import console, html_report, identity, keys, pictures
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
    report = load(workdir)
    if report is None or not finished(workdir, config):
        return False
    try:
        made = distilled_set.read(workdir.path / "distilled.npz")
    except UserError as error:
        console.say(f"the set is made again, because {error}")
        return False
    # The set may be that of a checkpoint of a longer run, which was stopped.
    return made.provenance.get("steps", report["steps"]) == report["steps"]


def distilled(workdir: Workdir, config: ConfigDict) -> bool:
    """Whether distilled.npz is there, and is the set after so many iterations; reads it."""
    try:
        provenance = distilled_set.read(workdir.path / "distilled.npz").provenance
    except UserError:  # Missing, or damaged: the run writes it again.
        return False
    asked, steps = config.distill.iterations, provenance.get("steps", workdir.checkpoints.latest())
    # A run that the guard stopped leaves its last good set.
    return provenance["config"]["distill"]["iterations"] == asked == (steps or 0)


def finish(
    experiment: Experiment,
    data: RunData,
    workdir: Workdir,
    initial: Initial,
    state: DistillState,
    seconds: dict[str, float],
) -> None:
    """Evaluates the set and the baseline; writes distilled.npz, the pictures and the reports.

    The run began with `initial`; `seconds` are those of its earlier parts.
    """
    config = experiment.config
    result, steps = state.average, int(state.step)
    save(experiment, data, workdir, initial, result, steps)
    pictures.of_metrics(experiment, workdir)
    start = time.monotonic()
    learned = score(experiment, result, data.test, data.dataset.test_labels)
    baseline = random_real(experiment, data, float(result.step_size))
    seconds = seconds | {"evaluate": time.monotonic() - start}

    accuracy = numbers(learned)
    save(experiment, data, workdir, initial, result, steps, accuracy)
    caption = f"test accuracy {_percent(learned)}; as many random real images {_percent(baseline)}"
    pictures.of_set(experiment, data, workdir, initial, result, steps, caption)
    metrics = workdir.metrics()
    if on_the_way := sum(line.get("validation_seconds", 0.0) for line in metrics):
        seconds |= {"validation": on_the_way}
    found = {
        "method": config.method,
        "dataset": config.data.name,
        "ipc": config.ipc,
        "seed": config.seed,
        "scale": config.scale,
        "accuracy": accuracy,
        "random_real": numbers(baseline),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "peak_memory_bytes": peak_memory_bytes(),
        "step_size": float(result.step_size),
        "network": config.network.to_dict(),
        "student": config.student.to_dict(),
        "init": initial.origin,
        "experts": len(experiment.experts_read),
        "expert_store": workdir.noted("experts") if experiment.experts_read else None,
        "steps": steps,
        **_undone(metrics),
        "backend": str(jax.devices()[0]),
        "versions": versions(),
        "asked": _asked(config),
    }
    text = _lines(found)
    title = f"{experiment.title}: {text['test accuracy'].strip()}"
    html_report.write(workdir, title, text, json.loads(config.to_json_best_effort()))
    write_json(workdir.path / "report.json", found)  # Last: it says that the run is finished.


def save(
    experiment: Experiment,
    data: RunData,
    workdir: Workdir,
    initial: Initial,
    result: SyntheticSet,
    steps: int,
    accuracy: dict | None = None,
) -> None:
    """Writes distilled.npz, after so many steps; `accuracy` is None before the evaluation."""
    config = experiment.config
    provenance = {
        "config": json.loads(config.to_json_best_effort()),
        "versions": versions(),
        "init": initial.origin,
        "steps": steps,
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


def validate(
    experiment: Experiment,
    result: SyntheticSet,
    data: RunData,
    progress: Callable[[float, str], None],
) -> Evaluation:
    """Accuracy on the validation images of networks that are trained on a set on the way.

    Their first weights and batches are the same for every set of a run.
    """
    config = experiment.config.evaluate
    root = jax.random.key(experiment.config.seed)
    return _evaluate(
        experiment,
        result.images,
        result.labels,
        config.learning_rate or float(result.step_size),
        data.validation,
        data.validation_labels,
        jax.random.fold_in(root, keys.ON_THE_WAY),
        num_networks=config.every_networks,
        at_once=min(config.at_once, config.every_networks),
        progress=progress,
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
    return "\n".join(
        [
            f"{report['method']} on {report['dataset']}, {report['ipc']} image(s) per class, seed "
            f"{report['seed']}, {report['steps']:,} steps:",
            *(f"  {name:<20} {value}" for name, value in _lines(report).items()),
            f"  {'files':<20} {workdir.path / 'distilled.npz'}, images.png, report.html, "
            "report.json",
        ]
    )


def _lines(report: dict) -> dict[str, str]:
    """What the summary says of a run, name -> text."""
    ours, base, seconds = report["accuracy"], report["random_real"], report["seconds"]
    spent = ", ".join(f"{name} {seconds[name]:.0f}" for name in seconds if name != "forecast")
    lines = {
        "test accuracy": f"{100 * ours['mean']:6.2f} ± {100 * ours['std']:.2f} %   "
        f"({len(ours['runs'])} fresh networks, last epoch)",
        "random real images": f"{100 * base['mean']:6.2f} ± {100 * base['std']:.2f} %   "
        "(as many, same protocol)",
        "seconds": spent,
        "peak memory": f"{report['peak_memory_bytes'] / 2**20:.0f} MiB",
    }
    if undone := report.get("undone_steps", 0):
        lines["steps undone"] = f"{undone:,}: {report['undone_cause']}"
    if guard.held_back(undone, report["steps"]):
        lines["steps undone"] += "; with so many of them, the set learned less than it could"
    if store := report.get("expert_store"):
        new, took = store["trained"], store["seconds"]
        came = "found there" if not new else "trained by this run"
        came = f"{new} of them trained by this run" if 0 < new < store["used"] else came
        training = "" if took is None else f"; their training took {took:.0f} s in all"
        lines["experts"] = f"{store['used']} in {store['directory']}, {came}{training}"
    return lines


def load(workdir: Workdir) -> dict | None:
    """The contents of report.json, or None if it is missing or damaged."""
    try:
        return json.loads((workdir.path / "report.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _undone(metrics: list[dict]) -> dict[str, Any]:
    """How many steps the guard undid, and the most frequent cause."""
    troubles = collections.Counter(int(line["trouble"]) for line in metrics if line.get("trouble"))
    cause = guard.explain(troubles.most_common(1)[0][0]) if troubles else ""
    return {"undone_steps": troubles.total(), "undone_cause": cause}


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
