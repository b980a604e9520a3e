"""Timing beside the machine's matrix product, whose rate is measured in between.

A processor's clock drifts and other programs come and go. The share of the
product's rate, taken in the same minute, drifts much less than seconds do.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dpd_jax.runs import machine

_BUDGET = 12.0  # seconds a group of works is repeated for,
_LEAST, _MOST = 3, 15  # but at least and at most so many times.
_PRODUCTS = 5  # before each repetition, in a row; the first is not timed, the median is the rate

# [rows, inner] x [inner, columns]: on a CPU the product of a student step (10 images, 16x16 maps,
# 3x3x128 patches) with a square matrix; what fills an accelerator elsewhere.
_SHAPES = {"cpu": (2560, 1152, 1152)}
_LARGE = (8192, 8192, 8192)


class Work(NamedTuple):
    """Something to be timed.

    Attributes:
      row: what is known of it beforehand; `flops` among it.
      run: does it once and returns arrays to wait for; None if it cannot be done here.
    """

    row: dict[str, Any]
    run: Callable[[], Any] | None


class Product:
    """The machine's float32 matrix product.

    Attributes:
      shape: rows, inner and columns.
      rates: operations a second, each time it was measured.
    """

    def __init__(self, shape: tuple[int, int, int] | None = None):
        """`shape`: rows, inner and columns; None is what suits the backend."""
        rows, inner, columns = shape or _SHAPES.get(jax.default_backend(), _LARGE)
        self.shape = (rows, inner, columns)
        left, right = jax.random.split(jax.random.key(0))
        self._factors = (
            jax.random.normal(left, (rows, inner)),
            jax.random.normal(right, (inner, columns)),
        )
        self._multiply = jax.jit(jnp.matmul)
        self._flops = 2 * rows * inner * columns
        self.rates: list[float] = []
        self.measure()  # Compiles.
        self.rates.clear()

    def measure(self) -> float:
        """Operations a second, the median of a few products in a row; also remembered."""
        took = [_seconds(lambda: self._multiply(*self._factors)) for _ in range(_PRODUCTS)]
        self.rates.append(self._flops / statistics.median(took[1:]))
        return self.rates[-1]

    @property
    def spread(self) -> float:
        """The range of four fifths of the rates, as a share of their median."""
        if not self.rates:
            return 0.0
        ordered = sorted(self.rates)
        cut = len(ordered) // 10
        return (ordered[-1 - cut] - ordered[cut]) / statistics.median(ordered)

    def __str__(self) -> str:
        if not self.rates:
            return "the float32 product was not measured"
        low, high = min(self.rates) / 1e9, max(self.rates) / 1e9
        middle = statistics.median(self.rates) / 1e9
        if self.spread < 0.1:
            verdict = "the machine was quiet"
        elif self.spread < 0.3:
            verdict = "the machine was not quite steady: compare shares rather than seconds"
        else:
            verdict = (
                "the machine was unsteady (its clock, or other programs): compare only rows timed "
                "side by side, and repeat"
            )
        rows, inner, columns = self.shape
        return (
            f"float32 product {rows} x {inner} x {columns}: median {middle:.0f} GFLOP/s, from "
            f"{low:.0f} to {high:.0f} over the run, four fifths within {100 * self.spread:.0f} %; "
            f"{verdict}"
        )


def compiled(function: Callable, *arguments: Any) -> tuple[Callable, float | None, int | None]:
    """Compiles for these arguments: (the program, seconds it took, its temporary bytes).

    What is more than one program, an outer step over several devices, is
    returned as it is, without figures.
    """
    if not hasattr(function, "lower"):
        return function, None, None
    began = time.perf_counter()
    program = function.lower(*arguments).compile()
    seconds = time.perf_counter() - began
    memory = program.memory_analysis()
    return program, seconds, None if memory is None else int(memory.temp_size_in_bytes)


def measure(group: list[Work], product: Product) -> list[dict[str, Any]]:
    """Times works in turn, a product before each, and completes their rows.

    Returns:
      Each work's row, with the median of its `seconds`, their least and most,
      the median rate of the products before it, and the share of it that the
      work's operations reached. They are None for what could not be done.
    """
    able = []
    for work in group:
        if work.run is None:
            continue
        try:
            _seconds(work.run)  # Warms up.
            able.append(work)
        except jax.errors.JaxRuntimeError as error:  # Most likely memory.
            work.row["error"] = str(error).partition("\n")[0]
    took: dict[int, list[float]] = {id(work): [] for work in group}
    rates: dict[int, list[float]] = {id(work): [] for work in group}
    began, done = time.perf_counter(), 0
    while able and (done < _LEAST or (done < _MOST and time.perf_counter() - began < _BUDGET)):
        for work in able:
            rates[id(work)].append(product.measure())
            took[id(work)].append(_seconds(work.run))
        done += 1
    return [
        work.row | _figures(work.row["flops"], took[id(work)], rates[id(work)]) for work in group
    ]


def _figures(flops: int, took: list[float], rates: list[float]) -> dict[str, Any]:
    seconds = statistics.median(took) if took else None
    rate = statistics.median(rates) if rates else None
    return {
        "seconds": seconds,
        "seconds_least": min(took, default=None),
        "seconds_most": max(took, default=None),
        "repetitions": len(took),
        "matmul_flops_per_second": rate,
        "fraction_of_matmul": flops / seconds / rate if took and flops else None,
    }


def _seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - began


def device_name() -> str:
    """What JAX computes on: accelerators, or cores and processor."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return machine.processor()
    return f"{jax.local_device_count()} x {device.device_kind}"


def free_memory_bytes() -> int | None:
    """Memory that can still be had there; None where nobody tells."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return machine.free_memory_bytes()
    stats = device.memory_stats() or {}
    if "bytes_limit" not in stats:
        return None
    return int(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
