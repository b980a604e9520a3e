"""Checkpoints of a run, by Orbax."""

import gc
import pathlib
import zlib
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from dpd_jax.errors import UserError
from dpd_jax.storage.trajectories import quiet


class Checkpoints:
    """The state of a run at some of its steps; the last two are kept."""

    def __init__(self, path: pathlib.Path):
        self._path = path.absolute()
        self._checkpointer = None

    def _open(self):
        if self._checkpointer is None:
            self._checkpointer = ocp.training.Checkpointer(
                self._path,
                preservation_policy=ocp.training.preservation_policies.LatestN(2),
                cleanup_tmp_directories=True,
            )
        return self._checkpointer

    def save(self, step: int, state: Any) -> None:
        """Writes the state in the background; `finish` waits for it.

        It is copied first, since the loop goes on to donate its buffers, and into
        one array: of several, a damaged file makes Orbax's threads print for each.
        """
        packed = _pack(state)
        self._open().save_async(
            step, {"state": packed}, force=True, custom_metadata={"crc32": zlib.crc32(packed)}
        )

    def finish(self) -> None:
        """Returns when everything saved is on disk."""
        if self._checkpointer is not None:
            self._checkpointer.close()
            self._checkpointer = None

    def latest(self) -> int | None:
        """The step of the newest complete checkpoint."""
        if not self._path.is_dir():
            return None
        found = self._open().latest
        return None if found is None else found.step

    def load(self, step: int, like: Any) -> Any:
        """The state at `step`, in the structure of `like`.

        Raises:
          UserError: if the checkpoint is damaged or of another structure.
        """
        try:
            with quiet():
                try:
                    empty = np.empty_like(_pack(like))
                    packed = self._open().load(step, {"state": empty})["state"]
                    crc32 = self._open().metadata(step).custom_metadata["crc32"]
                finally:
                    gc.collect()  # Orbax's failed tasks complain when they are collected.
            if packed.shape != empty.shape or zlib.crc32(packed) != crc32:
                raise ValueError("its checksum or size does not match")
        except Exception as error:
            raise UserError(
                f"the checkpoint {self._path / str(step)} is damaged. Delete that folder: the run "
                "then goes on from the checkpoint before it, or from the start."
            ) from error
        leaves, structure = jax.tree.flatten(like)
        ends = np.cumsum([np.asarray(leaf).nbytes for leaf in leaves])
        parts = np.split(packed, ends[:-1])
        return jax.tree.unflatten(
            structure,
            [
                jax.numpy.asarray(part.view(leaf.dtype).reshape(leaf.shape))
                for part, leaf in zip(parts, leaves, strict=True)
            ],
        )


def _pack(state: Any) -> np.ndarray:
    """A state's leaves as one vector of bytes."""
    leaves = [np.ascontiguousarray(leaf).reshape(-1) for leaf in jax.tree.leaves(state)]
    return np.concatenate([leaf.view(np.uint8) for leaf in leaves])
