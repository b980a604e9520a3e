"""What it changes to keep experts in 16 bits.

    python -m experiments.check_storage --config=configs/digits_ipc1.py --experts_dir=experts

Reads experts that were stored in float32 and prints, for each form that
`experts.storage` knows: how much an expert takes on disk, what rounding does to
its weights and to the way from start to target, and how far the matching loss L
and the gradient of the images then are from those of float32, at the set a run
starts from. A student's way may be so unstable that any change of its start
grows: "last digit" moves every weight to the next float32, as a scale for the rest.
"""

import pathlib
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpd_jax.errors import UserError
from dpd_jax.trajectories import STORAGE, TrajectoryStore, spans
from experiments import build, command, gradient_material, problem, screen, teachers
from experiments.build import Plan
from experiments.gradient_material import Material


_LAST_DIGIT = "last digit"  # No form of storage: float32, each weight moved by its last digit.


class Rounded(NamedTuple):
    """A store of float32 as another form (or `_LAST_DIGIT`) would give it back."""

    store: TrajectoryStore
    form: str

    def read(self, expert: int, epochs: Sequence[int]) -> np.ndarray:
        """As `TrajectoryStore.read`."""
        exact = self.store.read(expert, epochs)
        if self.form == _LAST_DIGIT:
            return np.nextafter(exact, np.float32(np.inf))
        return exact.astype(jnp.dtype(self.form)).astype(np.float32)


class Effect(NamedTuple):
    """What a form changes, relatively; lists have one number a segment.

    Attributes:
      bytes: one expert on disk.
      weights: |w' - w| / |w| over all weights of the starts.
      ways: the same of target - start.
      losses: |L' - L| / L.
      gradients: |g' - g| / |g| of the images.
    """

    bytes: float
    weights: list[float]
    ways: list[float]
    losses: list[float]
    gradients: list[float]


def main() -> None:
    config = command.CONFIG.value
    plan = build.plan(config)
    if config.experts.storage != "float32":
        raise UserError("check_storage starts from exact experts: set experts.storage=float32.")
    directory = pathlib.Path(command.EXPERTS_DIR.value or command.default_workdir() / "experts")
    loaded = problem.load(config, command.DATA_DIR.value, command.cache_dir())
    root, draws = jax.random.key(config.seed), gradient_material.DRAWS.value
    material = gradient_material.with_experts(plan, loaded, root, directory, draws)
    if material is None:
        raise UserError(
            f"there are no experts in {directory}. Train some with experiments.train_experts, or "
            "name their folder with --experts_dir."
        )
    screen.say(material.words)
    store = teachers.open_store(plan, loaded, directory)
    used = [expert for expert in store.experts() if expert < config.experts.num_experts]
    effects = measure(plan, store, used, material, root)
    count = config.experts.num_experts
    lines = [
        f"{len(used)} experts, epochs {spans(plan.epochs_read)}, "
        f"{plan.network.num_params:,} weights; mean over {draws} segments, the largest in brackets\n"
        f"{'storage':<11}{'an expert':>12}{f'{count} experts':>14}  "
        f"{'weights':<20}{'target - start':<20}{'L':<20}gradient of images"
    ]
    for form, effect in effects.items():
        one, all_of_them = effect.bytes / 1e6, count * effect.bytes / 1e6
        told = "".join(f"{_told(numbers):<20}" for numbers in effect[1:])
        lines.append(f"{form:<11}{one:>9.2f} MB{all_of_them:>11.1f} MB  {told}".rstrip())
    screen.result("\n".join(lines))


def measure(
    plan: Plan, store: TrajectoryStore, used: list[int], material: Material, root: jax.Array
) -> dict[str, Effect]:
    """The effect of each form on the segments of `material`, read from `store`, at its set."""
    function = gradient_material.function(plan, plan.student.gradient)
    effects, exact = {}, None
    for form in ("float32", _LAST_DIGIT, *(form for form in STORAGE if form != "float32")):
        rounded, draws = Rounded(store, form), len(material.segments)
        segments = gradient_material.drawn(plan, rounded, used, root, draws)
        there = material._replace(segments=segments)
        with screen.note(f"loss and gradient with {form}"):
            found = gradient_material.gradients(function, there, root)
        exact = exact or (segments, found)
        pairs = list(zip(exact[0], segments, strict=True))
        effects[form] = Effect(
            bytes=on_disk(plan, store, used[0], "float32" if form == _LAST_DIGIT else form),
            weights=[distance(a.params[0], b.params[0]) for a, b in pairs],
            ways=[distance(_way(a), _way(b)) for a, b in pairs],
            losses=[abs(b - a) / a for (a, _), (b, _) in zip(exact[1], found, strict=True)],
            gradients=[
                distance(a.images, b.images)
                for (_, a), (_, b) in zip(exact[1], found, strict=True)
            ],
        )
    return effects


def on_disk(plan: Plan, store: TrajectoryStore, expert: int, form: str) -> int:
    """Bytes that the epochs a run reads of an expert take in a form: written, and counted."""
    epochs = plan.epochs_read
    weights = store.read(expert, epochs)
    with tempfile.TemporaryDirectory() as folder:
        copy = TrajectoryStore(folder, {}, form)
        copy.write(expert, dict(zip(epochs, weights, strict=True)))
        return sum(p.stat().st_size for p in copy.path(expert).rglob("*") if p.is_file())


def distance(exact: np.ndarray, other: np.ndarray) -> float:
    """|other - exact| / |exact|, in double precision."""
    exact, other = np.float64(exact), np.float64(other)
    return float(np.linalg.norm(other - exact) / np.linalg.norm(exact))


def _way(segment) -> np.ndarray:
    return segment.params[-1] - segment.params[0]


def _told(numbers: list[float]) -> str:
    return f"{np.mean(numbers):.2g} ({max(numbers):.2g})"


if __name__ == "__main__":
    command.run(main, command.DATA_DIR, command.EXPERTS_DIR, gradient_material.DRAWS)
