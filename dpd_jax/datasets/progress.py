"""How long work on a data set tells of its progress."""

from typing import Protocol


class Progress(Protocol):
    """Told how far the work has come; `fraction` rises to 1 once for each thing `doing`."""

    def __call__(self, fraction: float, *, doing: str) -> None: ...
