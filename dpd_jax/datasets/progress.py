"""Reports the progress of work on a data set."""

from typing import Protocol


class Progress(Protocol):
    """Called with the fraction done; it rises to 1 once for each task `doing`."""

    def __call__(self, fraction: float, *, doing: str) -> None: ...
