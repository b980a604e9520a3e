"""Locks on folders that several processes share.

On file systems with flock, a lock ends with its process, also if that is killed.
Elsewhere filelock uses the existence of a file instead, and warns.
"""

import contextlib
import hashlib
import os
import pathlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

import filelock

from dpd_jax.errors import UserError

# Two files, because a run may keep its experts in its own folder.
_ALONE, _IN_TURN = ".lock", ".queue.lock"
_CLAIM = ".claim"
_POLL = 0.1  # seconds

Name = TypeVar("Name", int, str)  # Of a piece of work.


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


def free(folder: pathlib.Path) -> bool:
    """Whether nobody has locked a folder by `alone`; also if it cannot be locked."""
    try:
        return not (folder / _ALONE).exists() or not _in_use(folder / _ALONE)
    except OSError:
        return True


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


def briefly(folder: pathlib.Path, flag: str) -> AbstractContextManager:
    """As `in_turn`, for work that takes no time worth a message."""
    return in_turn(folder, flag, "", contextlib.nullcontext)


@contextlib.contextmanager
def claimed(
    folder: pathlib.Path, flag: str, names: Iterable[Name], most: int, settings: str
) -> Iterator[list[Name]]:
    """Locks up to `most` of the named pieces of work in a folder, during the block.

    Yields the names, without those that other processes have locked. `settings` is all that
    determines the work besides its name.

    Raises:
      Busy: if another process works in the folder with other settings.
      UserError: if the folder cannot be made or locked.
    """
    mine = f"{_CLAIM}-{hashlib.sha256(settings.encode()).hexdigest()[:16]}-"
    held: dict[Name, filelock.BaseFileLock] = {}
    try:
        # One process at a time makes and removes claims, so that none locks a file that another
        # one removes.
        with briefly(folder, flag):
            for path in folder.glob(f"{_CLAIM}-*"):
                if not _in_use(path):  # Left by a process that was killed.
                    path.unlink(missing_ok=True)
                elif not path.name.startswith(mine):
                    raise Busy(
                        f"another process is at work in {folder} with other settings. Name another "
                        f"folder with {flag}."
                    )
            for name in names:
                if len(held) == most:
                    break
                with contextlib.suppress(filelock.Timeout):
                    path = folder / f"{mine}{name}.lock"
                    held[name] = _acquired(path, flag, blocking=False)
        yield list(held)
    finally:
        if held:
            with briefly(folder, flag):
                for lock in held.values():
                    pathlib.Path(lock.lock_file).unlink(missing_ok=True)
                    lock.release()


def together(folder: pathlib.Path, flag: str, settings: str) -> AbstractContextManager:
    """Keeps processes with other settings out of a folder during the block, as `claimed`."""
    return claimed(folder, flag, [uuid.uuid4().hex], 1, settings)


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
                lock.acquire(blocking=blocking, poll_interval=_POLL)
        except filelock.Timeout:
            raise
        except OSError as error:
            # mkdir itself fails if the folder is removed in the middle of it.
            if isinstance(error, FileExistsError) and (
                path.parent.is_dir() or not os.path.lexists(path.parent)
            ):
                continue
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
