"""Ctrl-C and SIGTERM, which end a run after the work of the moment."""

import contextlib
import signal
import threading
from collections.abc import Iterator

from dpd_jax.runs import console


@contextlib.contextmanager
def noted() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; a second one raises KeyboardInterrupt."""
    asked = threading.Event()

    def handle(number, frame):
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        console.say("\nstopping after this step (press Ctrl-C again to stop at once) ...")

    previous = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
