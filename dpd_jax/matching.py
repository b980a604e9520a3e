"""The matching loss: flatten, difference, rank, prune, normalised distance.

A student that started at an expert's epoch i ends at s; the expert went from u
to t. Trajectory matching (MTT) minimises |s - t|^2 / |u - t|^2. The methods of
the family differ in which coordinates they count:

    difference  DPD: drops the floor(P * pruning_rate) largest student-expert
                differences (eqs. 3-9, Algorithm 1)
    depth       PAD: drops the first floor(P * depth_ratio), i.e. shallow ones (eq. 4),
                in PyTorch's order of the weights, as its program does
    loss        PAD as released: drops the floor(P * loss_ratio) smallest errors
    ratio       DDPP: drops coordinates whose student/expert ratio, or its
                inverse, is below ratio_epsilon (eq. 7)

A mask is ranked on values without gradient: it is piecewise constant, and a
constant to the derivative. Several masks keep what all of them keep.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from dpd_jax.errors import UserError
from dpd_jax.networks import layout
from dpd_jax.networks.layout import Parameter

# Keeps a ratio finite where the expert's weight, or its movement, is exactly zero.
_TINY = 1e-12

_SIGN = np.uint32(1 << 31)  # the sign's bit of a float32


@dataclasses.dataclass(frozen=True)
class Matching:
    """Which coordinates the matching loss counts.

    Attributes:
      masks: names out of `MASKS`, applied together; () counts every coordinate.
      pruning_rate: share of coordinates "difference" drops, in [0, 1).
      metric: a name out of `METRICS`, the measure "difference" ranks by.
      depth_ratio: share "depth" drops from the shallow end, in [0, 1).
      loss_ratio: share "loss" drops from the small end, in [0, 1).
      ratio_epsilon: the bound of "ratio", in (0, 1).
      ratio_signed: if true, opposite signs give a negative ratio and are
        dropped, DDPP's rule read literally; if false the ratio of magnitudes
        counts.
      ratio_keep_zeros: whether "ratio" keeps a coordinate that is exactly zero
        in both vectors (0/0 is undefined in the paper).
      ranking: how the largest (smallest) are found: "argsort", "bits", or "auto",
        the faster one on this backend. They keep the same coordinates.

    Raises:
      UserError: for an unknown name or a share outside its range.
    """

    masks: tuple[str, ...]
    pruning_rate: float
    metric: str
    depth_ratio: float
    loss_ratio: float
    ratio_epsilon: float
    ratio_signed: bool
    ratio_keep_zeros: bool
    ranking: str

    def __post_init__(self):
        for mask in self.masks:
            if mask not in MASKS:
                raise UserError(
                    f"matching.masks: unknown mask {mask!r}; known are {', '.join(MASKS)}."
                )
        if self.metric not in METRICS:
            raise UserError(
                f"matching.metric: unknown metric {self.metric!r}; known are {', '.join(METRICS)}."
            )
        if self.ranking not in ("auto", *RANKINGS):
            raise UserError(
                f"matching.ranking: unknown way {self.ranking!r}; known are auto, "
                f"{', '.join(RANKINGS)}."
            )
        for name in ("pruning_rate", "depth_ratio", "loss_ratio"):
            share = getattr(self, name)
            if not 0 <= share < 1:
                raise UserError(
                    f"matching.{name} = {share} must lie in [0, 1): it is the share of the "
                    "weights left out of the matching loss (0 counts every weight)."
                )
        if not 0 < self.ratio_epsilon < 1:
            raise UserError(f"matching.ratio_epsilon = {self.ratio_epsilon} must lie in (0, 1).")


def _absolute(student, target, start, parameters):
    """|s - t|."""
    del start, parameters
    return jnp.abs(student - target)


def _squared(student, target, start, parameters):
    """(s - t)^2: ranks as "absolute" does, as does its root; kept to show it."""
    del start, parameters
    return jnp.square(student - target)


def _relative(student, target, start, parameters):
    """|s - t| / |t|: large where a small expert weight is missed."""
    del start, parameters
    return jnp.abs(student - target) / (jnp.abs(target) + _TINY)


def _movement(student, target, start, parameters):
    """|s - t| / |u - t|: the share of the expert's own movement still missing."""
    del parameters
    return jnp.abs(student - target) / (jnp.abs(start - target) + _TINY)


def _tensor(student, target, start, parameters):
    """|s - t| / root mean square of s - t over the coordinate's own tensor."""
    del start
    difference = jnp.abs(student - target)
    parts = [difference[parameter.part] for parameter in parameters]
    return jnp.concatenate(
        [part / (jnp.sqrt(jnp.mean(jnp.square(part))) + _TINY) for part in parts]
    )


METRICS = {
    "absolute": _absolute,
    "squared": _squared,
    "relative": _relative,
    "movement": _movement,
    "tensor": _tensor,
}


def count(size: int, share: float) -> int:
    """floor(size * share), the number of coordinates a share of a vector [size] stands for.

    A share is meant as the decimal a person wrote: 0.1 of 320,010 is 32,001,
    although the nearest double to 0.1 could round the product either way.
    """
    return math.floor(round(size * share, 6))


def drop_largest(scores: jax.Array, dropped: int, ranking: str) -> jax.Array:
    """Keep-mask [P] without the `dropped` largest of `scores` [P], float32.

    Exactly P - dropped coordinates are kept whatever the ties, of which the
    earlier (shallower) are dropped first. NaN is kept, so that a loss that went
    wrong shows. `ranking` is a name out of `RANKINGS`, or "auto".
    """
    return RANKINGS[_resolve(ranking)](-scores, dropped)


def drop_smallest(scores: jax.Array, dropped: int, ranking: str) -> jax.Array:
    """As `drop_largest`, from the other end."""
    return RANKINGS[_resolve(ranking)](scores, dropped)


def _by_sorting(scores: jax.Array, dropped: int) -> jax.Array:
    order = jnp.argsort(scores, stable=True)
    return jnp.ones(scores.shape, bool).at[order[:dropped]].set(False)


def _by_bits(scores: jax.Array, dropped: int) -> jax.Array:
    """A search for the bits of the last score to go, from the highest."""
    # A float's bits, turned around where it is negative, are in the floats' order; +0 is -0.
    bits = jax.lax.bitcast_convert_type(jnp.where(scores == 0, 0.0, scores), jnp.uint32)
    places = jnp.where(bits >= _SIGN, ~bits, bits | _SIGN)
    places = jnp.where(jnp.isnan(scores), ~jnp.uint32(0), places)

    def one_bit(i, bound):
        higher = bound | (_SIGN >> i)
        return jnp.where(jnp.sum(places < higher) < dropped, higher, bound)

    bound = jax.lax.fori_loop(0, 32, one_bit, jnp.uint32(0))
    below, equal = places < bound, places == bound
    return ~(below | (equal & (jnp.cumsum(equal) <= dropped - jnp.sum(below))))


RANKINGS = {"argsort": _by_sorting, "bits": _by_bits}


def _resolve(ranking: str) -> str:
    """What "auto" means here: a CPU takes a third of an outer step to sort 320,010 weights."""
    if ranking != "auto":
        return ranking
    return "bits" if jax.default_backend() == "cpu" else "argsort"


def _difference_mask(student, target, start, parameters, matching):
    scores = METRICS[matching.metric](student, target, start, parameters)
    return drop_largest(scores, count(student.size, matching.pruning_rate), matching.ranking)


def _depth_mask(student, target, start, parameters, matching):
    del target, start
    kept = layout.places_in_pytorch(parameters) >= count(student.size, matching.depth_ratio)
    return jnp.asarray(kept)


def _loss_mask(student, target, start, parameters, matching):
    del start, parameters
    errors = jnp.square(student - target)
    return drop_smallest(errors, count(student.size, matching.loss_ratio), matching.ranking)


def _ratio_mask(student, target, start, parameters, matching):
    del start, parameters
    s, t = (student, target) if matching.ratio_signed else (jnp.abs(student), jnp.abs(target))

    # s/t < eps with the division multiplied out, so that zeros need no care:
    # for t > 0 it is s < eps t, for t < 0 the inequality turns round.
    def below(a, b):
        return jnp.where(b > 0, a < matching.ratio_epsilon * b, a > matching.ratio_epsilon * b)

    both_zero = (student == 0) & (target == 0)
    dropped = jnp.where(both_zero, not matching.ratio_keep_zeros, below(s, t) | below(t, s))
    return ~dropped


MASKS = {
    "difference": _difference_mask,
    "depth": _depth_mask,
    "loss": _loss_mask,
    "ratio": _ratio_mask,
}


def keep_mask(
    student: jax.Array,
    target: jax.Array,
    start: jax.Array,
    matching: Matching,
    parameters: tuple[Parameter, ...],
) -> jax.Array:
    """The coordinates that count, bool [P], a constant to derivatives.

    Args:
      student, target, start: vectors [P]: s, t and u of the module's docstring.
      matching: which masks.
      parameters: the arrays that tile the vector (only the mask "depth" and the
        metric "tensor" look at them).
    """
    student, target, start = map(jax.lax.stop_gradient, (student, target, start))
    keep = jnp.ones(student.shape, bool)
    for mask in matching.masks:
        keep &= MASKS[mask](student, target, start, parameters, matching)
    return keep


def dropped_shares(keep: jax.Array, parameters: tuple[Parameter, ...]) -> jax.Array:
    """The share of each tensor's coordinates that does not count, float32 [tensors].

    Args:
      keep: bool [P], as `keep_mask` gives it.
      parameters: the arrays that tile the vector.
    """
    parts = [keep[parameter.part] for parameter in parameters]
    return jnp.stack([jnp.mean(~part, dtype=jnp.float32) for part in parts])


def normalised_distance(
    student: jax.Array, target: jax.Array, start: jax.Array, keep: jax.Array
) -> jax.Array:
    """L = sum_kept (s - t)^2 / sum_kept (u - t)^2, a scalar.

    1 means "no better than standing still". With every coordinate kept it is
    MTT's and DATM's loss. Where the expert did not move at all it is not finite.
    """
    left = jnp.sum(jnp.where(keep, jnp.square(student - target), 0.0))
    way = jnp.sum(jnp.where(keep, jnp.square(start - target), 0.0))
    return left / way


def matching_loss(student: Any, target: Any, start: Any, matching: Matching) -> jax.Array:
    """The whole step on parameter trees: flatten, difference, prune, distance.

    Args:
      student, target, start: parameter trees of one structure, or vectors [P].
      matching: which coordinates count.

    Returns:
      The scalar L, differentiable in `student`.
    """
    parameters = layout.parameters(student)
    student, target, start = (ravel_pytree(tree)[0] for tree in (student, target, start))
    keep = keep_mask(student, target, start, matching, parameters)
    return normalised_distance(student, target, start, keep)
