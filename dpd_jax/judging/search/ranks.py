"""How well one score ranks what another score ranks.

Equal scores share the mean of their ranks. Of a correlation that is not defined, because all
scores of one kind are equal or there are fewer than two, the value is NaN.
"""

import numpy as np


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two scores [m]."""
    from scipy import stats  # Takes a second to import.

    return float(stats.spearmanr(a, b).statistic) if _defined(a, b) else float("nan")


def kendall(a: np.ndarray, b: np.ndarray) -> float:
    """Kendall's tau-b of two scores [m]."""
    from scipy import stats

    return float(stats.kendalltau(a, b).statistic) if _defined(a, b) else float("nan")


def top(scores: np.ndarray, count: int) -> np.ndarray:
    """Indices of the `count` largest scores, and of those equal to the last of them."""
    limit = np.sort(scores)[::-1][: min(count, len(scores))][-1]
    return np.flatnonzero(scores >= limit)


def of_winner(proxy: np.ndarray, real: np.ndarray) -> float:
    """The real score of the best by proxy; the mean over several that are equally good."""
    return float(np.mean(real[top(proxy, 1)]))


def _defined(a: np.ndarray, b: np.ndarray) -> bool:
    return len(a) > 1 and np.ptp(a) > 0 and np.ptp(b) > 0
