"""Keeps processes that share a folder apart.

A lock ends with the process that holds it, however that ends, so none is ever left behind.
"""

import contextlib
import pathlib
from collections.abc import Iterator

import filelock

from dpd_jax.errors import UserError
from experiments import screen

_NAME = ".lock"


class Busy(UserError):
    """Another process is at work in the folder."""


@contextlib.contextmanager
def alone(folder: pathlib.Path, flag: str) -> Iterator[None]:
    """Holds a folder for the length of the block.

    Args:
      folder: made if needed; removed again if the block puts nothing into it.
      flag: the flag another folder is named with, for the message.

    Raises:
      Busy: if it is held by another process, or elsewhere in this one.
    """
    try:
        lock = _acquired(folder, blocking=False)
    except filelock.Timeout:
        raise Busy(
            f"another process is at work in {folder}. Wait until it has ended, or name another "
            f"folder with {flag}."
        ) from None
    with _released(lock, folder):
        yield


@contextlib.contextmanager
def in_turn(folder: pathlib.Path, work: str) -> Iterator[None]:
    """As `alone`, after whoever holds the folder now; waiting is told, with what `work` is done."""
    try:
        lock = _acquired(folder, blocking=False)
    except filelock.Timeout:
        with screen.note(f"waiting for another process, {work} in {folder}"):
            lock = _acquired(folder, blocking=True)
    with _released(lock, folder):
        yield


def _acquired(folder: pathlib.Path, blocking: bool) -> filelock.BaseFileLock:
    lock = filelock.FileLock(folder / _NAME)
    while not lock.is_locked:
        folder.mkdir(parents=True, exist_ok=True)
        # Its last holder may remove the folder, having left nothing in it.
        with contextlib.suppress(FileNotFoundError):
            lock.acquire(blocking=blocking, poll_interval=0.5)
    return lock


@contextlib.contextmanager
def _released(lock: filelock.BaseFileLock, folder: pathlib.Path) -> Iterator[None]:
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Some systems keep files that are open.
            if [path.name for path in folder.iterdir()] == [_NAME]:
                (folder / _NAME).unlink()
                folder.rmdir()
        lock.release()
