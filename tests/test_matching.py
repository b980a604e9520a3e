"""Masks and the matching loss on small vectors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpd_jax import matching as matching_lib
from dpd_jax.errors import UserError
from dpd_jax.matching import Matching
from dpd_jax.networks import layout
from dpd_jax.presets import base


def vectors(size=1000, seed=0):
    keys = jax.random.split(jax.random.key(seed), 3)
    return tuple(jax.random.normal(key, (size,)) for key in keys)


def parameters(*sizes):
    return layout.parameters([np.zeros(size) for size in sizes])


def test_ten_numbers_by_hand():
    target = jnp.zeros(10)
    student = jnp.array([1.0, -9, 2, 3, 0, 8, -1, 0, 4, 5])
    start = jnp.full(10, 2.0)
    matching = Matching(pruning_rate=0.2)
    keep = matching_lib.keep_mask(student, target, start, matching, parameters(10))
    np.testing.assert_array_equal(np.flatnonzero(~keep), [1, 5])
    loss = matching_lib.matching_loss(student, target, start, matching)
    assert loss == pytest.approx((1 + 4 + 9 + 0 + 1 + 0 + 16 + 25) / (8 * 4))


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.1, 0.125, 0.5, 0.999])
@pytest.mark.parametrize("pruned", matching_lib.PRUNED)
@pytest.mark.parametrize("metric", matching_lib.METRICS)
def test_keeps_exactly_p_minus_b(rate, metric, pruned):
    weights, sizes = vectors(), parameters(400, 600)
    matching = Matching(pruning_rate=rate, metric=metric, pruned=pruned)
    keep = matching_lib.keep_mask(*weights, matching, sizes, jax.random.key(1))
    assert keep.sum() == 1000 - int(1000 * rate)


def test_smallest_leaves_out_what_largest_keeps_and_random_differs_with_its_key():
    weights, sizes = vectors(), parameters(1000)

    def kept(pruned, rate, seed=0):
        matching = Matching(pruning_rate=rate, pruned=pruned)
        return np.asarray(matching_lib.keep_mask(*weights, matching, sizes, jax.random.key(seed)))

    np.testing.assert_array_equal(kept("smallest", 0.25), ~kept("largest", 0.75))
    first, second = kept("random", 0.5), kept("random", 0.5, seed=1)
    assert 400 < (first != second).sum() < 600


def test_keeps_exactly_p_minus_b_under_ties():
    student = jnp.concatenate([jnp.zeros(500), jnp.ones(500)])
    keep = matching_lib.keep_mask(
        student, jnp.zeros(1000), jnp.ones(1000), Matching(pruning_rate=0.1), parameters(1000)
    )
    # Of the 500 equal largest the first 100 go: the sort is stable.
    np.testing.assert_array_equal(np.flatnonzero(~keep), np.arange(500, 600))


@pytest.mark.parametrize("ranking", matching_lib.RANKINGS)
@pytest.mark.parametrize("dropped", [0, 1, 2, 5, 8, 35, 39, 40])
def test_drops_what_a_stable_sort_puts_first(dropped, ranking):
    odd = [1, np.nan, 3, -np.nan, -2, np.inf, 3, -np.inf, 0.0, -0.0]
    scores = np.array([*odd, *np.arange(20) // 3 - 3.0, *odd], np.float32)
    for sign, drop in ((-1, matching_lib.drop_largest), (1, matching_lib.drop_smallest)):
        keep = drop(jnp.asarray(scores), dropped, ranking)
        order = np.argsort(sign * scores, kind="stable")  # NaN last
        np.testing.assert_array_equal(np.flatnonzero(~keep), np.sort(order[:dropped]))


@pytest.mark.parametrize(
    "size, rate, pruned",
    [(320_010, 0.1, 32_001), (320_010, 0.125, 40_001), (504_420, 0.1, 50_442), (1000, 0.29, 290)],
)
def test_count_is_the_floor_of_the_decimal(size, rate, pruned):
    assert matching_lib.count(size, rate) == pruned


def test_rate_zero_is_the_unpruned_loss_exactly():
    student, target, start = vectors()
    plain = jnp.sum((student - target) ** 2) / jnp.sum((start - target) ** 2)
    assert matching_lib.matching_loss(student, target, start, Matching()) == plain


def test_squares_rank_as_magnitudes_and_the_others_do_not():
    student, target, start = vectors()
    masks = {
        metric: np.asarray(
            matching_lib.keep_mask(
                student,
                target,
                start,
                Matching(metric=metric, pruning_rate=0.1),
                parameters(10, 990),
            )
        )
        for metric in matching_lib.METRICS
    }
    np.testing.assert_array_equal(masks["absolute"], masks["squared"])
    different = [m for m in masks if m != "squared"]
    for i, one in enumerate(different):
        for other in different[i + 1 :]:
            assert (masks[one] != masks[other]).any(), (one, other)


def test_trees_and_vectors_agree():
    tree = lambda v: {"a": v[:600].reshape(20, 30), "b": v[600:]}  # noqa: E731
    student, target, start = vectors()
    matching = Matching(metric="tensor", pruning_rate=0.1)
    by_tree = matching_lib.matching_loss(tree(student), tree(target), tree(start), matching)
    keep = matching_lib.keep_mask(student, target, start, matching, parameters(600, 400))
    by_vector = matching_lib.normalised_distance(student, target, start, keep)
    assert by_tree == by_vector


def test_mask_is_a_constant_to_the_gradient():
    student, target, start = vectors()
    matching = Matching(metric="relative", pruning_rate=0.3)
    keep = matching_lib.keep_mask(student, target, start, matching, parameters(1000))
    movement = jnp.sum(jnp.where(keep, (start - target) ** 2, 0))
    gradient = jax.grad(lambda s: matching_lib.matching_loss(s, target, start, matching))(student)
    np.testing.assert_allclose(
        gradient, jnp.where(keep, 2 * (student - target) / movement, 0), rtol=1e-5
    )


def test_masks_compose():
    student, target, start = vectors()
    depth = Matching(masks=("depth",), depth_ratio=0.25)
    both = Matching(masks=("depth",), depth_ratio=0.25, pruning_rate=0.1)
    pruned = Matching(pruning_rate=0.1)
    keep = [
        np.asarray(matching_lib.keep_mask(student, target, start, m, parameters(1000)))
        for m in (depth, pruned, both)
    ]
    np.testing.assert_array_equal(keep[0] & keep[1], keep[2])
    np.testing.assert_array_equal(np.flatnonzero(~keep[0]), np.arange(250))


def test_ratio_zeros_and_signs():
    student = jnp.array([0.0, 0.0, 1.0, 1.0, 1.0, -1.0])
    target = jnp.array([0.0, 1.0, 0.0, 5.0, -1.0, -20.0])
    start = jnp.ones(6)

    def kept(**changes):
        matching = Matching(masks=("ratio",), **changes)
        return np.asarray(
            matching_lib.keep_mask(student, target, start, matching, parameters(6))
        ).tolist()

    assert kept() == [True, False, False, True, False, False]
    assert kept(ratio_keep_zeros=False) == [False, False, False, True, False, False]
    assert kept(ratio_signed=False) == [True, False, False, True, True, False]


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(pruning_rate=1.0), "pruning_rate"),
        (dict(pruning_rate=-0.1), "pruning_rate"),
        (dict(metric="l2norm"), "absolute"),
        (dict(masks=("differences",)), "depth, ratio"),
        (dict(pruned="biggest"), "largest, smallest, random"),
        (dict(masks=("difference",)), "pruning_rate"),
        (dict(depth_ratio=1.5), "depth_ratio"),
        (dict(ratio_epsilon=0.0), "ratio_epsilon"),
    ],
)
def test_impossible_choices_are_refused_by_name(changes, message):
    with pytest.raises(UserError, match=message):
        Matching(**changes)


def test_dropped_shares_are_those_counted_one_by_one():
    keep = np.random.default_rng(0).random(23) > 0.4
    sizes = (1, 7, 3, 12)
    counted, place = [], 0
    for size in sizes:
        dropped = 0
        for _ in range(size):
            dropped += not keep[place]
            place += 1
        counted.append(dropped / size)
    shares = matching_lib.dropped_shares(jnp.asarray(keep), parameters(*sizes))
    np.testing.assert_allclose(shares, counted, rtol=1e-6)


def test_vectors_of_different_length_are_refused():
    with pytest.raises(AssertionError, match="shape"):
        matching_lib.matching_loss(jnp.zeros(3), jnp.zeros(4), jnp.zeros(3), Matching())


def test_a_config_of_an_earlier_version_means_the_same():
    old = {"seed": 1, "matching": {"masks": ["depth", "difference"], "pruning_rate": 0.1}}
    new = {"seed": 1, "matching": {"masks": ["depth"], "pruning_rate": 0.1}}
    assert base.upgrade(old) == new
    assert base.upgrade(new) == new
    unpruned = base.upgrade({"matching": {"masks": ("difference",), "pruning_rate": 0.0}})
    assert not Matching(**unpruned["matching"]).drops
    pad = {"masks": ["loss"], "pruning_rate": 0.0, "loss_ratio": 0.25}
    smallest = {"masks": [], "pruning_rate": 0.25, "pruned": "smallest"}
    assert base.upgrade({"matching": pad})["matching"] == smallest
    assert base.upgrade({"reduced": True, "seed": 1}) == {"scale": "small", "seed": 1}
