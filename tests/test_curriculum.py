"""Start epochs and expert order."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpd_jax import curriculum as curriculum_lib
from dpd_jax.curriculum import Curriculum
from dpd_jax.errors import UserError

GROWING = Curriculum(
    expert_epochs=2,
    min_start_epoch=1,
    current_max_start_epoch=3,
    max_start_epoch=6,
    expansion_interval=10,
)


def draws(curriculum, steps, num_experts=5, key=None):
    key = jax.random.key(0) if key is None else key
    many = jax.vmap(lambda i: curriculum_lib.draw(key, i, i, curriculum, num_experts))
    return jax.device_get(many(jnp.arange(steps)))


def test_bounds_grow_by_one_every_interval_and_are_inclusive():
    starts = np.concatenate(
        [draws(GROWING, 60, key=jax.random.key(seed)).start_epoch[None] for seed in range(200)]
    )
    for first, bound in ((0, 3), (10, 4), (20, 5), (30, 6), (40, 6)):
        seen = np.unique(starts[:, first : first + 10])
        np.testing.assert_array_equal(seen, np.arange(1, bound + 1))


def test_exclusive_draws_leave_the_bound_out():
    curriculum = dataclasses.replace(GROWING, inclusive=False, expansion_interval=0)
    assert set(draws(curriculum, 500).start_epoch) == {1, 2, 3, 4, 5}
    assert curriculum.last_epoch == 7 and GROWING.last_epoch == 8


def test_start_epochs_are_uniform():
    curriculum = dataclasses.replace(GROWING, expansion_interval=0)
    counts = np.bincount(draws(curriculum, 6000).start_epoch)[1:]
    # Six equally likely values: chi-square with 5 degrees of freedom, 1 in 10^5.
    assert np.sum((counts - 1000) ** 2 / 1000) < 30


def test_each_expert_once_a_pass_in_another_order():
    experts = draws(GROWING, 40, num_experts=8).expert.reshape(5, 8)
    np.testing.assert_array_equal(np.sort(experts, 1), np.tile(np.arange(8), (5, 1)))
    assert len({tuple(row) for row in experts}) > 1


def test_a_draw_depends_on_its_arguments_alone():
    all_at_once = draws(GROWING, 20)
    alone = curriculum_lib.draw(jax.random.key(0), jnp.int32(13), jnp.int32(13), GROWING, 5)
    assert (alone.expert, alone.start_epoch) == (
        all_at_once.expert[13],
        all_at_once.start_epoch[13],
    )


@pytest.mark.parametrize(
    "changes",
    [
        dict(min_start_epoch=4),
        dict(min_start_epoch=-1),
        dict(max_start_epoch=2),
        dict(expert_epochs=0),
        dict(inclusive=False, current_max_start_epoch=1),
    ],
)
def test_impossible_bounds_are_refused(changes):
    with pytest.raises(UserError, match="curriculum"):
        dataclasses.replace(GROWING, **changes)
