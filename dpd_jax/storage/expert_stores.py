"""A folder of expert stores, which all runs share.

    experts_dir/
      gsam-1a2b3c4d/   a store (storage/trajectories.py)
        runs.txt       the folders of the runs that have used it, one a line
      ...

The folder itself may be a store, too.
"""

import contextlib
import json
import pathlib
from typing import Any, NamedTuple

from dpd_jax.storage.provenance import as_json, differences

_RUNS = "runs.txt"


class Stored(NamedTuple):
    """What is in a store.

    Attributes:
      directory: its folder.
      provenance: that of its first expert, nested JSON values.
      experts: their number.
      epochs: those that all of them hold.
      seconds: what their training took; None if it is not known of all.
      num_bytes: the size of all files.
      runs: folders of runs that have used it and are still there.
    """

    directory: pathlib.Path
    provenance: dict[str, Any]
    experts: int
    epochs: list[int]
    seconds: float | None
    num_bytes: int
    runs: list[pathlib.Path]


def folders(experts_dir: pathlib.Path) -> list[pathlib.Path]:
    """The folder itself, if it exists, and the folders in it."""
    return [experts_dir, *sorted(experts_dir.glob("*/"))] if experts_dir.is_dir() else []


def find(experts_dir: pathlib.Path) -> list[Stored]:
    """All stores of a folder. Experts whose expert.json cannot be read are left out."""
    found = map(_read, folders(experts_dir))
    return [stored for stored in found if stored]


def nearest(experts_dir: pathlib.Path, provenance: Any) -> tuple[pathlib.Path, list[str]] | None:
    """The store that differs least from a provenance, and the differences; None if none is there.

    A store may have the same provenance and fit nevertheless not, because it lacks epochs.
    """
    asked = as_json(provenance)
    lines = [(s.directory, list(differences(s.provenance, asked))) for s in find(experts_dir)]
    return min(lines, key=lambda pair: len(pair[1]), default=None)


def note_use(directory: pathlib.Path, run: pathlib.Path) -> None:
    """Notes in a store that a run uses it, if the store can be written."""
    line, file = f"{run.absolute()}\n", directory / _RUNS
    with contextlib.suppress(OSError):
        if line not in (file.read_text(encoding="utf-8") if file.is_file() else ""):
            with file.open("a", encoding="utf-8") as opened:
                opened.write(line)


def _read(directory: pathlib.Path) -> Stored | None:
    """What is in a folder; None if it holds no expert."""
    about = []
    for path in sorted(directory.glob("expert_*/expert.json")):
        try:
            about.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
    if not about:
        return None
    file = directory / _RUNS
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    seconds = [each.get("seconds") for each in about]
    kept = ("expert_*/**/*", "difficulty/*")
    return Stored(
        directory,
        about[0]["facts"],
        len(about),
        sorted(set.intersection(*({int(e) for e in each["checksums"]} for each in about))),
        None if None in seconds else sum(seconds),
        sum(p.stat().st_size for name in kept for p in directory.glob(name) if p.is_file()),
        [run for run in map(pathlib.Path, lines) if (run / "config.json").is_file()],
    )
