"""Compares the gradient modes with the plain unroll, on the user's own config.

    python -m experiments.check_gradient --config=configs/digits_ipc1.py
    python -m experiments.check_gradient --config=configs/digits_ipc1.py --gap \\
        --steps=5,10,20,40 --step_sizes=0.01,0.05,0.1 --out=gap

The first prints, for each mode and each part of the set, the cosine with the
unroll's gradient and the relative error |g - g'| / |g'|. "tesla" is no exact
gradient, and shows it. The second follows its error over the student's steps N
and the step size, into DIR/gap.md and DIR/gap.png.

With --experts_dir segments are drawn from experts as in a run. Without, a fresh
network is the start, and what plain SGD on real images makes of it the target.
"""

import dataclasses
import functools
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags

from dpd_jax import distill, synthetic
from dpd_jax.distill import Segment
from dpd_jax.errors import UserError
from dpd_jax.synthetic import SyntheticSet
from experiments import build, command, gradient_gap, problem, screen, start, teachers
from experiments.build import Plan
from experiments.problem import Problem
from experiments.segments import SegmentReader

MODES = flags.DEFINE_list("modes", ["exact", "nested", "tesla"], "Gradient modes to look at.")
REFERENCE = flags.DEFINE_string(
    "reference",
    "unroll",
    'What they are compared with; "exact" where the unroll takes too much memory, once it has '
    "been seen to be the same.",
)
DRAWS = flags.DEFINE_integer(
    "draws", 3, "Segments looked at, each with its own start, target and batches.", lower_bound=1
)
TARGET_STEPS = flags.DEFINE_integer(
    "target_steps", 50, "SGD steps from start to target where there are no experts.", lower_bound=1
)
GAP = flags.DEFINE_bool("gap", False, "Follow the error of --modes over --steps and --step_sizes.")
STEPS = flags.DEFINE_list("steps", ["5", "10", "20", "40"], "--gap: student steps N.")
STEP_SIZES = flags.DEFINE_list(
    "step_sizes", None, "--gap: step sizes (default: 1/5, 1 and 5 times the config's)."
)
OUT = flags.DEFINE_string("out", None, "--gap: folder for gap.md and gap.png.")

# What the root key is folded with, one number a use.
_START, _DRAWS, _STEPS = range(3)


class Material(NamedTuple):
    """What gradients are taken of.

    Attributes:
      synthetic: the set.
      segments: a stretch of an expert's way for each draw.
      words: where they come from, for a person.
    """

    synthetic: SyntheticSet
    segments: list[Segment]
    words: str


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
    steps = numbers("steps", STEPS.value, int)
    sizes = numbers("step_sizes", STEP_SIZES.value or [], float)
    loaded = problem.load(config, command.DATA_DIR.value, command.cache_dir())
    root = jax.random.key(config.seed)
    material = with_experts(plan, loaded, root) if command.EXPERTS_DIR.value else None
    material = material or without_experts(plan, loaded, root)
    screen.say(f"{config.data.name}, ipc {config.ipc}: {material.words}")
    if GAP.value:
        sizes = sizes or [config.synthetic.step_size * factor for factor in (0.2, 1.0, 5.0)]
        gap(plan, material, root, known, steps, sizes)
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
    print("\n" + "\n".join(lines))
    if "tesla" in modes:
        print(
            "\ntesla leaves out that later student steps depend on earlier ones: an approximation."
        )


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
    print(f"\nReference: {REFERENCE.value}; {material.words}\n\n{table}")
    if OUT.value:
        folder = pathlib.Path(OUT.value)
        title = f"{plan.config.data.name}, ipc {plan.config.ipc}: error of the gradient"
        gradient_gap.save(folder, rows, title=title)
        screen.say(f"{folder / 'gap.md'}, gap.png")


def function(plan: Plan, mode: str):
    """The compiled (set, segment, key) -> ((L, dropped), gradient) of a mode."""
    student = dataclasses.replace(plan.student, gradient=mode)
    loss = functools.partial(
        distill.segment_loss, network=plan.network, student=student, matching=plan.matching
    )
    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def gradients(compiled, material: Material, root: jax.Array) -> list[tuple[float, SyntheticSet]]:
    """(L, gradient) of each segment by a function from `function`.

    Batches and augmentation of a segment are drawn from `root`: the same for every mode.
    """
    key = jax.random.fold_in(root, _STEPS)
    found = []
    for draw, segment in enumerate(material.segments):
        (loss, _), gradient = jax.device_get(
            compiled(material.synthetic, segment, jax.random.fold_in(key, draw))
        )
        found.append((float(loss), gradient))
    return found


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


def with_experts(plan: Plan, loaded: Problem, root: jax.Array) -> Material | None:
    """Segments of stored experts, drawn as a run does; None where the store is empty."""
    config = plan.config
    store = teachers.open_store(plan, loaded, pathlib.Path(command.EXPERTS_DIR.value))
    used = [expert for expert in store.experts() if expert < config.experts.num_experts]
    if not used:
        screen.say(f"no experts in {store.directory}: doing without.")
        return None
    first = start.begin(plan, loaded, store, used, jax.random.fold_in(root, _START))
    reader = SegmentReader(
        store,
        plan.curriculum,
        jax.random.fold_in(root, _DRAWS),
        num_experts=len(used),
        segments=1,
        offsets=(0, config.curriculum.expert_epochs),
        cache_gigabytes=config.distill.cache_gigabytes,
    )
    # Steps spread over the run, since start epochs depend on how far it is.
    steps = np.linspace(0, config.distill.iterations - 1, DRAWS.value).astype(int)
    segments = [jax.tree.map(lambda x: x[0], reader.read(int(step))) for step in steps]
    epochs = ", ".join(str(int(segment.start_epoch)) for segment in segments)
    words = f"segments of {len(used)} experts from the epochs {epochs}"
    return Material(first.synthetic, segments, words)


def without_experts(plan: Plan, loaded: Problem, root: jax.Array) -> Material:
    """Fresh weights, and what `--target_steps` plain SGD steps on real images make of them.

    The set is one of random real images, or noise where the config starts from it;
    labels that come from experts are one-hot instead.
    """
    config = plan.config
    image_key, walk_key = jax.random.split(jax.random.fold_in(root, _START))
    chosen = synthetic.classes(config.num_classes, config.ipc)
    if config.synthetic.init == "noise":
        images = synthetic.noise_images(image_key, plan.num_images, plan.network.image_shape)
    else:
        real = synthetic.real_indices(
            image_key, loaded.dataset.train_labels, config.num_classes, config.ipc
        )
        images = jnp.asarray(loaded.train[real])
    if config.synthetic.labels == "hard":
        labels = synthetic.hard_labels(chosen, config.num_classes)
    else:
        labels = synthetic.onehot_labels(chosen, config.num_classes, config.synthetic.label_scale)
    syn = SyntheticSet(images, labels, jnp.float32(config.synthetic.step_size))
    with screen.note(f"{TARGET_STEPS.value} SGD steps on real images, {DRAWS.value} times"):
        keys = jax.random.split(walk_key, DRAWS.value)
        segments = [_walk(plan, loaded, key, TARGET_STEPS.value) for key in keys]
    words = f"fresh networks, targets {TARGET_STEPS.value} SGD steps on real images away"
    return Material(syn, segments, words)


def _walk(plan: Plan, loaded: Problem, key: jax.Array, steps: int) -> Segment:
    """Plain SGD from fresh weights on batches drawn at random, at the experts' learning rate."""
    recipe = plan.recipe

    @jax.jit
    def step(params, images, labels):
        def loss(weights):
            logits = plan.network.apply(weights, images)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        return params - recipe.learning_rate * jax.grad(loss)(params)

    init_key, batch_key = jax.random.split(key)
    first = params = plan.network.init(init_key)
    for number in range(steps):
        draw = jax.random.fold_in(batch_key, number)
        rows = jax.random.randint(draw, (recipe.batch_size,), 0, len(loaded.train))
        rows = np.asarray(rows)
        params = step(params, loaded.train[rows], loaded.dataset.train_labels[rows])
    return Segment(jnp.stack([first, params]), jnp.zeros((), jnp.int32))


def _told(values, worst) -> str:
    if np.isnan(values).all():
        return "- (zero gradient)"
    return f"{np.nanmean(values):.6g} ({worst(v for v in values if not np.isnan(v)):.3g})"


if __name__ == "__main__":
    command.run(main)
