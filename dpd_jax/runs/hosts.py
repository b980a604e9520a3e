"""The processes, on one host or on several, that take the outer steps of one run together.

The first process does the run: it holds the set, decides, and writes all files. The others compute
their devices' share of each gradient. Before every step all of them exchange a short message, so
that each hears of what happens to another one.
"""

import atexit
import collections
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from dpd_jax.errors import UserError
from dpd_jax.runs import console
from dpd_jax.runs.experiment import Experiment


def join(hosts: str) -> None:
    """Joins the processes that --hosts names, before JAX starts a device.

    Raises:
      UserError: if the text is wrong, or the processes do not find each other.
    """
    place = _place(hosts)
    with console.note("waiting for the other processes of --hosts"):
        try:
            jax.distributed.initialize(*place)
        except (RuntimeError, ValueError) as error:
            raise UserError(
                f"--hosts={hosts}: the processes do not find each other "
                f"({str(error).splitlines()[0]})."
            ) from error


def _place(hosts: str) -> tuple[()] | tuple[str, int, int]:
    """The address of the first process, the number of processes, and this one's; () for "auto"."""
    if hosts == "auto":
        return ()
    parts = hosts.split(",")
    if len(parts) != 3 or ":" not in parts[0] or not all(map(str.isdecimal, parts[1:])):
        raise UserError(
            f"--hosts={hosts} must be auto, for processes that SLURM, Open MPI or a TPU has "
            "started, or ADDRESS:PORT,COUNT,NUMBER: where process 0 is reached, how many there "
            "are, and which one this is, from 0."
        )
    address, count, number = parts[0], int(parts[1]), int(parts[2])
    if number >= count:
        raise UserError(f"--hosts={hosts}: {count} processes are numbered from 0 to {count - 1}.")
    return address, count, number


def leads() -> bool:
    """Whether this is the first process, or the only one."""
    return jax.process_index() == 0


def check(experiment: Experiment) -> None:
    """Raises UserError if the devices of several processes cannot share the outer steps."""
    if jax.process_count() == 1:
        return
    devices, config = jax.device_count(), experiment.config
    counts = collections.Counter(device.process_index for device in jax.devices())
    if len(set(counts.values())) > 1:
        raise UserError(
            f"the processes of --hosts have different numbers of devices: {list(counts.values())}. "
            "Give each the same number."
        )
    if devices != max(config.distill.devices, config.student.batch_devices):
        raise UserError(
            f"the {jax.process_count()} processes of --hosts have {devices} devices together, but "
            f"distill.devices = {config.distill.devices} and student.batch_devices = "
            f"{config.student.batch_devices}. Set --config.distill.devices={devices} and "
            "--config.distill.segments to a multiple of it, or --config.student.batch_devices="
            f"{devices}, so that all of them take part."
        )


class Group:
    """The processes of a run, as one of them sees them. It closes when one of them says so.

    A run of one process is a group without messages.
    """

    def __init__(self):
        self.open = jax.process_count() > 1

    def meet(self) -> None:
        """Connects the processes, which must all come within half a minute (Gloo's limit)."""
        self._exchange({})

    def tell(self, message: dict[str, Any]) -> bool:
        """Of the first process: sends a message; whether any other process was asked to stop.

        Raises UserError if another process has failed.
        """
        return any(found.get("asked") for found in self._exchange(message)[1:])

    def hear(self, *, asked: bool = False) -> dict[str, Any]:
        """Of the other processes: the message of the first one. `asked`: this one shall stop."""
        return self._exchange({"asked": asked})[0]

    def end(self, how: str, reason: str = "") -> None:
        """Says how the work of this process ended, and leaves the group: it needs no other one."""
        if self.open:
            self._exchange({"end": how, "reason": reason})

    def _exchange(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """The messages of all processes, in order."""
        if not self.open:
            return [message]
        text = json.dumps(message).encode()
        sizes = multihost_utils.process_allgather(np.array([len(text)]))
        buffer = np.frombuffer(text.ljust(sizes.max()), np.uint8)
        rows = multihost_utils.process_allgather(buffer)
        messages = [json.loads(row.tobytes()) for row in rows]
        if any("end" in found for found in messages):
            self.open = False
            jax.distributed.shutdown()  # All processes do so now. None waits for another again.
        own = jax.process_index()
        for number, found in enumerate(messages):
            if number not in (0, own) and found.get("end"):
                raise UserError(f"process {number} of --hosts has failed: {found['reason']}")
        return messages


@contextlib.contextmanager
def group() -> Iterator[Group]:
    """The group of this process. An error in the block ends the work of all processes.

    Raises:
      UserError: if another process has ended without a word.
    """
    found = Group()
    try:
        found.meet()
        yield found
        found.end("finished")
    except jax.errors.JaxRuntimeError as error:
        if not found.open:
            raise
        atexit.register(_leave)
        raise UserError(
            f"the processes of --hosts have lost each other ({str(error).splitlines()[0][:200]}). "
            "Start all of them again: the run continues from its last checkpoint."
        ) from error
    except KeyboardInterrupt:
        found.end("stopped")
        raise
    except Exception as error:
        found.end("failed", str(error))
        raise


def _leave() -> None:
    """Ends this process before JAX does, which would wait for the lost ones and then abort."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(2)
