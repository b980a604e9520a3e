"""Several processes with one command, each with a device of its own."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from dpd_jax.errors import UserError

_VISIBLE = "CUDA_VISIBLE_DEVICES"  # AMD's driver reads it too.
_WAIT = 0.5  # seconds


def run(command: Sequence[str], devices: str, progress: Callable[[], object]) -> str:
    """Runs a command in one process for each device, until all have ended.

    A process sees one GPU. On a CPU the processes share the cores among themselves. This process
    starts no device, so that it takes none of their memory.

    Args:
      command: program and arguments.
      devices: their number, or "all" that are visible.
      progress: called twice a second.

    Returns:
      What is to be said of processes that were killed, whose work the others have done; "" if none
      was.

    Raises:
      KeyboardInterrupt: after Ctrl-C or SIGTERM, when the processes have ended.
      UserError: if there are fewer devices, or a process ended with an error message, or all were
        killed; after all have ended.
    """
    platform, present = _present()
    count = present if devices == "all" else int(devices) if devices.isdecimal() else 0
    if not count:
        raise UserError(f"--devices={devices} must be a number from 1, or all.")
    if platform not in ("cpu", "gpu"):
        raise UserError(f"--devices is for GPUs and CPUs, and not for {platform}.")
    cores = _cores()
    most = present if platform == "gpu" else len(cores)
    if count > most:
        kind = "cores" if platform == "cpu" else "devices"
        raise UserError(f"--devices={devices}, but there are {most} {kind} here. Lower it.")
    visible = os.environ[_VISIBLE].split(",") if os.environ.get(_VISIBLE) else None
    with tempfile.TemporaryDirectory(prefix="dpd_jax-") as folder, contextlib.ExitStack() as stack:
        stack.enter_context(stoppable())
        started = []
        for place in range(count):
            log = pathlib.Path(folder) / f"{place}.log"
            own = {_VISIBLE: visible[place] if visible else str(place)}
            process = subprocess.Popen(
                command,
                env=os.environ | (own if platform == "gpu" else {}),
                stdout=stack.enter_context(log.open("wb")),
                stderr=subprocess.STDOUT,
            )
            stack.callback(_end, process)
            if platform == "cpu" and hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(process.pid, cores[place::count])
            started.append((process, log))
        while any(process.poll() is None for process, _ in started):
            progress()
            time.sleep(_WAIT)
        progress()
        return outcome(
            (process.returncode, log.read_text(encoding="utf-8", errors="replace"))
            for process, log in started
        )


def outcome(ended: Iterable[tuple[int, str]]) -> str:
    """Returns, and raises, what `run` does, from the exit status and the output of each process."""
    ended = list(ended)
    failed = [(status, text) for status, text in ended if status]
    for _, text in failed:
        _, found, message = text.rpartition("\nerror: ")
        if found:
            raise UserError(message.strip())
    if not failed:
        return ""
    status, text = failed[0]
    lines = "\n".join(text.strip().splitlines()[-12:])
    reason = f"a process ended with status {status}:\n{lines}"
    if len(failed) == len(ended):
        raise UserError(reason)
    return f"{reason}\nThe other processes have done its work."


def alone(command: Sequence[str]) -> int:
    """Runs a command in one process, which prints to stderr; returns its exit status.

    Raises KeyboardInterrupt after Ctrl-C or SIGTERM, when the process has ended.
    """
    with stoppable(), contextlib.ExitStack() as stack:
        process = subprocess.Popen(command, stdout=sys.stderr)
        stack.callback(_end, process)
        return process.wait()


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt during the block, as Ctrl-C does."""

    def stop(number, frame):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def ask(program: str) -> str:
    """The last line that a Python program prints in a process of its own, which starts JAX.

    This process then starts no device. Raises UserError if JAX cannot start one there.
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:]
        raise UserError(f"JAX cannot start a device here: {' '.join(reason)}")
    return done.stdout.strip().splitlines()[-1]


def _present() -> tuple[str, int]:
    """The platform and the number of visible devices."""
    answer = ask("import jax; print(jax.default_backend(), jax.local_device_count())")
    platform, count = answer.split()
    return platform, int(count)


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.terminate()
    process.wait()
