"""Keeps processes that share a folder apart.

A lock ends with the process that holds it, however that ends, where the file
system knows flock; elsewhere filelock makes do with a file, and says so.
"""

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import ContextManager

import filelock

from dpd_jax.errors import UserError

# Two, since a run may keep its experts in its own folder.
_ALONE, _IN_TURN = ".lock", ".queue.lock"


class Busy(UserError):
    """Another process is at work in the folder."""


@contextlib.contextmanager
def alone(folder: pathlib.Path, flag: str) -> Iterator[None]:
    """Holds a folder for the length of the block.

    Args:
      folder: made if needed; removed again if the block puts nothing into it.
      flag: the flag another folder is named with, for messages.

    Raises:
      Busy: if it is held by another process, or elsewhere in this one.
      UserError: if it cannot be made, or locked.
    """
    try:
        lock = _acquired(folder / _ALONE, flag, blocking=False)
    except filelock.Timeout:
        raise Busy(
            f"another process is at work in {folder}. Wait until it has ended, or name another "
            f"folder with {flag}."
        ) from None
    with _released(lock):
        yield


@contextlib.contextmanager
def in_turn(
    folder: pathlib.Path, flag: str, work: str, waiting: Callable[[str], ContextManager]
) -> Iterator[None]:
    """As `alone`, after whoever holds the folder so now.

    Args:
      folder, flag: as `alone`.
      work: what is done in the folder, for messages.
      waiting: a context for the time of waiting, made with a message.
    """
    try:
        lock = _acquired(folder / _IN_TURN, flag, blocking=False)
    except filelock.Timeout:
        with waiting(f"waiting for another process, {work} in {folder}"):
            lock = _acquired(folder / _IN_TURN, flag, blocking=True)
    with _released(lock):
        yield


def _acquired(path: pathlib.Path, flag: str, blocking: bool) -> filelock.BaseFileLock:
    lock = filelock.FileLock(path, mode=0o664)  # Groups share folders.
    while not lock.is_locked:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Its last holder may remove the folder, having left nothing in it.
            with contextlib.suppress(FileNotFoundError):
                lock.acquire(blocking=blocking, poll_interval=0.5)
        except filelock.Timeout:
            raise
        except OSError as error:
            raise UserError(
                f"{path.parent} cannot be written or locked ({error.strerror or error}). Name "
                f"another folder with {flag}."
            ) from error
    return lock


@contextlib.contextmanager
def _released(lock: filelock.BaseFileLock) -> Iterator[None]:
    path = pathlib.Path(lock.lock_file)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Some systems keep files that are open.
            if list(path.parent.iterdir()) == [path]:
                path.unlink()
                path.parent.rmdir()
        lock.release()
