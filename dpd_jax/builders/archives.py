"""Archives of raw data: downloaded once, checked, never left half-made.

Only the standard library is used: TFDS's own download manager records URLs
and checksums in a registry of its own builders, and wants the network even for
a file that is already there.
"""

import hashlib
import http.client
import os
import pathlib
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import NamedTuple

from dpd_jax.errors import UserError

Progress = Callable[[str, int, int], None]
"""Called as `progress(stage, done, total)`; `done` rises to `total`, in bytes or records."""

_CHUNK = 1 << 20  # bytes
_TIMEOUT = 30.0  # seconds without a byte before a server counts as gone


class Archive(NamedTuple):
    """A published file.

    Attributes:
      url: where its publisher serves it.
      size: its length in bytes.
      sha256: its SHA-256 in hexadecimal.
    """

    url: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        return self.url.rsplit("/", 1)[1]


def fetch(
    archive: Archive, folder: pathlib.Path, *, mirror: str | None, progress: Progress | None
) -> pathlib.Path:
    """Brings an archive into a folder, unless the same bytes lie there already.

    The bytes go to a temporary file that gets its name only when it is
    complete and its checksum is right, so a file under the right name is whole
    whatever interrupted an earlier attempt.

    Args:
      archive: what to fetch.
      folder: where to; made if missing.
      mirror: the URL of a folder that serves the same file name, or None for
        the publisher. With `#unchecked` at its end the mirror may serve other
        bytes than the published ones (a smaller set made for a test, say).
      progress: told of the bytes that have come, or None.

    Returns:
      The path of the file.

    Raises:
      UserError: it cannot be fetched, or its bytes are not the published ones.
    """
    base, _, option = (mirror or "").partition("#")
    if option not in ("", "unchecked"):
        raise UserError(
            f'the mirror "{mirror}" ends in "#{option}"; only "#unchecked" may follow the URL'
        )
    url = f"{base.rstrip('/')}/{archive.file_name}" if base else archive.url
    checked = not option
    target = folder / archive.file_name
    if checked and _holds(target, archive):
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=f".{archive.file_name}.")
    except OSError as error:
        raise UserError(
            f"cannot write {archive.file_name} into {folder}: {error}. "
            "Give --data_dir a folder that can be written."
        ) from error
    temporary = pathlib.Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            size, sha256 = _download(url, file, archive.size, progress)
        if checked and (size, sha256) != (archive.size, archive.sha256):
            raise ValueError(
                f"{size:,} bytes came with SHA-256 {sha256}, but {archive.size:,} bytes with "
                f"{archive.sha256} were published"
            )
        os.replace(temporary, target)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UserError(
            f"cannot download {url} into {folder}: {error}. Connect to the network and run "
            f"again; or put {archive.file_name} into {folder} yourself; or give --data_dir a "
            "folder in which TFDS has prepared the data set as array_record."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return target


def _holds(path: pathlib.Path, archive: Archive) -> bool:
    if not path.is_file() or path.stat().st_size != archive.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == archive.sha256


def _download(url: str, file, expected: int, progress: Progress | None) -> tuple[int, str]:
    """Copies a URL into a file; returns the number of bytes and their SHA-256."""
    stage = f"downloading {urllib.parse.urlsplit(url).path.rsplit('/', 1)[1]}"
    digest = hashlib.sha256()
    done = 0
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
        total = int(response.headers.get("Content-Length") or expected)
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            if progress:
                progress(stage, done, max(done, total))
    # A connection that closes early reads like the end of the file.
    if response.headers.get("Content-Length") and done < total:
        raise OSError(f"the connection closed after {done:,} of {total:,} bytes")
    return done, digest.hexdigest()
