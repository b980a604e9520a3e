"""Subsets of real images, chosen for what a network makes of them or of their training.

Each function chooses within one class; `per_class` serves all classes. A baseline
has to be evaluated under the same protocol as the method it is compared with:
random images alone move by 5 to 7 points between the protocols of the papers.
"""

import warnings
from collections.abc import Callable

import numpy as np

from dpd_jax.data_schedule import rank_within_class
from dpd_jax.synthetic import class_members


def per_class(
    labels: np.ndarray,
    num_classes: int,
    ipc: int,
    choose: Callable[[int, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Chooses `ipc` images of each class.

    Args:
      labels: training labels [m].
      num_classes, ipc: how many to choose.
      choose: a class, indices of its images [j] -> places among them [ipc], the first choice
        first. It is called for the classes in order.

    Returns:
      Indices [num_classes * ipc], class-major.

    Raises:
      UserError: if a class is smaller than ipc.
    """
    chosen = []
    for label in range(num_classes):
        members = class_members(labels, label, ipc)
        chosen.append(members[choose(label, members)])
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
    distances = _squared_distances(features)
    free, chosen = np.ones(len(features), bool), []
    for k in range(count):
        distance = distances((k + 1) * mean - total)
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
    distances = _squared_distances(features)
    chosen = [int(np.argmin(distances(features.mean(0))))]
    nearest = np.full(len(features), np.inf)
    for _ in range(count - 1):
        nearest = np.minimum(nearest, distances(features[chosen[-1]]))
        nearest[chosen[-1]] = -np.inf
        chosen.append(int(np.argmax(nearest)))
    return np.array(chosen)


def _squared_distances(features: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A point [f] -> its squared distances [m] to the rows, as one matrix-vector product."""
    squares = np.sum(features**2, axis=1)
    return lambda point: squares - 2 * (features @ point) + point @ point


def k_means(features: np.ndarray, count: int, clusters: int, seed: int) -> np.ndarray:
    """Rows that represent all: those nearest to the centres of clusters (AST, section 3.2.1).

    The clusters give one row each in turn, the largest cluster first and in each the row nearest
    to its centre. So every count is possible, and no row is chosen twice.

    The paper has K = ipc, but 10 for 50 images per class. The released program always has K = 10
    and takes int(ipc / 10) images of each cluster, that is none below ipc 10.

    Args:
      features: [m, f].
      count: how many to choose, at most m.
      clusters: K, at most count; 0 means count.
      seed: of the first centres.

    Returns:
      Places [count], the first choice first.
    """
    from sklearn import cluster  # Its import takes a second, and only this function needs it.

    clusters = min(clusters or count, count)
    with warnings.catch_warnings():
        # With fewer distinct vectors than clusters some clusters are empty, which is harmless.
        warnings.filterwarnings("ignore", message="Number of distinct clusters")
        means = cluster.KMeans(clusters, n_init=1, random_state=seed).fit(features)
    distances = np.linalg.norm(features - means.cluster_centers_[means.labels_], axis=1)
    by_size = np.argsort(-np.bincount(means.labels_, minlength=clusters), kind="stable")
    size_rank = np.argsort(by_size)[means.labels_]
    return np.lexsort((size_rank, rank_within_class(means.labels_, distances)))[:count]


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


def by_score(scores: np.ndarray, count: int, ties: np.ndarray, *, largest: bool) -> np.ndarray:
    """Places [count] of the largest or smallest scores [m], the most extreme first.

    Among equal scores, the one with the smallest of the numbers `ties` [m] comes first.
    """
    return np.lexsort((ties, -scores if largest else scores))[:count]
