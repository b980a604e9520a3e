"""The device that JAX uses: its name, its free memory, its matrix product, its compiler."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dpd_jax.benchmarks.timing import Product
from dpd_jax.runs import machine, workers

# [rows, inner] x [inner, columns]: on a CPU the product of a student step (10 images, 16x16 maps,
# 3x3x128 patches) with a square matrix; on an accelerator, a product that fills it.
_SHAPES = {"cpu": (2560, 1152, 1152)}
_LARGE = (8192, 8192, 8192)


def float32_product(shape: tuple[int, int, int] | None = None) -> Product:
    """The product of random matrices: of rows, inner and columns, or as suits the device."""
    rows, inner, columns = shape or _SHAPES.get(jax.default_backend(), _LARGE)
    left, right = jax.random.split(jax.random.key(0))
    factors = jax.random.normal(left, (rows, inner)), jax.random.normal(right, (inner, columns))
    multiply = jax.jit(jnp.matmul)
    return Product(lambda: multiply(*factors).block_until_ready(), (rows, inner, columns))


def compiled(function: Callable, *arguments: Any) -> tuple[Callable, float | None, int | None]:
    """Compiles for these arguments.

    Returns:
      The program, the seconds of its compilation, its temporary bytes. An outer step over
      several devices is several programs: it is returned as it is, without figures.
    """
    if not hasattr(function, "lower"):
        return function, None, None
    start = time.perf_counter()
    program = function.lower(*arguments).compile()
    seconds = time.perf_counter() - start
    memory = program.memory_analysis()
    return program, seconds, None if memory is None else int(memory.temp_size_in_bytes)


def name() -> str:
    """The accelerators, or the cores and the processor."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return machine.processor()
    return f"{jax.local_device_count()} x {device.device_kind}"


def name_elsewhere() -> str:
    """The name as another process sees it, so that this one starts no device."""
    return workers.ask(f"from {__name__} import name; print(name())")


def free_memory_bytes() -> int | None:
    """Free memory of the device; None if unknown."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return machine.memory_bytes("/proc/meminfo", "MemAvailable")
    stats = device.memory_stats() or {}
    if "bytes_limit" not in stats:
        return None
    return int(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
