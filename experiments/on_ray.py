"""Runs a command in several processes of a Ray cluster, which share its work.

    python -m experiments.on_ray --workers=4 \\
        --command='train_experts --config=configs/cifar10_ipc1.py --experts_dir=/shared/experts'

Ray only starts the processes, each with a GPU of its own, shows the last lines that they print, and
stops them. They share the work by locks in a folder that all machines see, as if each had been
started by hand. Needs pip install 'dpd_jax[ray]', and the same Python and folder on all machines.
"""

import contextlib
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from absl import flags

from dpd_jax.errors import UserError
from dpd_jax.interchange import extras
from dpd_jax.runs import console, workers

from . import _cli

COMMAND = flags.DEFINE_string(
    "command",
    "",
    "A command of experiments/ with its flags, in quotes; relative paths are as here.",
)
WORKERS = flags.DEFINE_integer("workers", 1, "How many processes share it.", lower_bound=1)
GPUS = flags.DEFINE_float("gpus", 1.0, "GPUs of each process; 0 for CPUs only.", lower_bound=0.0)
CPUS = flags.DEFINE_float("cpus", 1.0, "CPU cores of each process.", lower_bound=0.0)
ADDRESS = flags.DEFINE_string(
    "address", "", "The Ray cluster, e.g. auto; none starts one on this machine."
)

_WAIT = 2.0  # seconds


class Process:
    """A process of the command, on the machine that Ray chose."""

    def __init__(self, command: list[str], folder: str, environment: dict[str, str]):
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 Open as long as the actor lives.
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=os.environ | environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def look(self) -> tuple[int | None, str]:
        """The exit status, None while it runs, and the end of what it printed."""
        status = self._process.poll()
        size = self._log.seek(0, os.SEEK_END)
        text = os.pread(self._log.fileno(), 20_000, max(0, size - 20_000))
        return status, text.decode(errors="replace")

    def stop(self) -> None:
        """Ends it; what it has finished is kept."""
        self._process.terminate()
        self._process.wait()


def main() -> None:
    words = shlex.split(COMMAND.value)
    known = {path.stem for path in pathlib.Path(__file__).parent.glob("[a-z]*.py")} - {"on_ray"}
    if not words or words[0] not in known:
        raise UserError(
            f"--command={COMMAND.value!r} must begin with one of {', '.join(sorted(known))}."
        )
    ray = extras.package("ray", "ray")
    with contextlib.ExitStack() as stack:
        ray.init(address=ADDRESS.value or None, log_to_driver=False, logging_level="ERROR")
        stack.callback(ray.shutdown)
        for kind, each in (("GPU", GPUS.value), ("CPU", CPUS.value)):
            present = ray.cluster_resources().get(kind, 0)
            if each * WORKERS.value > present:
                raise UserError(
                    f"--workers={WORKERS.value} need {each * WORKERS.value:g} {kind}s, and the Ray "
                    f"cluster has {present:g}. Lower --workers or --{kind.lower()}s."
                )
        command = [f"{__package__}.{words[0]}", *words[1:]]
        environment = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        actor = ray.remote(num_gpus=GPUS.value, num_cpus=CPUS.value)(Process)
        processes = [actor.remote(command, os.getcwd(), environment) for _ in range(WORKERS.value)]
        stack.callback(lambda: ray.get([process.stop.remote() for process in processes]))
        with workers.stoppable():
            watch(lambda: ray.get([process.look.remote() for process in processes]))


def watch(look: Callable[[], list[tuple[int | None, str]]]) -> None:
    """Shows the last lines of the processes until all have ended; raises UserError if one fails."""
    shown: dict[int, str] = {}
    while True:
        found = look()
        for number, (_, text) in enumerate(found):
            last = (text.replace("\r", "\n").strip().splitlines() or [""])[-1].strip()
            if last != shown.get(number, ""):
                shown[number] = last
                console.say(f"worker {number}: {last}")
        if all(status is not None for status, _ in found):
            break
        time.sleep(_WAIT)
    if note := workers.outcome(found):
        console.say(note)


if __name__ == "__main__":
    _cli.run(main, needs_config=False, starts_device=False)
