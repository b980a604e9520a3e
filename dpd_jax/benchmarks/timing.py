"""Times functions next to the machine's matrix product, whose rate is measured in between.

Clock rates drift and other programs interfere. The share of the product's rate in the same
minute drifts much less than seconds do. Needs no JAX, so that PyTorch is timed alike.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

_BUDGET = 12.0  # seconds for the repetitions of a group of works,
_LEAST, _MOST = 3, 15  # but at least and at most this many.
_PRODUCTS = 5  # before each repetition; the first is a warm-up, the median is the rate


class Work(NamedTuple):
    """A function to be timed."""

    row: dict[str, Any]  # the fields known before the measurement; `flops` is one of them
    run: Callable[[], Any]  # returns when the work is done; a RuntimeError becomes the row's error


class Product:
    """The machine's float32 matrix product.

    `multiply` computes a product of `shape` (rows, inner, columns) and returns when it is
    done. `rates` are the operations per second of all measurements.
    """

    def __init__(self, multiply: Callable[[], Any], shape: tuple[int, int, int]):
        self.shape = shape
        self._multiply = multiply
        self.rates: list[float] = []
        multiply()  # Compiles.

    def measure(self) -> float:
        """Operations per second: the median of a few products in a row."""
        rows, inner, columns = self.shape
        times = [seconds(self._multiply) for _ in range(_PRODUCTS)]
        self.rates.append(2 * rows * inner * columns / statistics.median(times[1:]))
        return self.rates[-1]

    @property
    def spread(self) -> float:
        """The range of the middle four fifths of the rates, divided by their median."""
        if not self.rates:
            return 0.0
        ordered = sorted(self.rates)
        cut = len(ordered) // 10
        return (ordered[-1 - cut] - ordered[cut]) / statistics.median(ordered)

    def __str__(self) -> str:
        if not self.rates:
            return "the float32 product was not measured"
        if self.spread < 0.1:
            verdict = "the machine was steady"
        elif self.spread < 0.3:
            verdict = "the machine was not quite steady: compare shares, not seconds"
        else:
            verdict = "the machine was unsteady: compare only rows of the same group, and repeat"
        low, middle, high = min(self.rates), statistics.median(self.rates), max(self.rates)
        return (
            f"float32 product {' x '.join(map(str, self.shape))}: median {middle / 1e9:.0f} "
            f"GFLOP/s, from {low / 1e9:.0f} to {high / 1e9:.0f} over the run, four fifths within "
            f"{100 * self.spread:.0f} %; {verdict}"
        )


def measure(group: list[Work], product: Product) -> list[dict[str, Any]]:
    """Times works in turn, each after a measurement of the product.

    Returns:
      The row of each work with the median, least and most seconds, the median rate of the
      products before it, and the fraction of this rate that its operations reached. They are
      None for a work that cannot run.
    """
    times: list[list[float]] = [[] for _ in group]
    rates: list[list[float]] = [[] for _ in group]
    able = []
    for place, work in enumerate(group):
        try:
            work.run()  # Warms up.
            able.append(place)
        except RuntimeError as error:  # Probably out of memory.
            work.row["error"] = str(error).partition("\n")[0]
    start, done = time.perf_counter(), 0
    while able and (done < _LEAST or (done < _MOST and time.perf_counter() - start < _BUDGET)):
        for place in able:
            rates[place].append(product.measure())
            times[place].append(seconds(group[place].run))
        done += 1
    return [_figures(*measured) for measured in zip(group, times, rates, strict=True)]


def _figures(work: Work, times: list[float], rates: list[float]) -> dict[str, Any]:
    middle = statistics.median(times) if times else None
    rate = statistics.median(rates) if rates else None
    share = work.row["flops"] / middle / rate if middle and rate else None
    return work.row | {
        "seconds": middle,
        "seconds_least": min(times, default=None),
        "seconds_most": max(times, default=None),
        "repetitions": len(times),
        "matmul_flops_per_second": rate,
        "fraction_of_matmul": share or None,
    }


def seconds(run: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
