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


# Three heaps of sizes in the ratio 3:2:1; row i lies i/1000 beside its own.
HEAPS = np.array([0, 0, 0, 5, 5, 9])[np.arange(24) % 6]
HEAPED = np.stack([HEAPS + np.arange(24) / 1000, np.zeros(24)], -1).astype(np.float32)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 23, 24])
@pytest.mark.parametrize("clusters", [0, 3, 10])
def test_k_means_chooses_distinct_rows_at_every_count(count, clusters):
    chosen = coreset.k_means(HEAPED, count, clusters, 0)
    assert len(chosen) == len(set(chosen.tolist())) == count
    np.testing.assert_array_equal(chosen, coreset.k_means(HEAPED, count, clusters, 0))


def test_k_means_takes_the_nearest_to_each_centre_in_turn():
    chosen = coreset.k_means(HEAPED, 3, 3, 0)
    np.testing.assert_array_equal(HEAPS[chosen], [0, 5, 9])
    (heap,) = np.nonzero(HEAPS == 0)
    assert abs(chosen[0] - heap.mean()) == np.abs(heap - heap.mean()).min()
    # Seven of three clusters: each in turn, and the largest once more.
    assert sorted(HEAPS[coreset.k_means(HEAPED, 7, 3, 0)]) == [0, 0, 0, 5, 5, 9, 9]
    # The smallest has but four: the others take over.
    assert HEAPS[coreset.k_means(HEAPED, 16, 3, 0)].tolist().count(9) == 4


def test_k_means_of_rows_that_are_all_alike():
    assert len(set(coreset.k_means(np.ones((20, 2), np.float32), 4, 0, 0).tolist())) == 4


def test_forgetting_counts_changes_from_correct_to_wrong():
    correct = np.array([[1, 0, 1, 0], [0, 0, 1, 1], [1, 0, 1, 1], [0, 0, 1, 0]], bool)
    np.testing.assert_array_equal(coreset.forgetting_counts(correct), [2, 5, 0, 1])


def test_scores_are_taken_from_either_end():
    scores, ties = np.array([2, 5, 0, 5, 1]), np.array([0, 4, 1, 2, 3])
    np.testing.assert_array_equal(coreset.by_score(scores, 3, ties, largest=True), [3, 1, 0])
    np.testing.assert_array_equal(coreset.by_score(scores, 2, ties, largest=False), [2, 4])


def test_each_class_gives_as_many():
    labels = np.array([1, 0, 1, 0, 1])
    chosen = coreset.per_class(labels, 2, 2, lambda label, members: np.array([1, label]))
    np.testing.assert_array_equal(chosen, [3, 1, 2, 2])
    with pytest.raises(UserError, match="ipc = 3 .* class 0 .* \\(2\\)"):
        coreset.per_class(labels, 2, 3, lambda label, members: np.arange(3))
