"""The outer step: its loss, the steps it skips or rolls back, its averages."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpd_jax import distill, guard, parallel, trajectory_matching
from dpd_jax.errors import UserError
from dpd_jax.optimizers import Rule
from dpd_jax.synthetic import SyntheticSet
from dpd_jax.trajectory_matching import TrajectorySegment
from tests import toys

NETWORK = toys.convnet(depth=1)
STUDENT = toys.student(syn_steps=2)


def synthetic_set(step_size=0.05):
    keys = jax.random.split(jax.random.key(1), 2)
    images = jax.random.normal(keys[0], (3, *NETWORK.image_shape))
    return SyntheticSet(images, jax.random.normal(keys[1], (3, 3)), jnp.asarray(step_size))


def segments(count=1, target=None):
    keys = jax.random.split(jax.random.key(2), count)

    def one(key):
        start = NETWORK.init(key)
        end = start + 0.01 * jnp.sign(start) if target is None else jnp.full_like(start, target)
        return jnp.stack([start, end])

    return TrajectorySegment(jax.vmap(one)(keys), jnp.zeros(count, jnp.int32))


@functools.cache
def step(outer=None, guard=None, count=1, devices=1, student=STUDENT):
    gradient = trajectory_matching.make_gradient(
        NETWORK, student, toys.matching(), segments=count, devices=devices
    )
    return distill.make_step(
        gradient,
        outer or toys.outer(),
        guard or toys.guard(),
        total_weight=sum(student.alignment.weights),
        whole=devices == student.batch_devices == 1,
    )


def run(steps, state, function, segment=None):
    for _ in range(steps):
        state, metrics = function(state, segment or segments(), jax.random.key(0))
    return state, jax.device_get(metrics)


def test_the_loss_goes_down():
    outer = toys.outer(images=Rule("adam", 0.02, 0.9))
    function = step(outer)
    _, first = run(1, distill.init(synthetic_set(), outer), function)
    _, last = run(30, distill.init(synthetic_set(), outer), function)
    assert last.loss < first.loss
    assert last.trouble == 0 and last.applied


def test_a_step_above_the_threshold_moves_nothing_but_the_counters():
    outer = toys.outer(threshold=1e-6)
    before = distill.init(synthetic_set(), outer)
    after, metrics = run(3, distill.init(synthetic_set(), outer), step(outer))
    assert not metrics.applied and metrics.trouble == 0
    chex.assert_trees_all_equal(before.synthetic, after.synthetic)
    chex.assert_trees_all_equal(before.optimizer, after.optimizer)
    assert after.step == 3 and metrics.idle == 3


def test_a_student_that_stands_still_has_loss_1_for_each_matched_epoch():
    between = toys.alignment(intermediate="equal")
    student = dataclasses.replace(STUDENT, alignment=between)
    params = segments().params
    longer = TrajectorySegment(jnp.concatenate([params, params[:, 1:]], 1), jnp.zeros(1, jnp.int32))
    still = Rule("sgd", 0.0, 0.0)
    outer = toys.outer(threshold=1.01, step_size=still, initial_step_size=1e-6)
    first = distill.init(synthetic_set(step_size=1e-6), outer)
    _, metrics = run(1, first, step(outer, toys.guard(max_loss=1.01), student=student), longer)
    np.testing.assert_allclose(metrics.loss, 2, atol=0.01)  # 1 for each of the two epochs.
    assert metrics.applied and metrics.trouble == 0


@pytest.mark.parametrize(
    "segment, outer, message",
    [
        (segments(target=np.nan), toys.outer(), "matching loss is not finite"),
        (segments(target=np.inf), toys.outer(), "matching loss is not finite"),
        (None, toys.outer(images=Rule("sgd", 1e6, 0.5)), "images moved"),
        (
            None,
            toys.outer(step_size=Rule("sgd", 1e4, 0.5), step_size_update="plain"),
            "step size changed",
        ),
    ],
)
def test_a_bad_step_is_undone_and_explained(segment, outer, message):
    before = distill.init(synthetic_set(), outer)
    after, metrics = run(1, distill.init(synthetic_set(), outer), step(outer), segment)
    assert not metrics.applied and message in guard.explain(int(metrics.trouble))
    chex.assert_trees_all_equal(before.synthetic, after.synthetic)
    chex.assert_trees_all_equal(before.optimizer, after.optimizer)
    assert metrics.scale == 0.5 and all(np.isfinite(x).all() for x in after.synthetic)


def test_three_bad_steps_in_a_row_return_to_the_snapshot_and_good_ones_recover():
    outer = toys.outer(ema_decay=0.9, images=Rule("sgd", 0.1, 0.0))
    bad, function = segments(target=np.nan), step(outer)

    def sets(state):
        return jax.device_get((state.synthetic, state.average))

    state, _ = run(2, distill.init(synthetic_set(), outer), function)
    snapshot = sets(state)  # Taken every second step.
    state, _ = run(1, state, function)
    moved = sets(state)
    for before, after in zip(snapshot, moved, strict=True):
        assert np.any(before.images != after.images)
    state, _ = run(2, state, function, bad)
    chex.assert_trees_all_equal(moved, sets(state))
    state, metrics = run(1, state, function, bad)
    chex.assert_trees_all_equal(snapshot, sets(state))
    assert metrics.scale == 0.125 and metrics.idle == 3
    state, metrics = run(2, state, function)  # recovery = 2
    assert metrics.scale == 0.25 and metrics.applied


def test_learning_rates_drop_after_the_steps_at_the_full_rate():
    def moves(outer):
        state, function, sizes = distill.init(synthetic_set(), outer), step(outer), []
        for _ in range(4):
            before = state.synthetic
            state, _ = run(1, jax.tree.map(jnp.copy, state), function)
            sizes.append(jax.tree.map(lambda a, b: jnp.abs(a - b).max(), state.synthetic, before))
        return [[float(size[part]) for size in sizes] for part in range(3)]

    plain = toys.outer(
        images=Rule("sgd", 1.0, 0.0),
        labels=Rule("adam", 1e-3, 0.9),
        step_size=Rule("sgd", 1e-4, 0.0),
    )
    whole = moves(plain)
    less = moves(dataclasses.replace(plain, decay_step=2, decay_factor=0.1))
    for full, dropped in zip(whole, less, strict=True):
        np.testing.assert_allclose(dropped[:2], full[:2], rtol=1e-5)
        np.testing.assert_allclose(dropped[2], 0.1 * full[2], rtol=1e-2)
        assert dropped[3] < 0.2 * full[3]


def test_average_follows_only_applied_steps_and_keeps_the_step_size():
    outer = toys.outer(ema_decay=0.9, images=Rule("sgd", 0.1, 0.0))
    function = step(outer)
    first = jax.device_get(synthetic_set())
    state, _ = run(1, distill.init(synthetic_set(), outer), function)
    expected = 0.9 * first.images + 0.1 * np.asarray(state.synthetic.images)
    np.testing.assert_allclose(state.average.images, expected, rtol=1e-6)
    assert state.average.step_size == state.synthetic.step_size
    before = np.asarray(state.average.images)
    state, _ = run(1, state, function, segments(target=np.nan))
    np.testing.assert_array_equal(state.average.images, before)


def test_same_key_same_bits_and_continuing_is_not_starting_again():
    function = step()
    whole, _ = run(4, distill.init(synthetic_set(), toys.outer()), function)
    half, _ = run(2, distill.init(synthetic_set(), toys.outer()), function)
    half = jax.tree.map(jnp.asarray, jax.device_get(half))
    resumed, _ = run(2, half, function)
    chex.assert_trees_all_equal(jax.device_get(whole), jax.device_get(resumed))


def test_a_mirrored_set_meets_the_expert_as_the_set_meets_a_mirrored_expert():
    def mirrored(params):
        """Weights of a network that sees mirrored images."""
        parts = []
        for p in NETWORK.parameters:
            array = params[p.offset : p.offset + p.size].reshape(p.shape)
            if len(p.shape) == 4:  # height, width, in, out
                array = array[:, ::-1]
            elif len(p.shape) == 2:  # a map of 4 x 4 x channels, classes
                array = array.reshape(4, 4, -1, p.shape[1])[:, ::-1]
            parts.append(array.ravel())
        return jnp.concatenate(parts)

    def loss(synthetic, segment, key=0, mirror=False):
        chosen = dataclasses.replace(STUDENT, mirror=mirror)
        return trajectory_matching.segment_loss(
            synthetic,
            segment,
            jax.random.key(key),
            network=NETWORK,
            student=chosen,
            matching=toys.matching(),
        )[0]

    plain, segment = synthetic_set(), jax.tree.map(lambda x: x[0], segments())
    turned = plain._replace(images=plain.images[:, :, ::-1])
    other = segment._replace(params=jnp.stack([mirrored(x) for x in segment.params]))
    as_it_is, by_mirror = loss(plain, segment), loss(turned, segment)
    assert abs(as_it_is - by_mirror) > 1e-5
    np.testing.assert_allclose(by_mirror, loss(plain, other), rtol=1e-5)
    drawn = [loss(plain, segment, key, mirror=True) for key in range(8)]
    near = np.isclose(np.array(drawn)[:, None], [as_it_is, by_mirror], rtol=1e-5)
    assert near.any(axis=0).all() and near.any(axis=1).all(), "each now and then, and nothing else"


def test_devices_share_the_segments_of_one_average():
    # Two steps: the second begins with a state that lies on all devices.
    alone, metrics = run(
        2, distill.init(synthetic_set(), toys.outer()), step(count=16), segments(16)
    )
    spread, other = run(
        2,
        distill.init(synthetic_set(), toys.outer()),
        step(count=16, devices=8),
        segments(16),
    )
    np.testing.assert_allclose(metrics.loss, other.loss, rtol=1e-5)
    alone, spread = jax.device_get((alone.synthetic, spread.synthetic))
    chex.assert_trees_all_close(alone, spread, rtol=1e-5, atol=1e-6)


def test_devices_share_one_batch():
    # Three images over two devices, a chunk of one at a time: one share is short.
    shared = dataclasses.replace(STUDENT, batch_devices=2, chunk=1)
    alone, metrics = run(1, distill.init(synthetic_set(), toys.outer()), step())
    spread, other = run(1, distill.init(synthetic_set(), toys.outer()), step(student=shared))
    for a, b in zip(metrics[:5], other[:5], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    alone, spread = jax.device_get((alone.synthetic, spread.synthetic))
    chex.assert_trees_all_close(alone, spread, rtol=1e-5, atol=1e-6)


def test_the_metrics_have_the_dropped_share_of_each_array():
    _, metrics = run(1, distill.init(synthetic_set(), toys.outer()), step())
    sizes = np.array([parameter.size for parameter in NETWORK.parameters])
    dropped = metrics.dropped * sizes  # Whole weights, floor(P / 10) of them in all.
    np.testing.assert_allclose(dropped, np.round(dropped), atol=1e-3)
    assert round(dropped.sum()) == NETWORK.num_params // 10
    unmasked = jax.eval_shape(
        lambda syn, segment: trajectory_matching.segment_loss(
            syn,
            segment,
            jax.random.key(0),
            network=NETWORK,
            student=STUDENT,
            matching=toys.matching(pruning_rate=0.0),
        ),
        synthetic_set(),
        jax.tree.map(lambda x: x[0], segments()),
    )
    assert unmasked[1] is None


def test_uneven_shares_and_missing_devices_are_refused():
    with pytest.raises(UserError, match="segments"):
        parallel.mean_over_segments(lambda a, b: a, 3, 2)
    with pytest.raises(UserError, match="devices"):
        parallel.mean_over_segments(lambda a, b: a, 1024, 1024)
    with pytest.raises(UserError, match="batch_devices"):
        parallel.sharing_rows(lambda a, b: a, 1024)


@pytest.mark.parametrize(
    "make",
    [
        lambda: toys.outer(ema_decay=1.0),
        lambda: toys.guard(backoff=0.0),
        lambda: toys.guard(patience=0),
        lambda: dataclasses.replace(toys.outer(), step_size_update="log").optimizer(),
    ],
)
def test_impossible_choices_are_refused(make):
    with pytest.raises(UserError):
        make()
