"""Compiler options for the long loops, and the compilation cache.

On a CPU, XLA's default loops for elementwise operations are the slowest part of a student step.
XLA has faster ones behind options that change with its version. On two cores they save 10 to 20 %
of an outer step (docs/benchmarks.md).
"""

import functools
import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax

# The fastest first. An unknown name in XLA_FLAGS ends the process; as an option of one compilation
# it is an error that can be caught.
CPU_LOOPS: tuple[dict[str, Any], ...] = (
    {"xla_cpu_use_fusion_emitters": False},  # JAX 0.10
    {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_ELTWISE"},  # JAX 0.11 and 0.12
)


def jit(function: Callable, **options) -> Callable:
    """`jax.jit` with the fastest of CPU_LOOPS that this XLA knows; elsewhere plain `jax.jit`."""
    return jax.jit(function, compiler_options=loops() or None, **options)


@functools.cache
def loops() -> dict[str, Any]:
    """The fastest of CPU_LOOPS that this XLA knows; {} if not on a CPU or XLA_FLAGS names one."""
    if jax.default_backend() != "cpu":
        return {}
    chosen = os.environ.get("XLA_FLAGS", "")
    if any(name in chosen for option in CPU_LOOPS for name in option):
        return {}
    return next((option for option in CPU_LOOPS if is_known(option)), {})


def is_known(option: dict[str, Any]) -> bool:
    """Whether this XLA accepts a compiler option."""
    try:
        jax.jit(lambda: 0, compiler_options=option).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def use_compilation_cache(folder: str | os.PathLike = "~/.cache/dpd_jax/compiled") -> None:
    """Keeps compiled programs in a folder, so that later processes start faster.

    This changes a setting of JAX for the whole process. The commands call it; importing the
    library does not.
    """
    jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(folder).expanduser()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
