"""Compares the gradient modes with the plain unroll, on the user's own config.

    python -m experiments.check_gradient --config=configs/digits_ipc1.py

Prints, for each mode and each part of the set, the cosine with the
unroll's gradient and the relative error |g - g'| / |g'|. "tesla" is no exact
gradient, and shows it (docs/tesla_gradient.md).

With --experts_dir segments are drawn from experts as in a run. Without, a fresh
network is the start, and what plain SGD on real images makes of it the target.
"""

import dataclasses
import pathlib
from typing import NamedTuple

import jax
import numpy as np
from absl import flags

from dpd_jax.runs import console, gradient_check, run_data
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.gradient_check import Material, function, gradients
from dpd_jax.synthetic import SyntheticSet
from experiments import _cli

MODES = flags.DEFINE_list("modes", ["exact", "nested", "tesla"], "Gradient modes to look at.")
REFERENCE = flags.DEFINE_string(
    "reference",
    "unroll",
    'What they are compared with; "exact" where the unroll takes too much memory, once it has '
    "been seen to be the same.",
)
TARGET_STEPS = flags.DEFINE_integer(
    "target_steps", 50, "SGD steps from start to target where there are no experts.", lower_bound=1
)


class Agreement(NamedTuple):
    """How two gradients of one variable compare.

    Attributes:
      cosine: of the angle between them; for a scalar its sign. NaN if one is zero.
      error: |other - reference| / |reference|; NaN if the reference is zero.
    """

    cosine: float
    error: float


def main() -> None:
    config = _cli.CONFIG.value
    experiment = Experiment.from_config(config)
    known = list(dict.fromkeys(MODES.value))
    for mode in [*known, REFERENCE.value]:
        dataclasses.replace(experiment.student, gradient=mode)  # Refuses an unknown one, by name.
    loaded = run_data.load(config, _cli.DATA_DIR.value, _cli.cache_dir())
    root, draws = jax.random.key(config.seed), gradient_check.DRAWS.value
    material = None
    if _cli.EXPERTS_DIR.value:
        directory = pathlib.Path(_cli.EXPERTS_DIR.value)
        material = gradient_check.with_experts(experiment, loaded, root, directory, draws)
    if material is None:
        steps = TARGET_STEPS.value
        material = gradient_check.without_experts(experiment, loaded, root, draws, steps)
    console.say(f"{config.data.name}, ipc {config.ipc}: {material.words}")
    check(experiment, material, root, known)


def check(experiment: Experiment, material: Material, root: jax.Array, modes: list[str]) -> None:
    """Prints the comparison at the config's own N and step size."""
    with console.note(f"gradient by {REFERENCE.value}"):
        reference = gradients(function(experiment, REFERENCE.value), material, root)
    lines = [
        f"N = {experiment.student.syn_steps}, step size {float(material.synthetic.step_size):g}, "
        f"reference: {REFERENCE.value}; L = {np.mean([loss for loss, _ in reference]):.4f}; mean "
        f"over {len(material.segments)} segments, the worst in brackets",
        "",
        f"{'mode':<8}{'gradient of':<13}{'cosine':<24}relative error",
    ]
    for mode in modes:
        with console.note(f"gradient by {mode}"):
            found = gradients(function(experiment, mode), material, root)
        for name, agreements in compare(reference, found).items():
            cosines, errors = zip(*agreements, strict=True)
            lines.append(f"{mode:<8}{name:<13}{_told(cosines, min):<24}{_told(errors, max)}")
    if "tesla" in modes:
        lines += [
            "",
            "tesla leaves out that later student steps depend on earlier ones: an approximation.",
        ]
    console.result("\n".join(lines))


def compare(reference: list, other: list) -> dict[str, list[Agreement]]:
    """For each part of the set, the agreement of each segment's gradients."""
    return {
        name.replace("_", " "): [
            agreement(getattr(a, name), getattr(b, name))
            for (_, a), (_, b) in zip(reference, other, strict=True)
        ]
        for name in SyntheticSet._fields
    }


def agreement(reference: np.ndarray, other: np.ndarray) -> Agreement:
    """Cosine and relative error of two gradients, in double precision."""
    a, b = (np.ravel(x).astype(np.float64) for x in (reference, other))
    norm_a, norm_b = np.linalg.norm(a), np.linalg.norm(b)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Agreement(float(a @ b / (norm_a * norm_b)), float(np.linalg.norm(b - a) / norm_a))


def _told(values, worst) -> str:
    if np.isnan(values).all():
        return "- (zero gradient)"
    return f"{np.nanmean(values):.6g} ({worst(v for v in values if not np.isnan(v)):.3g})"


if __name__ == "__main__":
    _cli.run(main, _cli.DATA_DIR, _cli.EXPERTS_DIR, gradient_check.DRAWS)
