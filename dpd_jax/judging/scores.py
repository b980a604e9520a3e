"""Fair scores of a distilled set (DD-Ranking, arXiv 2505.13300), all as fractions.

    HLR = Acc(whole training set, hard labels) - Acc(set, hard labels)
    IOR = Acc(set, its labels) - Acc(random real images, labels of the same kind)
    LRS = squash(w IOR - (1 - w) HLR)
    ARS = squash(g (set - random, augmented) + (1 - g) (set - random, not augmented))
    squash(a) = (exp(a) - exp(-1)) / (exp(1) - exp(-1))

LRS cannot be compared across images per class: random images improve, and IOR shrinks.
"""

import math


def squash(advantage: float) -> float:
    """An advantage in [-1, 1] as a score in [0, 1]; no advantage gives 0.269."""
    return (math.exp(advantage) - math.exp(-1)) / (math.exp(1) - math.exp(-1))


def label_robust_score(recovery: float, improvement: float, weight: float = 0.5) -> float:
    """LRS.

    Args:
      recovery: HLR, a fraction; smaller is better.
      improvement: IOR, a fraction; larger is better.
      weight: w in [0, 1].
    """
    return squash(weight * improvement - (1 - weight) * recovery)


def augmentation_robust_score(augmented: float, plain: float, weight: float = 0.5) -> float:
    """ARS.

    Args:
      augmented: accuracy of the set less that of random real images, with augmentation.
      plain: the same without augmentation.
      weight: g in [0, 1].
    """
    return squash(weight * augmented + (1 - weight) * plain)
