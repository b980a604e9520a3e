"""Rank statistics, against values computed by hand."""

import math

import numpy as np
import pytest

from dpd_jax.judging.search import ranks, table
from dpd_jax.judging.search.table import Ranking

A = np.array([1.0, 2, 2, 4])
B = np.array([1.0, 3, 2, 4])


def test_correlations_with_ties():
    # Ranks 1, 2.5, 2.5, 4 and 1, 3, 2, 4; their covariance is 4.5, the squares are 4.5 and 5.
    assert ranks.spearman(A, B) == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    # Of six pairs five agree, and one is equal in A.
    assert ranks.kendall(A, B) == pytest.approx(5 / math.sqrt(5 * 6))
    assert ranks.spearman(A, -A) == ranks.kendall(A, -A) == -1
    for correlation in (ranks.spearman, ranks.kendall):
        assert math.isnan(correlation(np.ones(4), B))
        assert math.isnan(correlation(A[:1], B[:1]))


def test_the_best_include_all_that_tie_with_the_last():
    scores = np.array([0.9, 0.5, 0.7, 0.7, 0.1])
    assert ranks.top(scores, 1).tolist() == [0]
    assert ranks.top(scores, 2).tolist() == [0, 2, 3]
    assert ranks.top(scores, 9).tolist() == [0, 1, 2, 3, 4]
    real = np.array([0.8, 0.6, 0.5, 0.7, 0.4])
    assert ranks.of_winner(scores, real) == 0.8
    assert ranks.of_winner(np.array([0, 0, 1, 1, 0]), real) == pytest.approx(0.6)


def test_the_best_k_are_ranked_again_by_real_and_by_proxy_accuracy():
    real = np.arange(7) / 10
    proxy = np.array([6, 0, 1, 2, 4, 3, 5]) / 10
    found = table.figures(proxy, real)
    assert found["winner"] == real[0]
    # The best five by real accuracy have the proxy ranks 1, 2, 4, 3, 5: 1 - 6 x 2 / 120.
    assert found["spearman_top5_real"] == pytest.approx(0.9)
    # The best five by proxy accuracy have the proxy ranks 1..5 and the real ranks 2, 4, 3, 5, 1.
    differences = np.array([1, 2, 3, 4, 5]) - np.array([2, 4, 3, 5, 1])
    expected = 1 - 6 * np.sum(differences**2) / 120
    assert found["spearman_top5_proxy"] == pytest.approx(expected)
    assert "spearman_top10_real" not in found


def test_tables():
    real = np.array([0.5, 0.9, 0.7])
    names = ["a", "b", "c"]
    rankings = [
        Ranking("set", np.array([[0.1, 0.3, 0.2], [0.3, 0.2, 0.1]]), 12.0),
        Ranking("constant", np.ones((1, 3)), 1.0),
    ]
    text = table.markdown(rankings, real, names, "How.")
    # Winners b and a; correlations 1 and -0.5.
    assert "| set | 70.0 ± 20.0 | 0.25 ± 0.75 |" in text
    assert "| constant | 70.0 ± 0.0 | - | - | 1 |" in text
    assert "Best by the reference: 90.0 % (b)." in text
    assert "Best by set, mean over networks: b." in text
    assert "Best by constant, mean over networks: a and 2 more that tie." in text
    assert table.csv_lines(rankings, real).splitlines()[2].startswith("set,1,0.500000,-0.5")
    assert table.architecture_lines(rankings, real, names).splitlines()[:2] == [
        "architecture,reference,set,constant",
        "b,0.900000,0.250000,1.000000",
    ]
