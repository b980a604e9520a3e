"""The machine as Linux tells it; without JAX, for programs that run beside it."""

import os
import pathlib
import platform


def processor() -> str:
    """Cores this process may use, and the processor's own name, which tells its clock."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    names = _fields("/proc/cpuinfo", "model name")
    return f"{cores} cores, {names[0] if names else platform.processor() or platform.machine()}"


def free_memory_bytes() -> int | None:
    """Memory that programs can still have; None where nobody tells."""
    found = _fields("/proc/meminfo", "MemAvailable")  # "16289420 kB"
    return int(found[0].split()[0]) * 1024 if found else None


def _fields(path: str, name: str) -> list[str]:
    """The values of "name: value" lines of one of Linux's own files; [] elsewhere."""
    file = pathlib.Path(path)
    if not file.exists():
        return []
    lines = [line.partition(":") for line in file.read_text(encoding="utf-8").splitlines()]
    return [value.strip() for key, _, value in lines if key.strip() == name]
