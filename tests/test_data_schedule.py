import dataclasses

import numpy as np
import pytest

from dpd_jax.data_schedule import DataSchedule
from dpd_jax.errors import UserError

# PAD's program with the values of its README.
RELEASED = DataSchedule(removal_epochs=(40, 60), removal_ratios=(0.1, 0.2))
PAPER = DataSchedule()


def classes(*sizes):
    """Labels, and ranks in random order within each class."""
    draws = np.random.default_rng(0)
    labels = draws.permutation(np.repeat(np.arange(len(sizes)), sizes))
    ranks = np.empty(len(labels), int)
    for label, size in enumerate(sizes):
        ranks[labels == label] = draws.permutation(size)
    return ranks, labels


def seen_of(schedule, epoch, ranks, labels):
    """The ranks seen, sorted, of each class."""
    seen = schedule.seen(epoch, ranks, labels)
    assert seen.dtype == np.int32 and seen.shape == labels.shape
    index = np.flatnonzero(seen >= 0)
    np.testing.assert_array_equal(seen[index], index)
    return [sorted(ranks[index][labels[index] == c]) for c in range(labels.max() + 1)]


def test_the_released_programs_class_sizes_on_cifar10():
    ranks, labels = classes(5000)
    expected = {0: 3750, 10: 4375, 20: 5000, 40: 5000, 41: 4500, 60: 4500, 61: 4000, 99: 4000}
    for epoch, size in expected.items():
        (own,) = seen_of(RELEASED, epoch, ranks, labels)
        # The easiest while images are added, all but the easiest once they leave.
        first = 0 if epoch <= 40 else 5000 - size
        assert own == list(range(first, first + size))
    # The paper removes once.
    assert len(seen_of(PAPER, 99, ranks, labels)[0]) == 4500


def test_every_size_of_class_keeps_its_share():
    """Classes of 500 start whole and end empty in the released program."""
    ranks, labels = classes(500, 40, 1)
    assert [len(own) for own in seen_of(PAPER, 0, ranks, labels)] == [375, 30, 1]
    assert [len(own) for own in seen_of(PAPER, 30, ranks, labels)] == [500, 40, 1]
    assert [len(own) for own in seen_of(PAPER, 50, ranks, labels)] == [450, 36, 1]
    assert seen_of(PAPER, 50, ranks, labels)[0] == list(range(50, 500))


def test_off_in_each_of_its_parts():
    ranks, labels = classes(8, 8)
    whole = DataSchedule(1.0, 5, (), ())
    at_once = DataSchedule(0.5, 0, (), ())
    for epoch in (0, 3, 5, 100):
        for schedule in (whole, at_once):
            assert seen_of(schedule, epoch, ranks, labels) == [list(range(8))] * 2


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"initial_ratio": 0.0}, "initial_ratio = 0.0"),
        ({"initial_ratio": 1.5}, "initial_ratio = 1.5"),
        ({"addition_end_epoch": -1}, "addition_end_epoch = -1"),
        ({"removal_epochs": (40,)}, "same length"),
        ({"removal_epochs": (60, 40)}, "must increase"),
        ({"removal_epochs": (10, 40)}, "none be below addition_end_epoch = 20"),
        ({"removal_ratios": (0.1, 1.0)}, r"removal_ratios = 1.0 must lie in \[0, 1\)"),
    ],
)
def test_schedules_that_cannot_be(changes, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(RELEASED, **changes)
