"""The pictures of a run: images.png, curves.png and pruning.png."""

from typing import Any

import numpy as np

from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.initialization import Initial
from dpd_jax.runs.run_data import RunData
from dpd_jax.runs.workdir import Workdir
from dpd_jax.synthetic import SyntheticSet


def of_set(
    experiment: Experiment,
    data: RunData,
    workdir: Workdir,
    initial: Initial,
    result: SyntheticSet,
    steps: int,
    caption: str,
) -> None:
    """Draws the set after so many steps beside the real images it started from."""
    from dpd_jax.plots import image_grid  # Matplotlib takes a second to import.

    real = initial.real
    image_grid.save(
        workdir.path / "images.png",
        data.preprocessing,
        np.asarray(result.images),
        None if real is None or not steps else data.train[real],
        data.dataset.class_names,
        title=experiment.title,
        caption=caption,
    )


def of_metrics(experiment: Experiment, workdir: Workdir) -> None:
    """Draws the curves, and the map of pruned weights if there are any, of the logged steps."""
    from dpd_jax.plots import pruning_map, run_curves

    lines, parameters = workdir.metrics(), experiment.network.parameters
    found: dict[str, Any] = workdir.noted("experts") or {"seconds": 0.0}
    run_curves.save(
        workdir.path / "curves.png",
        lines,
        parameters,
        title=experiment.title,
        expert_seconds=found["seconds"],
    )
    pruning_map.save(workdir.path / "pruning.png", lines, parameters, title=experiment.title)
