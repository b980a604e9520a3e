"""What can be seen of a run while it goes on, written beside the outer steps."""

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import jax
import numpy as np

from dpd_jax.synthetic import SyntheticSet

# Pictures rest this many times as long as they took, so that they cost at most 5 % of one core.
_REST = 20


class Watcher(contextlib.AbstractContextManager):
    """Writes a set and its pictures in the background, for a `with` block.

    The set is written every time, but if the last one is still being written. Pictures are drawn
    from time to time.
    """

    def __init__(
        self,
        write: Callable[[int, SyntheticSet], None],
        draw: Callable[[int, SyntheticSet], None],
    ):
        """`write` stores the set after so many steps, `draw` makes the pictures of it."""
        self._write = write
        self._draw = draw
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="watching")
        self._writing: Future | None = None
        self._next_pictures = 0.0

    def offer(self, step: int, result: SyntheticSet) -> None:
        """Writes a set if it is time for that; raises the error of an earlier write."""
        if self._writing and not self._writing.done():
            return
        self.wait()
        # Copies: the next step donates the buffers.
        self._writing = self._pool.submit(self._show, step, jax.tree.map(np.array, result))

    def show(self, step: int, result: SyntheticSet) -> None:
        """Writes a set and its pictures, and returns when that is done."""
        self.wait()
        self._next_pictures = 0.0
        self._show(step, result)

    def wait(self) -> None:
        """Returns when all is written; raises the error of a write."""
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def __exit__(self, *error) -> None:
        self._pool.shutdown(wait=True)

    def _show(self, step: int, result: SyntheticSet) -> None:
        self._write(step, result)
        start = time.monotonic()
        if start >= self._next_pictures:
            self._draw(step, result)
            now = time.monotonic()
            self._next_pictures = now + _REST * (now - start)
