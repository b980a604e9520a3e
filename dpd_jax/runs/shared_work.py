"""Work that several processes share, each piece done by one of them."""

import pathlib
import time
from collections.abc import Callable

from dpd_jax.storage import locks

_WAIT = 0.5  # seconds


def share(
    missing: Callable[[], list[int]],
    do: Callable[[list[int]], None],
    waiting: Callable[[list[int]], None],
    *,
    folder: pathlib.Path,
    at_once: int,
    settings: str,
) -> None:
    """Does numbered pieces of work until none is missing; other processes may do the same.

    A piece is locked by the process that does it. If that is killed, another one takes the piece
    over.

    Args:
      missing: the numbers of the missing pieces, those that others have in work included.
      do: does some pieces, `at_once` at most; afterwards they are not missing.
      waiting: called twice a second with what is missing, while others have all of it in work.
      folder: of the work, which messages call --experts_dir.
      at_once: pieces done together.
      settings: all that determines a piece besides its number.

    Raises:
      Busy: if another process works in the folder with other settings.
    """
    while lacking := missing():
        with locks.claimed(folder, "--experts_dir", lacking, at_once, settings) as claimed:
            # Asked again, because another process may have done them before the claim.
            if own := sorted(set(claimed) & set(missing())):
                do(own)
        if not claimed:
            waiting(lacking)
            time.sleep(_WAIT)
