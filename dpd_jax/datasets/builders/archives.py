"""Archives of raw data: downloaded once, with a checksum.

TFDS's own download manager stores files under hashed names, so nobody can put an
archive in place by hand.
"""

import os
import pathlib

import pooch
import requests

from dpd_jax.datasets.progress import Progress
from dpd_jax.errors import UserError

# The environment variable that names another server; see `fetch`.
MIRROR_VARIABLE = "DPD_DATA_MIRROR"
_CHUNK = 1 << 20  # bytes
_TIMEOUT = 30.0  # seconds without data before a download fails


def fetch(url: str, sha256: str, folder: pathlib.Path, progress: Progress | None = None) -> None:
    """Downloads an archive into a folder, unless the folder holds it with the right checksum.

    The download goes to a temporary file, which is renamed only after its checksum
    is found right. So a file under the final name is complete.

    DPD_DATA_MIRROR may hold the URL of a folder that serves a file of the same name.
    If it ends in `#unchecked`, checksums are not compared: the mirror may serve other
    data, e.g. a smaller set for a test, and a file in `folder` is used as it is.

    Raises:
      UserError: the download failed, the checksum is wrong, or the folder cannot be written.
    """
    name = url.rpartition("/")[2]
    mirror = os.environ.get(MIRROR_VARIABLE, "")
    unchecked = mirror.endswith("#unchecked")
    mirror = mirror.removesuffix("#unchecked").rstrip("/")
    url = f"{mirror}/{name}" if mirror else url
    ways_out = (
        f"Check the network and run again; or set {MIRROR_VARIABLE} to a URL that serves {name}; "
        f"or put {name} into {folder}; or set --data_dir to a folder with the prepared data set."
    )
    pooch.get_logger().setLevel("WARNING")  # Its messages would break the progress bar.
    try:
        pooch.retrieve(
            url,
            known_hash=None if unchecked else sha256,
            fname=name,
            path=folder,
            downloader=lambda url, file, _: _download(url, pathlib.Path(file), progress),
        )
    except requests.RequestException as error:  # Some are ValueErrors, all are OSErrors.
        reason = getattr(error.args[0], "reason", error) if error.args else error
        raise UserError(f"cannot download {url}: {reason}. {ways_out}") from error
    except ValueError as error:
        raise UserError(
            f"the file from {url} is not the published one: its SHA-256 is not {sha256}. {ways_out}"
        ) from error
    except OSError as error:
        raise UserError(
            f"cannot write {name} to {folder}: {error}. Free some space or set --data_dir to "
            "another folder."
        ) from error


def _download(url: str, path: pathlib.Path, progress: Progress | None) -> None:
    """Writes the body of a response to a file. pooch's own downloader leaves sockets open."""
    doing = f"downloading {url.rpartition('/')[2]}"
    headers = {"Accept-Encoding": "identity"}  # The checksum is of the file as published.
    with (
        requests.get(url, stream=True, timeout=_TIMEOUT, headers=headers) as response,
        path.open("wb") as file,
    ):
        response.raise_for_status()
        total, done = int(response.headers.get("Content-Length", 0)), 0
        for chunk in response.iter_content(_CHUNK):
            file.write(chunk)
            done += len(chunk)
            if progress and done < total:
                progress(done / total, doing=doing)
    if progress:
        progress(1.0, doing=doing)
