"""Expert trajectories on disk: one Orbax checkpoint an expert, one leaf an epoch.

    experts_dir/
      expert_000/      an Orbax checkpoint {epoch_000: [P], epoch_001: [P], ...}
        expert.json    the facts that made it, a checksum of each leaf, the size of each file
      expert_001/
      ...

One epoch is read without the others. An expert that has its final name is
whole: it is written under another name and renamed, so that a killed program
leaves no half of one. Orbax by itself returns a flipped bit, and garbage for an
epoch that is not there, without a word, and prints tracebacks from its threads
when a file is cut short; hence checksums, lists and sizes of our own. They are
not Orbax's custom metadata because reading that opens every leaf.
"""

import contextlib
import errno
import gc
import json
import logging
import pathlib
import re
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1 as ocp

from dpd_jax.errors import UserError
from dpd_jax.storage.provenance import as_json, differences

STORAGE = ("float32", "float16", "bfloat16")

_EXPERT = re.compile(r"expert_(\d{3,})")
_OVERHEAD = 64 * 1024  # bytes an expert takes beside its leaves: a dozen small files
_ABOUT = "expert.json"
_SHOWN = 12  # differing facts told before "and more"


class _About(NamedTuple):
    """What an expert's metadata says besides the facts."""

    num_params: int
    checksums: dict[int, int]  # epoch -> CRC-32 of the leaf's bytes as stored
    files: dict[str, int]  # name in the expert's folder -> bytes


class TrajectoryStore:
    """A folder of experts that were all made under the same facts. Safe to read from threads."""

    def __init__(self, directory: str | pathlib.Path, facts: Mapping[str, Any], storage: str):
        """Names the folder; the first `write` makes it.

        Args:
          directory: the folder.
          facts: all that determines an expert (network, data, preprocessing,
            optimiser, augmentation, seed), nested, of JSON values. Kept with
            every expert that is written, compared with every one that is read.
          storage: one of `STORAGE`, the form on disk. Counts as a fact; what is
            read comes as float32 whatever it is.

        Raises:
          UserError: for an unknown storage, or a directory that is a file.
        """
        if storage not in STORAGE:
            raise UserError(
                f"experts.storage: unknown form {storage!r}; known are {', '.join(STORAGE)}."
            )
        self.directory = pathlib.Path(directory).absolute()
        if self.directory.exists() and not self.directory.is_dir():
            raise UserError(
                f"{self.directory} is a file, but experts are kept in a folder. "
                "Name a folder with --experts_dir."
            )
        self._dtype = jnp.dtype(storage)
        self._facts = as_json({**facts, "storage": storage})
        self._seen: dict[int, tuple[tuple[int, int], _About]] = {}

    def path(self, expert: int) -> pathlib.Path:
        """The folder of an expert, there or not."""
        return self.directory / f"expert_{expert:03d}"

    def experts(self) -> list[int]:
        """The complete experts, increasing; [] where there is no folder yet.

        Raises:
          UserError: if one of them cannot be read, or was made under other facts;
            the message lists the differences.
        """
        found = self._numbers()
        for expert in found:
            self._about(expert)
        return found

    def epochs(self, expert: int) -> list[int]:
        """The epochs of a complete expert, increasing.

        Raises:
          UserError: as `experts`, and for an expert that is not there.
        """
        return sorted(self._about(expert).checksums)

    def read(self, expert: int, epochs: Sequence[int]) -> np.ndarray:
        """Weights of some epochs of an expert, float32 [len(epochs), P], checksums verified.

        Reads the bytes of these epochs and a few KB besides.

        Raises:
          UserError: as `epochs`, for an epoch that is not there, and for damaged bytes.
        """
        about = self._about(expert)
        missing = [epoch for epoch in epochs if epoch not in about.checksums]
        if missing:
            raise UserError(
                f"{self.path(expert)} holds the epochs {spans(about.checksums)}, but "
                f"{spans(missing)} is needed too. Delete the folder to have the expert "
                "trained again, longer, or ask for earlier epochs (curriculum.max_start_epoch + "
                "curriculum.expert_epochs; synthetic.label_epoch=-1)."
            )
        for name, size in about.files.items():
            if not (file := self.path(expert) / name).is_file() or file.stat().st_size != size:
                raise self._damaged(expert, f"{name} is cut short or missing")
        context = ocp.Context()
        context.pytree.loading.partial_load = True
        wanted = {_leaf(epoch): np.empty(about.num_params, self._dtype) for epoch in epochs}
        try:
            with quiet(), context:
                leaves = ocp.load(self.path(expert), wanted)
        except Exception as error:  # Orbax and TensorStore raise many kinds for broken files.
            raise self._damaged(expert, error) from error
        for epoch in epochs:
            if _checksum(leaves[_leaf(epoch)]) != about.checksums[epoch]:
                raise self._damaged(expert, f"the checksum of epoch {epoch} does not match")
        return np.stack([leaves[_leaf(epoch)].astype(np.float32) for epoch in epochs])

    def write(self, expert: int, snapshots: Mapping[int, np.ndarray]) -> None:
        """Stores an expert, all of it or nothing, in place of any of the same number.

        Args:
          expert: its number.
          snapshots: epoch -> weights [P].

        Raises:
          UserError: for weights that are not finite in the storage's form, a full
            disk, or a folder that cannot be written. Other experts stay.
        """
        leaves = {epoch: self._stored(expert, epoch, snapshots[epoch]) for epoch in snapshots}
        (num_params,) = {leaf.size for leaf in leaves.values()}
        about = {
            "facts": self._facts,
            "num_params": num_params,
            "checksums": {str(epoch): _checksum(leaf) for epoch, leaf in leaves.items()},
        }
        needed = sum(leaf.nbytes for leaf in leaves.values()) + _OVERHEAD
        final = self.path(expert)
        fresh, replaced = final.with_name(f"{final.name}.new"), final.with_name(f"{final.name}.old")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._clear(expert)
            # Asked beforehand: TensorStore's threads print tracebacks when they meet a full disk.
            if shutil.disk_usage(self.directory).free < needed:
                raise OSError(errno.ENOSPC, "No space left on device")
            with quiet():
                tree = {_leaf(epoch): leaf for epoch, leaf in leaves.items()}
                ocp.save(fresh, tree)
            files = [path for path in fresh.rglob("*") if path.is_file()]
            about["files"] = {str(f.relative_to(fresh)): f.stat().st_size for f in files}
            (fresh / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
            if final.exists():
                final.rename(replaced)
            fresh.rename(final)
        except (OSError, ValueError) as error:
            if replaced.exists() and not final.exists():
                replaced.rename(final)
            self._clear(expert)
            raise self._unwritten(expert, needed, error) from error
        self._clear(expert)

    def _numbers(self) -> list[int]:
        paths = self.directory.iterdir() if self.directory.is_dir() else ()
        return sorted(int(found[1]) for path in paths if (found := _EXPERT.fullmatch(path.name)))

    def _about(self, expert: int) -> _About:
        """The metadata of an expert, its facts compared; read once while the folder stays."""
        try:
            stat = self.path(expert).stat()
        except FileNotFoundError:
            raise UserError(
                f"There is no expert {expert} in {self.directory}; it has "
                f"{spans(self._numbers()) or 'none'}. Train it, or name another folder with "
                "--experts_dir."
            ) from None
        version = stat.st_ino, stat.st_mtime_ns
        if expert in self._seen and self._seen[expert][0] == version:
            return self._seen[expert][1]
        try:
            stored = json.loads((self.path(expert) / _ABOUT).read_text(encoding="utf-8"))
            facts = stored["facts"]
            checksums = {int(epoch): number for epoch, number in stored["checksums"].items()}
            about = _About(stored["num_params"], checksums, stored["files"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged(expert, f"{_ABOUT} cannot be read: {error}") from error
        self._compare(expert, facts)
        self._seen[expert] = version, about
        return about

    def _compare(self, expert: int, facts: Mapping[str, Any]) -> None:
        found = list(differences(facts, self._facts))
        if found:
            lines = [f"  {line}" for line in found[:_SHOWN]]
            if len(found) > _SHOWN:
                lines.append(f"  and {len(found) - _SHOWN} more")
            raise UserError(
                f"{self.path(expert)} was made under other facts than this run asks for:\n"
                + "\n".join(lines)
                + "\nName another folder with --experts_dir (missing experts are trained there), "
                "or set the config back."
            )

    def _stored(self, expert: int, epoch: int, snapshot: np.ndarray) -> np.ndarray:
        """A snapshot in the form it has on disk."""
        exact = np.asarray(snapshot, np.float32)
        if exact.ndim != 1:
            raise ValueError(f"a snapshot is a flat vector, not of shape {exact.shape}")
        with np.errstate(over="ignore"):  # Looked at in the next lines.
            stored = exact.astype(self._dtype)
        if not np.isfinite(exact).all():
            raise UserError(
                f"Expert {expert} diverged: after epoch {epoch} its weights are not finite. It is "
                "not stored. Lower experts.learning_rate or experts.momentum."
            )
        if not np.isfinite(stored).all():
            raise UserError(
                f"Expert {expert} does not fit experts.storage = {self._dtype.name!r}: a weight of "
                f"epoch {epoch} is {np.abs(exact).max():.3g}. It is not stored. Choose 'bfloat16' "
                "or 'float32'."
            )
        return stored

    def _clear(self, expert: int) -> None:
        """Removes what an unfinished write has left."""
        for path in self.directory.glob(f"{self.path(expert).name}.*"):
            shutil.rmtree(path, ignore_errors=True)

    def _damaged(self, expert: int, reason: Exception | str) -> UserError:
        lines = str(reason).splitlines()
        told = lines[0][:200] if lines else type(reason).__name__
        return UserError(
            f"{self.path(expert)} is damaged ({told}). Delete this folder; the expert is then "
            "trained again."
        )

    def _unwritten(self, expert: int, needed: int, error: Exception) -> UserError:
        kept = (
            f"The finished experts there ({len(self._numbers())}) are kept: the same command goes "
            "on with those that are missing."
        )
        if _is_no_room(error):
            there = next(p for p in (self.directory, *self.directory.parents) if p.is_dir())
            free = shutil.disk_usage(there).free
            return UserError(
                f"No room for expert {expert}: it needs {needed:,} bytes in {self.directory}, "
                f"where {free:,} are free. Make room, or name a folder on another disk with "
                f"--experts_dir. {kept}"
            )
        return UserError(
            f"Expert {expert} cannot be written into {self.directory} ({error}). Name a folder "
            f"that can be written with --experts_dir. {kept}"
        )


def _leaf(epoch: int) -> str:
    return f"epoch_{epoch:03d}"


def _checksum(leaf: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(leaf).view(np.uint8))


def spans(numbers) -> str:
    """ "0 to 6, 9" of numbers in any order."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a} to {b}" if a < b else f"{a}" for a, b in runs)


def _is_no_room(error: BaseException | None) -> bool:
    """TensorStore says in words only (RESOURCE_EXHAUSTED) what Python says by number."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "RESOURCE_EXHAUSTED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drops Orbax's own log lines for the time of one call.

    What they tell of broken files is raised as well, and told as one message.
    """

    def keep(record: logging.LogRecord) -> bool:
        return "orbax" not in record.pathname and "never retrieved" not in record.getMessage()

    loggers = [logging.getLogger(name) for name in ("absl", "asyncio", "root")]
    for logger in loggers:
        logger.addFilter(keep)
    try:
        yield
    except Exception:
        gc.collect()  # Failed tasks of Orbax write to the log when they are collected.
        raise
    finally:
        for logger in loggers:
            logger.removeFilter(keep)
