"""The inputs of outer steps, read before the steps that need them."""

import collections
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

_AHEAD = 4  # Steps read in advance; a read takes about 30 ms, for small inputs too.


class Reader(Protocol):
    """Reads the inputs of an outer step; they depend only on a key and the step's number."""

    def read(self, step: int) -> Any: ...


def between(read: Callable[[int], Any], first: int, last: int) -> Iterator[tuple[int, Any]]:
    """(step, read(step)) for first <= step < last."""
    with ThreadPoolExecutor(1, thread_name_prefix="inputs") as pool:
        waiting: collections.deque = collections.deque()
        try:
            for step in range(first, last):
                while len(waiting) <= _AHEAD and step + len(waiting) < last:
                    waiting.append(pool.submit(read, step + len(waiting)))
                yield step, waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
