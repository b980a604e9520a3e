"""The processor and its free memory, from Linux; needs no JAX."""

import os
import pathlib
import platform
import sys


def processor() -> str:
    """The number of usable cores and the name of the processor."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    names = _fields("/proc/cpuinfo", "model name")
    return f"{cores} cores, {names[0] if names else platform.processor() or platform.machine()}"


def memory_bytes(path: str, name: str) -> int | None:
    """A memory size in bytes from a Linux system file; None on other systems."""
    found = _fields(path, name)  # "16289420 kB"
    return int(found[0].split()[0]) * 1024 if found else None


def peak_memory_bytes() -> int:
    """The peak memory of this process."""
    import resource  # Not on every system.

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _fields(path: str, name: str) -> list[str]:
    """The values of the "name: value" lines of a Linux system file; [] on other systems."""
    file = pathlib.Path(path)
    if not file.exists():
        return []
    lines = [line.partition(":") for line in file.read_text(encoding="utf-8").splitlines()]
    return [value.strip() for key, _, value in lines if key.strip() == name]
