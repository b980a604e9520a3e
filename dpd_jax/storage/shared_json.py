"""A JSON file to which several processes add."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from dpd_jax.errors import UserError
from dpd_jax.storage import atomic, locks


class SharedJson:
    """A JSON object in a file. What other processes have added is seen at every reading."""

    def __init__(self, path: pathlib.Path, flag: str):
        """Reads nothing yet. Messages call the folder of the file by its `flag`."""
        self.path = path
        self._flag = flag
        self._seen: tuple[int, ...] | None = None  # The file that has been read last.
        self._contents: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        """The contents, {} if there is no file; not to be changed.

        Raises UserError if the file is damaged.
        """
        try:
            # Opened first, because network file systems then ask their server for the newest one.
            with self.path.open("rb") as file:
                about = os.fstat(file.fileno())
                seen = about.st_ino, about.st_mtime_ns, about.st_size
                if seen != self._seen:
                    self._contents = json.loads(file.read())
                    self._seen = seen
        except FileNotFoundError:
            self._contents, self._seen = {}, None
        except ValueError as error:
            raise UserError(
                f"{self.path} is damaged ({error}). Delete it, and its work is done again."
            ) from None
        return self._contents

    @contextlib.contextmanager
    def changed(self) -> Iterator[dict[str, Any]]:
        """Yields the contents for the block to change, and writes them afterwards."""
        with locks.briefly(self.path.parent, self._flag):
            contents = self.read()
            self._seen = None  # From here on they may differ from the file.
            yield contents
            # Sorted, so that the order of additions leaves no trace.
            text = json.dumps(contents, indent=1, sort_keys=True)
            atomic.write_text(self.path, text + "\n")
