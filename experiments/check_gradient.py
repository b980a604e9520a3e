"""Compares the gradient modes with the plain unroll, on the user's own config.

    python -m experiments.check_gradient --config=configs/digits_ipc1.py
    python -m experiments.check_gradient --config=configs/digits_ipc1.py --gap \\
        --gap_steps=5,10,20,40 --gap_step_sizes=0.01,0.05,0.1 --gap_dir=gap

The first prints, for each mode and each part of the set, the cosine with the
unroll's gradient and the relative error |g - g'| / |g'|. "tesla" is no exact
gradient, and shows it. The second follows its error over the student's steps N
and the step size, into DIR/gap.md and DIR/gap.png.

With --experts_dir segments are drawn from experts as in a run. Without, a fresh
network is the start, and what plain SGD on real images makes of it the target.
"""

import dataclasses
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from dpd_jax.errors import UserError
from dpd_jax.synthetic import SyntheticSet
from experiments import build, command, gradient_gap, gradient_material, problem, screen
from experiments.build import Plan
from experiments.gradient_material import Material, function, gradients

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
GAP = flags.DEFINE_bool("gap", False, "Follow the error of --modes over N and the step size.")
STEPS = flags.DEFINE_list("gap_steps", ["5", "10", "20", "40"], "--gap: student steps N.")
STEP_SIZES = flags.DEFINE_list(
    "gap_step_sizes", None, "--gap: step sizes (default: 1/5, 1 and 5 times the config's)."
)
GAP_DIR = flags.DEFINE_string("gap_dir", None, "--gap: folder for gap.md and gap.png.")


class Agreement(NamedTuple):
    """How two gradients of one variable compare.

    Attributes:
      cosine: of the angle between them; for a scalar its sign. NaN if one is zero.
      error: |other - reference| / |reference|; NaN if the reference is zero.
    """

    cosine: float
    error: float


def main() -> None:
    config = command.CONFIG.value
    plan = build.plan(config)
    known = list(dict.fromkeys(MODES.value))
    for mode in [*known, REFERENCE.value]:
        dataclasses.replace(plan.student, gradient=mode)  # Refuses an unknown one, by name.
    counts = numbers("gap_steps", STEPS.value, int)
    sizes = numbers("gap_step_sizes", STEP_SIZES.value or [], float)
    loaded = problem.load(config, command.DATA_DIR.value, command.cache_dir())
    root, draws = jax.random.key(config.seed), gradient_material.DRAWS.value
    material = None
    if command.EXPERTS_DIR.value:
        directory = pathlib.Path(command.EXPERTS_DIR.value)
        material = gradient_material.with_experts(plan, loaded, root, directory, draws)
    if material is None:
        steps = TARGET_STEPS.value
        material = gradient_material.without_experts(plan, loaded, root, draws, steps)
    screen.say(f"{config.data.name}, ipc {config.ipc}: {material.words}")
    if GAP.value:
        sizes = sizes or [config.synthetic.step_size * factor for factor in (0.2, 1.0, 5.0)]
        gap(plan, material, root, known, counts, sizes)
    else:
        check(plan, material, root, known)


def numbers(flag: str, texts: list[str], kind: type) -> list:
    """The numbers of a list flag.

    Raises:
      UserError: for what is none, or not above 0.
    """
    try:
        found = [kind(text) for text in texts]
    except ValueError as error:
        raise UserError(f"--{flag}: {error}.") from None
    if any(number <= 0 for number in found):
        raise UserError(f"--{flag}={','.join(texts)}: the numbers must be above 0.")
    return found


def check(plan: Plan, material: Material, root: jax.Array, modes: list[str]) -> None:
    """Prints the comparison at the config's own N and step size."""
    with screen.note(f"gradient by {REFERENCE.value}"):
        reference = gradients(function(plan, REFERENCE.value), material, root)
    lines = [
        f"N = {plan.student.syn_steps}, step size {float(material.synthetic.step_size):g}, "
        f"reference: {REFERENCE.value}; L = {np.mean([loss for loss, _ in reference]):.4f}; mean "
        f"over {len(material.segments)} segments, the worst in brackets",
        "",
        f"{'mode':<8}{'gradient of':<13}{'cosine':<24}relative error",
    ]
    for mode in modes:
        with screen.note(f"gradient by {mode}"):
            found = gradients(function(plan, mode), material, root)
        for name, agreements in compare(reference, found).items():
            cosines, errors = zip(*agreements, strict=True)
            lines.append(f"{mode:<8}{name:<13}{_told(cosines, min):<24}{_told(errors, max)}")
    if "tesla" in modes:
        lines += [
            "",
            "tesla leaves out that later student steps depend on earlier ones: an approximation.",
        ]
    screen.result("\n".join(lines))


def gap(plan: Plan, material: Material, root, modes: list[str], steps: list, sizes: list) -> None:
    """Prints and saves the errors over N and step size."""
    rows = []
    total = len(steps) * (1 + len(modes)) * len(sizes)
    with screen.bar("gap", total, unit=" gradients") as bar:
        for count in steps:
            student = dataclasses.replace(plan.student, syn_steps=count)
            of_count = plan._replace(student=student)
            functions = {m: function(of_count, m) for m in [REFERENCE.value, *modes]}
            for size in sizes:
                moved = material.synthetic._replace(step_size=jnp.float32(size))
                asked = material._replace(synthetic=moved)
                found = {}
                for mode in [REFERENCE.value, *modes]:
                    found[mode] = gradients(functions[mode], asked, root)
                    bar.to(bar.amount + 1, N=count, alpha=size)
                loss = float(np.mean([loss for loss, _ in found[REFERENCE.value]]))
                for mode in modes:
                    seen = compare(found[REFERENCE.value], found[mode])
                    rows.append(gradient_gap.Row(mode, count, size, loss, seen))
    table = gradient_gap.markdown(rows)
    screen.result(f"Reference: {REFERENCE.value}; {material.words}\n\n{table}")
    if GAP_DIR.value:
        folder = pathlib.Path(GAP_DIR.value)
        title = f"{plan.data_name}, ipc {plan.config.ipc}: error of the gradient"
        gradient_gap.save(folder, rows, title=title)
        screen.say(f"{folder / 'gap.md'}, gap.png")


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
    command.run(main, command.DATA_DIR, command.EXPERTS_DIR, gradient_material.DRAWS)
