"""Locks on folders that several processes share.

On file systems with flock, a lock ends with its process, also if that is killed.
Elsewhere filelock uses the existence of a file instead, and warns.
"""

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import filelock

from dpd_jax.errors import UserError

# Two files, because a run may keep its experts in its own folder.
_ALONE, _IN_TURN = ".lock", ".queue.lock"


class Busy(UserError):
    """Another process uses the folder."""


@contextlib.contextmanager
def alone(folder: pathlib.Path, flag: str) -> Iterator[None]:
    """Locks a folder, which messages call by its `flag`, during the block.

    The folder is made if needed, and removed if the block leaves it empty.

    Raises:
      Busy: if another process, or another part of this one, has locked it.
      UserError: if it cannot be made or locked.
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
    folder: pathlib.Path, flag: str, work: str, waiting: Callable[[str], AbstractContextManager]
) -> Iterator[None]:
    """As `alone`, but waits for a process that has locked the folder in this way.

    `waiting` makes a context for this time from a message that names the `work` in the folder.
    """
    try:
        lock = _acquired(folder / _IN_TURN, flag, blocking=False)
    except filelock.Timeout:
        with waiting(f"waiting for another process, {work} in {folder}"):
            lock = _acquired(folder / _IN_TURN, flag, blocking=True)
    with _released(lock):
        yield


def _acquired(path: pathlib.Path, flag: str, blocking: bool) -> filelock.BaseFileLock:
    lock = filelock.FileLock(path, mode=0o664)  # Users of one group may share folders.
    while not lock.is_locked:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # The process that held the lock may remove an empty folder at this moment.
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
        with contextlib.suppress(OSError):  # Some systems do not remove open files.
            if list(path.parent.iterdir()) == [path]:
                path.unlink()
                path.parent.rmdir()
        lock.release()
