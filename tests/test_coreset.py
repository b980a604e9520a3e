import itertools

import numpy as np
import pytest

from dpd_jax import coreset
from dpd_jax.errors import UserError

FEATURES = np.random.default_rng(0).normal(size=(12, 3))


def test_herding_by_its_definition():
    """Plainly: at each choice every unused row is tried, the sum nearest to k means wins."""
    chosen: list[int] = []
    for k in range(1, 7):
        free = [i for i in range(12) if i not in chosen]
        target = k * FEATURES.mean(0)
        chosen.append(
            min(free, key=lambda i: np.linalg.norm(FEATURES[[*chosen, i]].sum(0) - target))
        )
    np.testing.assert_array_equal(coreset.herding(FEATURES, 6), chosen)


def test_herding_keeps_the_mean_better_than_chance():
    rows = np.random.default_rng(1).normal(size=(200, 5))
    error = np.linalg.norm(rows[coreset.herding(rows, 20)].mean(0) - rows.mean(0))
    random = [
        np.linalg.norm(rows[np.random.default_rng(s).permutation(200)[:20]].mean(0) - rows.mean(0))
        for s in range(50)
    ]
    assert error < min(random)


def test_k_center_by_its_definition():
    distance = np.linalg.norm(FEATURES[:, None] - FEATURES[None], axis=2)
    chosen = [int(np.argmin(np.linalg.norm(FEATURES - FEATURES.mean(0), axis=1)))]
    while len(chosen) < 5:
        free = [i for i in range(12) if i not in chosen]
        chosen.append(max(free, key=lambda i: min(distance[i, c] for c in chosen)))
    np.testing.assert_array_equal(coreset.k_center(FEATURES, 5), chosen)
    assert sorted(coreset.k_center(FEATURES, 12)) == list(range(12))


def test_k_center_is_within_twice_the_best_radius():
    """The guarantee of the greedy rule, by trying all sets of three."""
    distance = np.linalg.norm(FEATURES[:, None] - FEATURES[None], axis=2)

    def radius(chosen):
        return distance[:, list(chosen)].min(1).max()

    best = min(radius(chosen) for chosen in itertools.combinations(range(12), 3))
    assert radius(coreset.k_center(FEATURES, 3)) <= 2 * best


def test_forgetting_counts_changes_from_correct_to_wrong():
    correct = np.array([[1, 0, 1, 0], [0, 0, 1, 1], [1, 0, 1, 1], [0, 0, 1, 0]], bool)
    np.testing.assert_array_equal(coreset.forgetting_counts(correct), [2, 5, 0, 1])


def test_scores_are_taken_from_either_end():
    scores = np.array([2, 5, 0, 5, 1])
    np.testing.assert_array_equal(coreset.by_score(scores, 3, largest=True), [1, 3, 0])
    np.testing.assert_array_equal(coreset.by_score(scores, 2, largest=False), [2, 4])


def test_each_class_gives_as_many():
    labels = np.array([1, 0, 1, 0, 1])
    chosen = coreset.per_class(labels, 2, 2, lambda members: np.array([1, 0]))
    np.testing.assert_array_equal(chosen, [3, 1, 2, 0])
    with pytest.raises(UserError, match="ipc = 3 .* class 0 .* \\(2\\)"):
        coreset.per_class(labels, 2, 3, lambda members: np.arange(3))
