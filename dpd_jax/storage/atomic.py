"""Writing a file whole or not at all."""

import errno
import os
import pathlib
import shutil
import time
import uuid
from collections.abc import Callable
from typing import BinaryIO

from dpd_jax.errors import UserError

_DAY = 86_400  # seconds


def write_whole(path: pathlib.Path, fill: Callable[[BinaryIO], None], *, num_bytes: int) -> None:
    """Writes beside `path`, then renames: a reader sees the old file or the new one.

    Args:
      path: the file; its folder is made if needed.
      fill: writes the content.
      num_bytes: about how many; only told to a person whose disk is full.

    Raises:
      UserError: if the disk is full. What was at `path` before is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f"{path.name}.*.partial"):  # by a process that was killed
        if time.time() - left.stat().st_mtime > _DAY:
            left.unlink(missing_ok=True)
    # Other processes may be writing the same file.
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with partial.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(path.parent).free
        raise UserError(
            f"no space left to write {path}: it needs about {_size(num_bytes)}, and "
            f"{_size(free)} are free there. Free some space and run the same command again, or "
            "name a folder on another disk. Files finished before are kept."
        ) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_text(path: pathlib.Path, text: str) -> None:
    """As `write_whole`, of text in UTF-8."""
    data = text.encode()
    write_whole(path, lambda file: file.write(data), num_bytes=len(data))


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e5 else f"{num_bytes / 1e3:.1f} kB"
