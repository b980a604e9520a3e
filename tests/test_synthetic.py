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


def clustered(indices):
    """Three heaps of every class, of sizes in the ratio 3:2:1; image i lies i/1000 beside."""
    heap = np.array([0, 0, 0, 5, 5, 9])[indices // 3 % 6]
    return np.stack([heap + indices / 1000, np.zeros(len(indices))], -1).astype(np.float32)


def representatives(ipc, clusters=0, labels=LABELS, features=clustered):
    return synthetic.representative_indices(jax.random.key(0), labels, 3, ipc, features, clusters)


def heaps(indices):
    return np.round(clustered(indices)[:, 0]).astype(int).reshape(3, -1).tolist()


@pytest.mark.parametrize("ipc", [1, 2, 3, 7, 19, 20])
@pytest.mark.parametrize("clusters", [0, 3, 10])
def test_representative_images_are_distinct_members_at_every_ipc(ipc, clusters):
    chosen = representatives(ipc, clusters)
    np.testing.assert_array_equal(LABELS[chosen], synthetic.classes(3, ipc))
    assert len(set(chosen.tolist())) == 3 * ipc
    np.testing.assert_array_equal(chosen, representatives(ipc, clusters))


def test_representative_images_are_nearest_to_the_centres_in_turn():
    one = representatives(3, 3)
    assert heaps(one) == [[0, 5, 9]] * 3
    for first, label in zip(one[::3], range(3), strict=True):
        heap = np.array([i for i in range(60) if i % 3 == label and i // 3 % 6 < 3])
        assert abs(first - heap.mean()) == np.abs(heap - heap.mean()).min()
    # Seven of three clusters: each in turn, and the largest once more.
    assert [sorted(heap) for heap in heaps(representatives(7, 3))] == [[0, 0, 0, 5, 5, 9, 9]] * 3
    # The smallest has but three: the others take over.
    assert heaps(representatives(14, 3))[0].count(9) == 3


def test_images_that_all_look_alike_can_still_be_chosen():
    chosen = representatives(4, features=lambda indices: np.ones((len(indices), 2), np.float32))
    assert len(set(chosen.tolist())) == 12


def test_too_small_a_class_is_said_before_anything_is_clustered():
    with pytest.raises(UserError, match="ipc = 21"):
        representatives(21, features=None)


def test_soft_labels_average_the_experts_that_are_right():
    logits = np.array(
        [[[3.0, 1], [0, 2], [5, 0]], [[1.0, 4], [1, 3], [4, 1]]], np.float32
    )  # [2 experts, 3 images, 2 classes]
    labels = synthetic.expert_labels(logits, np.array([0, 1, 1]))
    # Image 0: only expert 0 is right; image 1: both; image 2: none, so the mean.
    np.testing.assert_allclose(labels, [[3, 1], [0.5, 2.5], [4.5, 0.5]])
    assert labels.dtype == jnp.float32
