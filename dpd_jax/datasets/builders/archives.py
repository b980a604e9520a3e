"""Archives of raw data: downloaded once, checked, never left half-made.

Only the standard library is used. TFDS's own download manager keeps its files
under hashed names, so that nobody can put one in place by hand.
"""

import hashlib
import http.client
import itertools
import os
import pathlib
import urllib.request
from collections.abc import Iterator
from typing import NamedTuple

from dpd_jax.datasets.progress import Progress
from dpd_jax.errors import UserError

_BLOCK = 1 << 20  # bytes
_TIMEOUT = 30.0  # seconds without a byte after which a server counts as gone

# The environment variable that names another place to download from; see `fetch`.
MIRROR_VARIABLE = "DPD_DATA_MIRROR"


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
      folder: where to; made if missing, once the first bytes have come.
      mirror: the URL of a folder that serves the same file name, or None for
        the publisher. With `#unchecked` at its end the mirror may serve other
        bytes than the published ones (a smaller set made for a test, say).
      progress: told of the bytes that have come, or None.

    Returns:
      The path of the file.

    Raises:
      UserError: it cannot be fetched or written, or its bytes are not the
        published ones.
    """
    base, _, option = (mirror or "").partition("#")
    if option not in ("", "unchecked"):
        raise UserError(f'the mirror "{mirror}" ends in "#{option}"; only "#unchecked" is known')
    url = f"{base.rstrip('/')}/{archive.file_name}" if base else archive.url
    target = folder / archive.file_name
    if not option and _holds(target, archive):
        return target
    blocks = _blocks(url, archive.size, progress)
    first = next(blocks, b"")  # A failed connection leaves nothing behind, not even a folder.
    temporary = folder / f".{archive.file_name}.{os.getpid()}"
    digest = hashlib.sha256()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                for block in itertools.chain([first], blocks):
                    file.write(block)
                    digest.update(block)
            if not option and digest.hexdigest() != archive.sha256:
                raise UserError(
                    f"{url} gave {temporary.stat().st_size:,} bytes with SHA-256 "
                    f"{digest.hexdigest()}, not the published {archive.size:,} bytes with "
                    f"{archive.sha256}. {_ways_out(archive.file_name)}"
                )
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write {archive.file_name} into {folder}: {error}. Make room there, or give "
            "--data_dir another folder."
        ) from error
    return target


def _holds(path: pathlib.Path, archive: Archive) -> bool:
    if not path.is_file() or path.stat().st_size != archive.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == archive.sha256


def _blocks(url: str, size: int, progress: Progress | None) -> Iterator[bytes]:
    """Yields the bytes behind a URL; `size` is a guess where the server gives none."""
    name = url.rsplit("/", 1)[1]
    done = 0
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
            promised = response.headers.get("Content-Length")
            size = int(promised or size)
            while block := response.read(_BLOCK):
                done += len(block)
                if progress:
                    progress(min(done / size, 1.0), doing=f"downloading {name}")
                yield block
        # A connection that closes early reads like the end of the file.
        if promised and done < size:
            raise OSError(f"the connection closed after {done:,} of {size:,} bytes")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UserError(f"cannot download {url}: {error}. {_ways_out(name)}") from error


def _ways_out(name: str) -> str:
    return (
        f"Connect to the network and run again; or set {MIRROR_VARIABLE} to a URL under which "
        f"{name} is served; or put it into the folder downloads of --data_dir; or give a "
        "--data_dir that holds the prepared set."
    )
