"""Checkpoints of a run, which Orbax saves as named arrays."""

import pathlib
import zlib
from typing import Any

import jax
import numpy as np
from orbax import checkpoint as orbax
from orbax.checkpoint import v1 as ocp

from dpd_jax.errors import UserError
from dpd_jax.storage import orbax_calls


class Checkpoints:
    """The states of a run at its last two checkpoints."""

    def __init__(self, path: pathlib.Path):
        self._path = path.absolute()
        self._manager: orbax.CheckpointManager | None = None

    def _open(self) -> orbax.CheckpointManager:
        if self._manager is None:
            self._manager = orbax_calls.manager(
                self._path,
                preservation_policy=ocp.training.preservation_policies.LatestN(2),
                cleanup_tmp_directories=True,
            )
        return self._manager

    def save(self, step: int, state: Any) -> None:
        """Writes a tree of arrays in the background; `finish` waits for it."""
        # Copies: the next step donates the buffers.
        arrays = {name: np.array(leaf) for name, leaf in _named(state).items()}
        metadata = {"arrays_crc32": _checksum(arrays)}
        self._open().save(
            step, args=orbax_calls.arguments(arrays), force=True, custom_metadata=metadata
        )

    def finish(self) -> None:
        """Returns when everything saved is on disk."""
        if self._manager is not None:
            self._manager.close()
            self._manager = None

    def latest(self) -> int | None:
        """The step of the newest complete checkpoint."""
        return self._open().latest_step() if self._path.is_dir() else None

    def load(self, step: int, like: Any) -> Any:
        """The state at `step`, in the structure of `like`.

        Raises:
          UserError: if the checkpoint is damaged or of another structure, or was written by
            version 0.2.0 or older.
        """
        path, expected = self._path / str(step), _named(like)
        arrays: dict[str, np.ndarray] = {}
        try:
            with orbax_calls.quiet(), orbax_calls.reading():
                # One by one: if several arrays are damaged, Orbax's threads print tracebacks.
                for name, leaf in expected.items():
                    arrays |= ocp.load(path, {name: np.empty_like(leaf)})
                metadata = self._open().metadata(step).custom_metadata
            if "crc32" in metadata:
                raise UserError(
                    f"the checkpoints in {self._path} are of dpd_jax 0.2.0 or older. Continue with "
                    "version 0.2.0, or delete that folder to distill from the start."
                )
            if _checksum(arrays) != metadata["arrays_crc32"]:
                raise ValueError("the checksum does not match")
            if any(arrays[name].shape != np.shape(expected[name]) for name in expected):
                raise ValueError("the shapes do not match")
        except UserError:
            raise
        except Exception as error:  # Orbax and TensorStore raise many types for broken files.
            raise UserError(
                f"the checkpoint {path} is damaged. Delete that folder: the run then continues "
                "from the checkpoint before it, or from the start."
            ) from error
        leaves = [jax.numpy.asarray(array) for array in arrays.values()]
        return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _named(state: Any) -> dict[str, Any]:
    """The leaves by their path in the tree, e.g. "0.synthetic.images"."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _checksum(arrays: dict[str, np.ndarray]) -> int:
    """CRC-32 of names, types, shapes and bytes."""
    crc32 = 0
    for name, array in arrays.items():
        crc32 = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), crc32)
        crc32 = zlib.crc32(np.ascontiguousarray(array), crc32)
    return crc32
