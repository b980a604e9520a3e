"""Compares the gradient modes with the plain unroll, on your config.

    python -m experiments.check_gradient --config=configs/digits_ipc1.py

Prints, for each mode and each part of the set, the cosine with the gradient of the
unroll and the relative error |g - g'| / |g'|. The gradient of "tesla" is an
approximation (docs/tesla_gradient.md). With --precisions=tf32,bfloat16 the gradient of the
unroll is also computed in these, and compared.

Segments are those of experts in --experts_dir, or of fresh networks on real images.
"""

import dataclasses

import jax
import numpy as np
from absl import flags

from dpd_jax.errors import UserError, check_choice
from dpd_jax.networks import precision
from dpd_jax.runs import console, gradient_check, run_data
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.gradient_check import Inputs, agreement, gradients
from dpd_jax.synthetic import SyntheticSet

from . import _cli

MODES = flags.DEFINE_list("modes", ["exact", "nested", "tesla"], "The gradient modes to compare.")
REFERENCE = flags.DEFINE_string(
    "reference", "unroll", 'The mode to compare with; "exact" if the unroll takes too much memory.'
)
PRECISIONS = flags.DEFINE_list(
    "precisions", [], "Also compares the reference in these values of network.precision."
)
TARGET_STEPS = flags.DEFINE_integer(
    "target_steps", 50, "SGD steps from start to target if there are no experts.", lower_bound=1
)
DRAWS = flags.DEFINE_integer(
    "draws", 3, "The number of segments, each with its own start and batches.", lower_bound=1
)


def main() -> None:
    config = _cli.config()
    experiment = Experiment.from_config(config)
    if not experiment.objective.matches_trajectories:
        raise UserError(
            f"objective.name = {config.objective.name!r} has one gradient, so there is nothing to "
            "compare: the modes are of trajectory matching."
        )
    modes = list(dict.fromkeys(MODES.value))
    for mode in [*modes, REFERENCE.value]:
        dataclasses.replace(experiment.student, gradient=mode)  # Raises if the mode is unknown.
    variants = [(mode, experiment, mode) for mode in modes]
    for name in dict.fromkeys(PRECISIONS.value):
        check_choice("--precisions", name, precision.PRECISIONS)
        network = dataclasses.replace(experiment.network, precision=name)
        variants.append((name, experiment._replace(network=network), REFERENCE.value))
    data = run_data.load(config, _cli.DATA_DIR.value, _cli.cache_dir())
    root, directory = jax.random.key(config.seed), _cli.EXPERTS_DIR.value
    inputs = gradient_check.from_experts(experiment, data, root, directory, DRAWS.value)
    if inputs is None:
        inputs = gradient_check.from_fresh_networks(
            experiment, data, root, DRAWS.value, TARGET_STEPS.value
        )
    console.say(f"{config.data.name}, ipc {config.ipc}: {inputs.description}")
    check(experiment, inputs, root, variants)


def check(
    experiment: Experiment,
    inputs: Inputs,
    root: jax.Array,
    variants: list[tuple[str, Experiment, str]],
) -> None:
    """Prints the comparison of variants (name, experiment, mode) with the reference."""
    with console.note(f"gradient by {REFERENCE.value}"):
        reference = gradients(experiment, REFERENCE.value, inputs, root)
    loss = np.mean([loss for loss, _ in reference])
    lines = [
        f"N = {experiment.student.syn_steps}, step size {float(inputs.synthetic.step_size):g}, "
        f"reference: {REFERENCE.value}, {experiment.network.precision}; L = {loss:.4f}; mean "
        f"over {len(inputs.segments)} segments, the worst in brackets",
        "",
        f"{'':<10}{'gradient of':<13}{'cosine':<24}relative error",
    ]
    for variant, of, mode in variants:
        with console.note(f"gradient by {variant}"):
            computed = gradients(of, mode, inputs, root)
        for name, agreements in compare(reference, computed).items():
            cosines, errors = zip(*agreements, strict=True)
            lines.append(
                f"{variant:<10}{name:<13}{_summary(cosines, min):<24}{_summary(errors, max)}"
            )
    shown = {variant for variant, _, _ in variants}
    if "tesla" in shown:
        lines.append("\ntesla is an approximation: it ignores how steps depend on earlier steps.")
    if "tf32" in shown and jax.default_backend() != "gpu":
        lines.append("\ntf32 is emulated here: factors and results of products are rounded.")
    console.result("\n".join(lines))


def compare(reference: list, other: list) -> dict[str, list[tuple[float, float]]]:
    """The agreement of the gradients of each segment, for each part of the set."""
    return {
        name.replace("_", " "): [
            agreement(getattr(a, name), getattr(b, name))
            for (_, a), (_, b) in zip(reference, other, strict=True)
        ]
        for name in SyntheticSet._fields
    }


def _summary(values, worst) -> str:
    if np.isnan(values).all():
        return "- (zero gradient)"
    return f"{np.nanmean(values):.6g} ({worst(v for v in values if not np.isnan(v)):.3g})"


if __name__ == "__main__":
    _cli.run(main, _cli.DATA_DIR, _cli.EXPERTS_DIR)
