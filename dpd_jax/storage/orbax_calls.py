"""Orbax as this package calls it: quietly, and by one process alone."""

import contextlib
import gc
import logging
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from orbax import checkpoint as orbax
from orbax.checkpoint import v1 as ocp


def reading() -> ocp.Context:
    """A context in which this process reads some arrays of a checkpoint."""
    context = ocp.Context(multiprocessing_options=_alone())
    context.pytree.loading.partial_load = True
    return context


def manager(path: pathlib.Path, **options: Any) -> orbax.CheckpointManager:
    """The checkpoints in a folder, which is made if needed; one process writes them, the first.

    `ocp.training.Checkpointer` and `ocp.save` are for all processes together.
    """
    path.mkdir(parents=True, exist_ok=True)
    options["multiprocessing_options"] = _alone().v0()
    return orbax.CheckpointManager(
        path, options=orbax.CheckpointManagerOptions(create=False, **options)
    )


def arguments(arrays: Mapping[str, np.ndarray]) -> orbax.args.Composite:
    """What a manager saves, so that `ocp.load` reads it."""
    return orbax.args.Composite(state=orbax.args.StandardSave(dict(arrays)))


def _alone() -> ocp.options.MultiprocessingOptions:
    """Without the other processes of `jax.distributed`, which do not make the call."""
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process{own}"
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drops Orbax's log lines during one call: broken files also raise errors."""

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
