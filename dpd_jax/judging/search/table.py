"""The result of an architecture search as tables."""

import csv
import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dpd_jax.judging.search import ranks

TOP = (5, 10, 20)


class Ranking(NamedTuple):
    """The accuracies of all architectures on one candidate.

    Attributes:
      candidate: its name.
      proxy: validation accuracies of networks 0, 1, ..., [networks, architectures].
      seconds: spent on its networks.
    """

    candidate: str
    proxy: np.ndarray
    seconds: float


def figures(proxy: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """How good one ranking is for the search.

    Args:
      proxy, real: accuracies [architectures] by a candidate and by the reference.

    Returns:
      "winner", the real accuracy of the best by proxy; Spearman's and Kendall's correlation over
      all; and both over the best k by real and by proxy accuracy, ranked again among themselves,
      for the k in TOP that leave some out. Architectures that tie with the k-th are among them.
    """
    found = {
        "winner": ranks.of_winner(proxy, real),
        "spearman": ranks.spearman(proxy, real),
        "kendall": ranks.kendall(proxy, real),
    }
    for count in (count for count in TOP if count < len(real)):
        for name, by in (("real", real), ("proxy", proxy)):
            best = ranks.top(by, count)
            found[f"spearman_top{count}_{name}"] = ranks.spearman(proxy[best], real[best])
            found[f"kendall_top{count}_{name}"] = ranks.kendall(proxy[best], real[best])
    return found


def markdown(
    rankings: Sequence[Ranking], real: np.ndarray, names: Sequence[str], caption: str
) -> str:
    """A line per candidate, mean ± population standard deviation over its networks.

    `real` are the reference's accuracies [architectures], `names` their names.
    """
    tops = [count for count in TOP if count < len(names)]
    lines = [
        caption,
        "",
        "| searched on | winner's test accuracy, % | Spearman, all | Kendall, all | "
        + "".join(f"Spearman, top {count} by real / by proxy | " for count in tops)
        + "seconds |",
        "| --- " * (5 + len(tops)) + "|",
    ]
    for ranking in rankings:
        found = _over_networks(ranking, real)
        cells = [_cell(found["winner"], 100, 1), _cell(found["spearman"]), _cell(found["kendall"])]
        cells += [
            " / ".join(_cell(found[f"spearman_top{count}_{by}"]) for by in ("real", "proxy"))
            for count in tops
        ]
        lines.append(f"| {ranking.candidate} | {' | '.join(cells)} | {ranking.seconds:.0f} |")
    best = ", ".join(names[i] for i in ranks.top(real, 1))
    lines += ["", f"Best by the reference: {100 * real.max():.1f} % ({best})."]
    for ranking in rankings:
        winners = [names[i] for i in ranks.top(ranking.proxy.mean(0), 1)]
        tied = f" and {len(winners) - 1} more that tie" if len(winners) > 1 else ""
        lines.append(f"Best by {ranking.candidate}, mean over networks: {winners[0]}{tied}.")
    return "\n".join(lines) + "\n"


def csv_lines(rankings: Sequence[Ranking], real: np.ndarray) -> str:
    """One line per candidate and network, with every figure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = list(figures(real, real))
    writer.writerow(["searched_on", "network", *head])
    for ranking in rankings:
        for number, proxy in enumerate(ranking.proxy):
            found = figures(proxy, real)
            writer.writerow([ranking.candidate, number, *(f"{found[name]:.6f}" for name in head)])
    return text.getvalue()


def architecture_lines(rankings: Sequence[Ranking], real: np.ndarray, names: Sequence[str]) -> str:
    """One line per architecture: its accuracy by the reference, and the means by the others."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["architecture", "reference", *(ranking.candidate for ranking in rankings)])
    for i in np.argsort(-real, kind="stable"):
        means = [f"{ranking.proxy[:, i].mean():.6f}" for ranking in rankings]
        writer.writerow([names[i], f"{real[i]:.6f}", *means])
    return text.getvalue()


def _over_networks(ranking: Ranking, real: np.ndarray) -> dict[str, list[float]]:
    each = [figures(proxy, real) for proxy in ranking.proxy]
    return {name: [found[name] for found in each] for name in each[0]}


def _cell(values: list[float], scale: float = 1, digits: int = 2) -> str:
    """Mean ± standard deviation; "-" if a value is not defined."""
    if any(map(math.isnan, values)):
        return "-"
    return f"{scale * np.mean(values):.{digits}f} ± {scale * np.std(values):.{digits}f}"
