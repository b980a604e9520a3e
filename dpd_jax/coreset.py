"""Subset baselines: real images chosen for what a network makes of them, or of their training.

Each function chooses within one class; `per_class` serves all classes. A baseline
has to be evaluated under the same protocol as the method it is compared with:
random images alone move by 5 to 7 points between the protocols of the papers.
"""

from collections.abc import Callable

import numpy as np

from dpd_jax.synthetic import class_members


def per_class(
    labels: np.ndarray, num_classes: int, ipc: int, choose: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Chooses `ipc` images of each class.

    Args:
      labels: training labels [m].
      num_classes, ipc: how many to choose.
      choose: indices of a class [j] -> places among them [ipc], the first choice first.

    Returns:
      Indices [num_classes * ipc], class-major.

    Raises:
      UserError: if a class is smaller than ipc.
    """
    chosen = []
    for label in range(num_classes):
        members = class_members(labels, label, ipc)
        chosen.append(members[choose(members)])
    return np.concatenate(chosen)


def herding(features: np.ndarray, count: int) -> np.ndarray:
    """Herding (Welling 2009): the mean of the chosen follows the mean of all.

    At choice k (from 0) the unused row nearest to (k + 1) mean - (sum of the
    chosen) is taken, by Euclidean distance. A widely used implementation takes the
    farthest instead; its results are something else.

    Args:
      features: [m, f].
      count: how many to choose, at most m.

    Returns:
      Places [count], the first choice first.
    """
    features = np.asarray(features, np.float64)
    mean, total = features.mean(0), np.zeros(features.shape[1])
    free, chosen = np.ones(len(features), bool), []
    for k in range(count):
        distance = np.linalg.norm((k + 1) * mean - total - features, axis=1)
        place = int(np.argmin(np.where(free, distance, np.inf)))
        free[place] = False
        total += features[place]
        chosen.append(place)
    return np.array(chosen)


def k_center(features: np.ndarray, count: int) -> np.ndarray:
    """Greedy k-center (Sener & Savarese 2018).

    The row nearest to the mean comes first, then always the row that is farthest
    from all chosen ones, as the authors of DC do it.

    Args, returns: as `herding`.
    """
    features = np.asarray(features, np.float64)
    chosen = [int(np.argmin(np.linalg.norm(features - features.mean(0), axis=1)))]
    nearest = np.full(len(features), np.inf)
    for _ in range(count - 1):
        last = np.linalg.norm(features - features[chosen[-1]], axis=1)
        nearest = np.minimum(nearest, last)
        nearest[chosen[-1]] = -np.inf
        chosen.append(int(np.argmax(nearest)))
    return np.array(chosen)


def forgetting_counts(correct: np.ndarray) -> np.ndarray:
    """Forgetting events of images (Toneva et al. 2019).

    Args:
      correct: bool [t, m], whether each image was classified correctly at each time.

    Returns:
      How often an image went from correct to wrong, int [m]. An image that was
      never correct counts t + 1, more than any other can have.
    """
    events = np.sum(correct[:-1] & ~correct[1:], axis=0)
    return np.where(correct.any(0), events, len(correct) + 1)


def by_score(scores: np.ndarray, count: int, *, largest: bool) -> np.ndarray:
    """Places [count] of the largest or smallest scores [m], the first of equal ones first."""
    return np.argsort(-scores if largest else scores, kind="stable")[:count]
