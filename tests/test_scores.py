import math

import pytest

from dpd_jax.judging import scores


def test_no_advantage_and_the_ends():
    assert scores.squash(0) == pytest.approx(0.2689, abs=1e-4)  # judging.md, 4.2
    assert scores.squash(-1) == 0 and scores.squash(1) == 1


@pytest.mark.parametrize(
    "recovery, improvement, percent",
    # The published leaderboard, CIFAR-10: DC and MTT at 1 image a class, DATM at 50.
    [(0.5266, 0.1240, 19.1), (0.4221, 0.2762, 23.9), (0.1889, 0.2389, 28.0)],
)
def test_scores_of_the_leaderboard(recovery, improvement, percent):
    score = scores.label_robust_score(recovery, improvement)
    assert 100 * score == pytest.approx(percent, abs=0.06)


def test_both_augmentations_count_alike():
    expected = (math.exp(0.15) - math.exp(-1)) / (math.e - math.exp(-1))
    assert scores.augmentation_robust_score(0.2, 0.1) == pytest.approx(expected)
    assert scores.augmentation_robust_score(0.2, 0.1, weight=1) == pytest.approx(scores.squash(0.2))
