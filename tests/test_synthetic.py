"""Where a synthetic set starts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpd_jax import synthetic
from dpd_jax.errors import UserError

LABELS = np.tile(np.arange(3), 20)


def test_hard_labels_are_exactly_one_hot_after_softmax():
    labels = synthetic.hard_labels(np.array([0, 2]), 3)
    np.testing.assert_array_equal(jax.nn.softmax(labels), [[1, 0, 0], [0, 0, 1]])


def test_real_images_are_distinct_members_of_their_class():
    chosen = synthetic.real_indices(jax.random.key(0), LABELS, 3, 5)
    np.testing.assert_array_equal(LABELS[chosen], synthetic.classes(3, 5))
    assert len(set(chosen.tolist())) == 15
    other = synthetic.real_indices(jax.random.key(1), LABELS, 3, 5)
    assert not np.array_equal(chosen, other)


def test_correct_images_come_from_the_next_expert_when_one_runs_out():
    # Expert 0 is right on the first half only and never on class 1; expert 1 on everything.
    def predictions(expert):
        asked.append(expert)
        if expert == 1:
            return LABELS
        return np.where((np.arange(60) < 30) & (LABELS != 1), LABELS, 99)

    asked = []
    chosen = synthetic.correct_indices(jax.random.key(0), LABELS, 3, 4, predictions, 2)
    np.testing.assert_array_equal(LABELS[chosen], synthetic.classes(3, 4))
    assert (chosen[:4] < 30).all()
    # Class 2 is selected by expert 1, which took over at class 1.
    assert asked == [0, 0, 1, 1]


def test_too_few_correct_images_are_refused():
    with pytest.raises(UserError, match="class 0"):
        synthetic.correct_indices(jax.random.key(0), LABELS, 3, 4, lambda expert: np.full(60, 7), 2)


def test_more_images_than_a_class_has_are_refused():
    with pytest.raises(UserError, match="ipc = 21"):
        synthetic.real_indices(jax.random.key(0), LABELS, 3, 21)


def test_soft_labels_average_the_experts_that_are_right():
    logits = np.array(
        [[[3.0, 1], [0, 2], [5, 0]], [[1.0, 4], [1, 3], [4, 1]]], np.float32
    )  # [2 experts, 3 images, 2 classes]
    labels = synthetic.expert_labels(logits, np.array([0, 1, 1]))
    # Image 0: only expert 0 is right; image 1: both; image 2: none, so the mean.
    np.testing.assert_allclose(labels, [[3, 1], [0.5, 2.5], [4.5, 0.5]])
    assert labels.dtype == jnp.float32
