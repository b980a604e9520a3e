"""Expert trajectories on disk: one Orbax checkpoint per expert, one array per epoch.

    experts_dir/
      expert_000/      an Orbax checkpoint {epoch_000: [P], epoch_001: [P], ...}
        expert.json    provenance, checksums of arrays, sizes of files, seconds of training
      expert_001/
      ...

One epoch is read without the others. An expert is written into another folder
first, which is then renamed: a folder with an expert's name is complete.

Orbax does not notice flipped bits or missing epochs, and prints tracebacks for short files.
Therefore expert.json holds checksums, epochs and file sizes. They are not Orbax's custom
metadata, because reading those opens every array.
"""

import json
import pathlib
import re
import shutil
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1 as ocp

from dpd_jax.errors import UserError, check_choice
from dpd_jax.storage import orbax_calls
from dpd_jax.storage.provenance import as_json, differences

STORAGE = ("float32", "float16", "bfloat16")

_EXPERT = re.compile(r"expert_(\d{3,})")
_OVERHEAD = 64 * 1024  # bytes of an expert besides its arrays: a dozen small files
_METADATA = "expert.json"
_SHOWN = 12  # differences listed in a message


class OtherProvenance(UserError):
    """An expert was made in another way than the store is for."""


class _Metadata(NamedTuple):
    """The contents of expert.json besides the provenance."""

    num_params: int
    checksums: dict[int, int]  # epoch -> CRC-32 of its array as stored
    files: dict[str, int]  # name in the expert's folder -> bytes
    seconds: float | None


class TrajectoryStore:
    """A folder of experts of the same provenance. Threads may read at the same time."""

    def __init__(self, directory: str | pathlib.Path, provenance: Mapping[str, Any], storage: str):
        """Does not make the folder; the first `write` does.

        The provenance is all that determines an expert, as nested JSON values, and `storage`,
        the type on disk. It is stored with each expert and compared when one is read.

        Raises:
          UserError: for an unknown storage, or if the directory is a file.
        """
        check_choice("experts.storage", storage, STORAGE)
        self.directory = pathlib.Path(directory).absolute()
        if self.directory.exists() and not self.directory.is_dir():
            raise UserError(
                f"{self.directory} is a file, but experts need a folder. Name one with "
                "--experts_dir."
            )
        self._dtype = jnp.dtype(storage)
        self.provenance = as_json({**provenance, "storage": storage})
        self._known: dict[int, _Metadata] = {}

    def path(self, expert: int) -> pathlib.Path:
        """The folder of an expert, whether it exists or not."""
        return self.directory / f"expert_{expert:03d}"

    def experts(self) -> list[int]:
        """The numbers of the complete experts, increasing; [] if there is no folder.

        Raises UserError if one of them is damaged, `OtherProvenance` if it has another one.
        """
        found = self._numbers()
        for expert in found:
            self._metadata(expert)
        return found

    def epochs(self, expert: int) -> list[int]:
        """The epochs of an expert in order; raises UserError as `experts`, or if it is missing."""
        return sorted(self._metadata(expert).checksums)

    def seconds(self, expert: int) -> float | None:
        """The seconds that the expert took; None if they are not known. Raises as `epochs`."""
        return self._metadata(expert).seconds

    def read(self, expert: int, epochs: Sequence[int]) -> np.ndarray:
        """An expert's weights after some epochs, float32 [len(epochs), P], checksums verified.

        Raises:
          UserError: as `epochs`, for an epoch that is not there, and for damaged bytes.
        """
        metadata = self._metadata(expert)
        missing = [epoch for epoch in epochs if epoch not in metadata.checksums]
        if missing:
            raise UserError(
                f"{self.path(expert)} holds the epochs {spans(metadata.checksums)}, but "
                f"{spans(missing)} is needed too. Delete the folder to train the expert longer, "
                "or lower curriculum.max_start_epoch, expert_epochs or synthetic.label_epoch."
            )
        for name, size in metadata.files.items():
            if not (file := self.path(expert) / name).is_file() or file.stat().st_size != size:
                raise self._damaged(expert, f"{name} is cut short or missing")
        wanted = {_name(epoch): np.empty(metadata.num_params, self._dtype) for epoch in epochs}
        try:
            with orbax_calls.quiet(), orbax_calls.reading():
                arrays = ocp.load(self.path(expert), wanted)
        except Exception as error:  # Orbax and TensorStore raise many types for broken files.
            raise self._damaged(expert, error) from error
        for epoch in epochs:
            if _checksum(arrays[_name(epoch)]) != metadata.checksums[epoch]:
                raise self._damaged(expert, f"the checksum of epoch {epoch} does not match")
        return np.stack([arrays[_name(epoch)].astype(np.float32) for epoch in epochs])

    def holds(self, expert: int, snapshots: Mapping[int, np.ndarray]) -> bool:
        """Whether the checksums of a stored expert are those of these snapshots {epoch: [P]}.

        Raises UserError as `experts`.
        """
        stored = {epoch: self._stored(expert, epoch, snapshots[epoch]) for epoch in snapshots}
        checksums = {epoch: _checksum(array) for epoch, array in stored.items()}
        return self._metadata(expert).checksums == checksums

    def write(
        self, expert: int, snapshots: Mapping[int, np.ndarray], seconds: float | None = None
    ) -> None:
        """Stores the snapshots {epoch: weights [P]} of a new expert completely or not at all.

        `seconds`: what it took to train it, if known.

        Raises:
          UserError: if weights are not finite in the storage's type, the disk is full,
            or the folder cannot be written or exists. Other experts are kept.
        """
        arrays = {epoch: self._stored(expert, epoch, snapshots[epoch]) for epoch in snapshots}
        (num_params,) = {array.size for array in arrays.values()}
        needed = sum(array.nbytes for array in arrays.values()) + _OVERHEAD
        fresh = self.path(expert).with_suffix(".new")
        self._clear(expert)
        self._known.pop(expert, None)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            # Checked first: TensorStore's threads print tracebacks if the disk is full.
            if (free := shutil.disk_usage(self.directory).free) < needed:
                raise OSError(f"it needs {needed:,} bytes, but {free:,} are free")
            with orbax_calls.quiet():
                ocp.save(fresh, {_name(epoch): array for epoch, array in arrays.items()})
            files = [path for path in fresh.rglob("*") if path.is_file()]
            metadata = {
                "facts": self.provenance,  # The name in files of older versions.
                "num_params": num_params,
                "checksums": {str(epoch): _checksum(array) for epoch, array in arrays.items()},
                "files": {str(f.relative_to(fresh)): f.stat().st_size for f in files},
                "seconds": seconds,
            }
            (fresh / _METADATA).write_text(json.dumps(metadata), encoding="utf-8")
            fresh.rename(self.path(expert))
        except (OSError, ValueError) as error:
            self._clear(expert)
            raise UserError(
                f"Expert {expert} cannot be written into {self.directory}: {error}. Free some "
                "space, or name another folder with --experts_dir. The finished experts there "
                f"({len(self._numbers())}) are kept; the same command trains the missing ones."
            ) from error

    def _numbers(self) -> list[int]:
        paths = self.directory.iterdir() if self.directory.is_dir() else ()
        return sorted(int(found[1]) for path in paths if (found := _EXPERT.fullmatch(path.name)))

    def _metadata(self, expert: int) -> _Metadata:
        """The metadata of an expert, its provenance compared; each file is read once."""
        if expert in self._known:
            return self._known[expert]
        if not self.path(expert).exists():
            raise UserError(
                f"There is no expert {expert} in {self.directory}; it has "
                f"{spans(self._numbers()) or 'none'}. Train it, or name another --experts_dir."
            )
        try:
            stored = json.loads((self.path(expert) / _METADATA).read_text(encoding="utf-8"))
            provenance = stored["facts"]
            checksums = {int(epoch): number for epoch, number in stored["checksums"].items()}
            metadata = _Metadata(
                stored["num_params"], checksums, stored["files"], stored.get("seconds")
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged(expert, f"{_METADATA} cannot be read: {error}") from error
        if lines := list(differences(provenance, self.provenance)):
            if len(lines) > _SHOWN:
                lines[_SHOWN:] = [f"and {len(lines) - _SHOWN} more"]
            raise OtherProvenance(
                f"{self.path(expert)} was trained with other settings than this run asks for:\n  "
                + "\n  ".join(lines)
                + "\nName another folder with --experts_dir (missing experts are trained there), "
                "or change the config back."
            )
        self._known[expert] = metadata
        return metadata

    def _stored(self, expert: int, epoch: int, snapshot: np.ndarray) -> np.ndarray:
        """A snapshot in the type it has on disk."""
        exact = np.asarray(snapshot, np.float32)
        if exact.ndim != 1:
            raise ValueError(f"a snapshot must be a vector; its shape is {exact.shape}")
        if not np.isfinite(exact).all():
            raise UserError(
                f"Expert {expert} diverged: after epoch {epoch} its weights are not finite. It is "
                "not stored. Lower experts.learning_rate or experts.momentum."
            )
        with np.errstate(over="ignore"):  # The next lines check for it.
            stored = exact.astype(self._dtype)
        if not np.isfinite(stored).all():
            raise UserError(
                f"Expert {expert} does not fit experts.storage = {self._dtype.name!r}: a weight of "
                f"epoch {epoch} is {np.abs(exact).max():.3g}. It is not stored. Choose 'bfloat16' "
                "or 'float32'."
            )
        return stored

    def _clear(self, expert: int) -> None:
        """Removes the folders of an unfinished write."""
        for path in self.directory.glob(f"{self.path(expert).name}.*"):
            shutil.rmtree(path, ignore_errors=True)

    def _damaged(self, expert: int, reason: Exception | str) -> UserError:
        lines = str(reason).splitlines() or [type(reason).__name__]
        return UserError(
            f"{self.path(expert)} is damaged ({lines[0][:200]}). Delete this folder; the expert is "
            "then trained again."
        )


def spans(numbers: Iterable[int]) -> str:
    """Numbers in any order as text, e.g. "0 to 6, 9"."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a} to {b}" if a < b else f"{a}" for a, b in runs)


def _name(epoch: int) -> str:
    return f"epoch_{epoch:03d}"


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8))
