"""Locks on folders that several processes share.

On file systems with flock, a lock ends with its process, also if that is killed.
Elsewhere filelock uses the existence of a file instead, and warns.
"""

import contextlib
import hashlib
import pathlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

import filelock

from dpd_jax.errors import UserError

# Two files, because a run may keep its experts in its own folder.
_ALONE, _IN_TURN = ".lock", ".queue.lock"


_CLAIM = ".claim"


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


@contextlib.contextmanager
def claimed(
    folder: pathlib.Path, flag: str, numbers: Iterable[int], most: int, settings: str
) -> Iterator[list[int]]:
    """Locks up to `most` of the numbered pieces of work in a folder, during the block.

    Yields the numbers, without those that other processes have locked. `settings` is all that
    determines the work besides its number.

    Raises:
      Busy: if another process works in the folder with other settings.
      UserError: if the folder cannot be made or locked.
    """
    mine = hashlib.sha256(settings.encode()).hexdigest()[:16]
    held: dict[int, filelock.BaseFileLock] = {}

    def alter() -> AbstractContextManager:
        # One process at a time makes and removes claims, so that none locks a file that another
        # one removes.
        return in_turn(folder, flag, "claiming work", contextlib.nullcontext)

    try:
        with alter():
            for path in folder.glob(f"{_CLAIM}-*"):
                if mine not in path.name and _in_use(path):
                    raise Busy(
                        f"another process is at work in {folder} with other settings. Name another "
                        f"folder with {flag}."
                    )
            for number in numbers:
                if len(held) == most:
                    break
                with contextlib.suppress(filelock.Timeout):
                    path = folder / f"{_CLAIM}-{mine}-{number}.lock"
                    held[number] = _acquired(path, flag, blocking=False)
        yield list(held)
    finally:
        if held:
            with alter():
                for lock in held.values():
                    pathlib.Path(lock.lock_file).unlink(missing_ok=True)
                    lock.release()


def _in_use(path: pathlib.Path) -> bool:
    lock = filelock.FileLock(path)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        return True
    lock.release()
    return False


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
