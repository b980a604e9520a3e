"""The matching loss of MTT, and the masks with which its successors restrict it.

A student that starts at an expert's weights u ends at s, while the expert went from u to t.
Trajectory matching (MTT) minimises |s - t|^2 / |u - t|^2. The methods differ in the coordinates of
the weights that they count:

    pruning  DPD: leaves out the floor(P * pruning_rate) largest differences
             between student and expert (eqs. 3-9, Algorithm 1); or as many of
             the smallest, as PAD's released program, or as many at random
    depth    PAD: leaves out the first floor(P * depth_ratio) coordinates, that
             is the shallow ones (eq. 4), in PyTorch's order of the weights
    ratio    DDPP: leaves out coordinates where student / expert, or its inverse,
             is below ratio_epsilon (eq. 7)

A coordinate counts if every mask in use keeps it. The masks are computed without gradients: they
are piecewise constant, so the derivative treats them as constants.
"""

import dataclasses
import math
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from dpd_jax.errors import UserError, check_choice, check_range
from dpd_jax.networks import layout
from dpd_jax.networks.layout import Parameter

# Keeps a quotient finite where the expert's weight, or its movement, is exactly zero.
_TINY = 1e-12

_SIGN = np.uint32(1 << 31)  # the sign bit of a float32


@dataclasses.dataclass(frozen=True)
class Matching:
    """Which coordinates the matching loss counts. The default is all of them, as in MTT.

    Attributes:
      masks: names from `MASKS`; each leaves out coordinates in addition.
      pruning_rate: share of the coordinates that pruning leaves out, in [0, 1); 0 is no pruning.
      pruned: which ones, a name from `PRUNED`: DPD's "largest" differences, the "smallest", or
        "random" coordinates.
      metric: a name from `METRICS`; the difference by which pruning ranks.
      depth_ratio: share that "depth" leaves out, in [0, 1).
      ratio_epsilon: bound of "ratio", in (0, 1).
      ratio_signed: True computes the ratio with signs, as DDPP writes it: opposite signs give a
        negative ratio and are left out. False compares magnitudes.
      ratio_keep_zeros: whether "ratio" keeps a coordinate that is exactly zero in both vectors
        (0/0 is undefined in the paper).
      ranking: how the largest values are found: "argsort", "bits", or "auto" for the faster one on
        this backend. All keep the same coordinates.

    Raises:
      UserError: for an unknown name or a share outside its range.
    """

    masks: tuple[str, ...] = ()
    pruning_rate: float = 0.0
    pruned: str = "largest"
    metric: str = "absolute"
    depth_ratio: float = 0.0
    ratio_epsilon: float = 0.1
    ratio_signed: bool = True
    ratio_keep_zeros: bool = True
    ranking: str = "auto"

    def __post_init__(self):
        for mask in self.masks:
            if mask == "difference":
                raise UserError(
                    'matching.masks: "difference" is not a mask: a matching.pruning_rate above 0 '
                    "leaves out the largest differences. Remove it from the masks."
                )
            check_choice("matching.masks", mask, MASKS)
        check_choice("matching.pruned", self.pruned, PRUNED)
        check_choice("matching.metric", self.metric, METRICS)
        check_choice("matching.ranking", self.ranking, ("auto", *RANKINGS))
        for name in ("pruning_rate", "depth_ratio"):
            hint = ": it is the share of the weights left out of the matching loss"
            check_range(f"matching.{name}", getattr(self, name), "[0, 1)", hint)
        check_range("matching.ratio_epsilon", self.ratio_epsilon, "(0, 1)")

    @property
    def drops(self) -> bool:
        """Whether any coordinate can be left out."""
        return bool(self.masks) or self.pruning_rate > 0

    @property
    def draws(self) -> bool:
        """Whether the mask is drawn, so that `keep_mask` needs a key."""
        return self.pruned == "random" and self.pruning_rate > 0


PRUNED = ("largest", "smallest", "random")


def _tensor(student, target, _, parameters):
    """|s - t| / root mean square of s - t over the coordinate's own tensor."""
    difference = jnp.abs(student - target)
    parts = [difference[parameter.part] for parameter in parameters]
    return jnp.concatenate(
        [part / (jnp.sqrt(jnp.mean(jnp.square(part))) + _TINY) for part in parts]
    )


# Name -> the difference (s, t, u, parameters) -> [P] by which pruning ranks.
METRICS = {
    "absolute": lambda s, t, u, _: jnp.abs(s - t),
    # Ranks as "absolute" does, and as the element-wise L2 norm: kept to show that.
    "squared": lambda s, t, u, _: jnp.square(s - t),
    "relative": lambda s, t, u, _: jnp.abs(s - t) / (jnp.abs(t) + _TINY),
    # The share of the expert's own movement that the student still misses.
    "movement": lambda s, t, u, _: jnp.abs(s - t) / (jnp.abs(u - t) + _TINY),
    "tensor": _tensor,
}


def count(size: int, share: float) -> int:
    """floor(size * share): how many coordinates of a vector [size] a share stands for.

    The share is read as a decimal number: 0.1 of 320,010 is 32,001, even if the product of the
    nearest double is slightly smaller.
    """
    return math.floor(round(size * share, 6))


def drop_largest(scores: jax.Array, dropped: int, ranking: str) -> jax.Array:
    """The mask bool [P] that is False at exactly the `dropped` largest of the scores [P].

    Of equal scores the first ones go first. NaN ranks last: it is kept, so that a loss that is not
    finite stays visible. `ranking` is a name from `RANKINGS`, or "auto".
    """
    return drop_smallest(-scores, dropped, ranking)


def drop_smallest(scores: jax.Array, dropped: int, ranking: str) -> jax.Array:
    """The mask that leaves out the smallest scores; see `drop_largest`."""
    if ranking == "auto":
        # On a CPU, sorting 320,010 weights takes a third of an outer step.
        ranking = "bits" if jax.default_backend() == "cpu" else "argsort"
    return RANKINGS[ranking](scores, dropped)


def prune(scores: jax.Array, matching: Matching) -> jax.Array:
    """The mask bool [P] of the coordinates that pruning keeps, by their scores [P]."""
    drop = drop_smallest if matching.pruned == "smallest" else drop_largest
    return drop(scores, count(scores.size, matching.pruning_rate), matching.ranking)


def _by_sorting(scores: jax.Array, dropped: int) -> jax.Array:
    order = jnp.argsort(scores, stable=True)
    return jnp.ones(scores.shape, bool).at[order[:dropped]].set(False)


def _by_bits(scores: jax.Array, dropped: int) -> jax.Array:
    """Finds the largest score to drop, bit by bit from the highest."""
    # These integers have the order of the floats; -0 equals +0, and NaN is above all.
    bits = jax.lax.bitcast_convert_type(jnp.where(scores == 0, 0.0, scores), jnp.uint32)
    ordered = jnp.where(bits >= _SIGN, ~bits, bits | _SIGN)
    ordered = jnp.where(jnp.isnan(scores), ~jnp.uint32(0), ordered)

    def one_bit(i, bound):
        higher = bound | (_SIGN >> i)
        return jnp.where(jnp.sum(ordered < higher) < dropped, higher, bound)

    bound = jax.lax.fori_loop(0, 32, one_bit, jnp.uint32(0))
    below, equal = ordered < bound, ordered == bound
    return ~(below | (equal & (jnp.cumsum(equal) <= dropped - jnp.sum(below))))


RANKINGS = {"argsort": _by_sorting, "bits": _by_bits}


def _depth_mask(student, _, parameters, matching):
    dropped = count(student.size, matching.depth_ratio)
    return jnp.asarray(layout.places_in_pytorch(parameters) >= dropped)


def _ratio_mask(student, target, _, matching):
    s, t = (student, target) if matching.ratio_signed else (jnp.abs(student), jnp.abs(target))

    # a / b < epsilon without a division, so that b = 0 needs no special case: the
    # inequality is a < epsilon b for b > 0, and turns round for b < 0.
    def below(a, b):
        return jnp.where(b > 0, a < matching.ratio_epsilon * b, a > matching.ratio_epsilon * b)

    both_zero = (student == 0) & (target == 0)
    dropped = jnp.where(both_zero, not matching.ratio_keep_zeros, below(s, t) | below(t, s))
    return ~dropped


# Name -> the mask (s, t, parameters, matching) -> bool [P], True for the coordinates that count.
MASKS = {"depth": _depth_mask, "ratio": _ratio_mask}


def keep_mask(
    student: jax.Array,
    target: jax.Array,
    start: jax.Array,
    matching: Matching,
    parameters: tuple[Parameter, ...],
    key: jax.Array | None = None,
) -> jax.Array:
    """The coordinates that count, a constant to derivatives.

    Args:
      student, target, start: weights s, t and u, each [P].
      matching: which coordinates count.
      parameters: the arrays of the vector, for the mask "depth" and the metric "tensor".
      key: draws the pruned coordinates, if `matching.draws`.

    Returns:
      bool [P], True for the coordinates that count.

    Raises:
      UserError: without a key, if `matching.draws`.
    """
    chex.assert_rank(student, 1)
    chex.assert_equal_shape([student, target, start])
    student, target, start = map(jax.lax.stop_gradient, (student, target, start))
    keep = jnp.ones(student.shape, bool)
    if matching.draws:
        if key is None:
            raise UserError("matching.pruned = 'random' needs a key. Pass keep_mask one.")
        keep &= prune(jax.random.uniform(key, student.shape), matching)
    elif matching.pruning_rate:
        keep &= prune(METRICS[matching.metric](student, target, start, parameters), matching)
    for mask in matching.masks:
        keep &= MASKS[mask](student, target, parameters, matching)
    return keep


def dropped_shares(keep: jax.Array, parameters: tuple[Parameter, ...]) -> jax.Array:
    """The share of each parameter array that `keep`, bool [P], leaves out; float32 [arrays]."""
    parts = [keep[parameter.part] for parameter in parameters]
    return jnp.stack([jnp.mean(~part, dtype=jnp.float32) for part in parts])


def normalised_distance(
    student: jax.Array, target: jax.Array, start: jax.Array, keep: jax.Array
) -> jax.Array:
    """L = sum_kept (s - t)^2 / sum_kept (u - t)^2 (MTT, eq. 2, on the kept coordinates), a scalar.

    The weights s, t and u and the mask are [P]. L is differentiable in the weights. 1 is the loss
    of a student that stays at its start. L is not finite where the expert did not move at all.
    """
    chex.assert_equal_shape([student, target, start, keep])
    remaining = jnp.sum(jnp.where(keep, jnp.square(student - target), 0.0))
    movement = jnp.sum(jnp.where(keep, jnp.square(start - target), 0.0))
    return remaining / movement


def matching_loss(
    student: Any, target: Any, start: Any, matching: Matching, key: jax.Array | None = None
) -> jax.Array:
    """The matching loss of parameter trees, a scalar that is differentiable in `student`.

    Args:
      student, target, start: parameter trees of one structure, or vectors [P].
      matching: which coordinates count.
      key: as for `keep_mask`.
    """
    chex.assert_trees_all_equal_shapes(student, target, start)
    parameters = layout.parameters(student)
    student, target, start = (ravel_pytree(tree)[0] for tree in (student, target, start))
    keep = keep_mask(student, target, start, matching, parameters, key)
    return normalised_distance(student, target, start, keep)
