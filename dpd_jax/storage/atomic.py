"""Writes a file completely or not at all."""

import errno
import os
import pathlib
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

from dpd_jax.errors import UserError

_DAY = 86_400  # seconds


def write_whole(path: pathlib.Path, fill: Callable[[BinaryIO], object], *, num_bytes: int) -> None:
    """Writes a temporary file by `fill`, then renames it: readers see the old file or the new one.

    The folder is made if needed. `num_bytes` is the approximate size, for the message.

    Raises:
      UserError: if the disk is full. An old file at `path` is kept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f"{path.name}.*.partial"):  # Left by a process that was killed.
        if time.time() - left.stat().st_mtime > _DAY:
            left.unlink(missing_ok=True)
    # A name of its own, because other processes may write the same file.
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with partial.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(path.parent).free
        raise UserError(
            f"no space left to write {path}: it needs about {num_bytes / 1e6:.2f} MB, and "
            f"{free / 1e6:.2f} MB are free there. Free some space and run the same command again, "
            "or name a folder on another disk. Finished files are kept."
        ) from error
    finally:
        partial.unlink(missing_ok=True)  # Renamed if all went well.


def write_bytes(path: pathlib.Path, data: bytes) -> None:
    """As `write_whole`, for the contents of a file."""
    write_whole(path, lambda file: file.write(data), num_bytes=len(data))


def write_text(path: pathlib.Path, text: str) -> None:
    """As `write_whole`, for text in UTF-8."""
    write_bytes(path, text.encode())


def write_arrays(path: pathlib.Path, arrays: Mapping[str, Any]) -> None:
    """As `write_whole`, for arrays in an uncompressed .npz file."""
    size = sum(np.asarray(array).nbytes for array in arrays.values())
    write_whole(path, lambda file: np.savez(file, **arrays), num_bytes=size)
