"""Work that several processes share, each piece done by one of them."""

import pathlib
import time
from collections.abc import Callable

from dpd_jax.storage import locks
from dpd_jax.storage.locks import Name

_WAIT = 0.5  # seconds

# Gets a function that counts the missing pieces of work, and may have other processes do them.
ShareOut = Callable[[Callable[[], int]], None]


def alone(missing: Callable[[], int]) -> None:
    """A `ShareOut` that leaves all work to this process."""


def share(
    missing: Callable[[], list[Name]],
    do: Callable[[list[Name]], None],
    waiting: Callable[[list[Name]], None],
    *,
    folder: pathlib.Path,
    flag: str,
    at_once: int,
    settings: str,
) -> None:
    """Does named pieces of work until none is missing; other processes may do the same.

    A piece is locked by the process that does it. If that is killed, another one takes the piece
    over.

    Args:
      missing: the names of the missing pieces, those that others have in work included.
      do: does some pieces, `at_once` at most; afterwards they are not missing.
      waiting: called twice a second with what is missing, while others have all of it in work.
      folder: of the work, which messages call by its `flag`.
      at_once: pieces done together.
      settings: all that determines a piece besides its name.

    Raises:
      Busy: if another process works in the folder with other settings.
    """
    while lacking := missing():
        with locks.claimed(folder, flag, lacking, at_once, settings) as claimed:
            # Asked again, because another process may have done them before the claim.
            still = set(missing())
            if own := [name for name in claimed if name in still]:
                do(own)
        if not claimed:
            waiting(lacking)
            time.sleep(_WAIT)
