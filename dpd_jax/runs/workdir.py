"""The folder of a run.

config.json      the resolved config, the versions of the packages, the command, the experts' store
metrics.jsonl    one line per logged step
checkpoints/     Orbax: everything needed to continue exactly
distilled.npz    the distilled set, usable alone (dpd_jax/storage/distilled_set.py); above 32x32
                 pixels with ZCA beside whitening-*.npy
images.png       the distilled set as a picture  (dpd_jax/plots/image_grid.py)
curves.png       loss, step size, ... over steps and time (dpd_jax/plots/run_curves.py)
pruning.png      share of pruned weights by layer (dpd_jax/plots/pruning_map.py; if any)
tensorboard/     metrics.jsonl as events, if asked for
report.json      accuracy, baseline, seconds, memory
report.html      the same with pictures and config, in one file
failed.txt       why a sweep could not do the run
.lock            keeps other processes out       (dpd_jax/storage/locks.py)

The set and the pictures are there from the first checkpoint, the reports at the end.
"""

import importlib.metadata
import json
import pathlib
import platform
from typing import Any

import jax
from ml_collections import ConfigDict

from dpd_jax.errors import UserError
from dpd_jax.runs import console, identity, machine, tensorboard
from dpd_jax.storage import atomic
from dpd_jax.storage.checkpoints import Checkpoints
from dpd_jax.storage.provenance import differences

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "dpd_jax")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes JSON; a reader sees the old file or the new one, never a part."""
    atomic.write_text(path, json.dumps(value, indent=2) + "\n")


def read_metrics(path: pathlib.Path) -> list[dict]:
    """The logged steps of the run in a folder, without a last line that is not complete."""
    file, lines = path / "metrics.jsonl", []
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                break
    return lines


class Workdir:
    """The folder of one run: its path, its checkpoints and its other files."""

    def __init__(self, path: pathlib.Path, config: ConfigDict, *, with_events: bool = False):
        """Checks that the folder is empty or holds the same run.

        `with_events`: whether metrics are written as TensorBoard events, too.

        Raises:
          UserError: if it holds a run of another config, its config.json is damaged, or events
            are wanted without tensorboardX.
        """
        if with_events:
            tensorboard.check()
        self.path = path
        self.checkpoints = Checkpoints(path / "checkpoints")
        self._metrics = path / "metrics.jsonl"
        self._config = json.loads(config.to_json_best_effort())
        self._notes: dict[str, Any] = {}
        self._with_events = with_events
        self._events: tensorboard.Events | None = None
        try:
            stored = self._stored()
            stored = identity.of_run(stored["config"] if stored else config)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path / 'config.json'} is damaged ({error}). Name another --workdir, or delete "
                "that folder."
            ) from None
        if found := list(differences(stored, identity.of_run(config))):
            raise UserError(
                f"{path} holds a run of another config:\n  "
                + "\n  ".join(found)
                + "\nName another --workdir, or delete that folder to start again."
            )

    def begin(self) -> None:
        """Writes config.json, or compares the versions in it with those of today."""
        now = versions()
        stored = self._stored() or {"config": self._config, "versions": now}
        changed = [
            f"{package} {then} (now {now[package]})"
            for package in now
            if (then := stored["versions"].get(package, "none")) != now[package]
        ]
        if changed:
            console.say(
                f"{self.path} was begun with {', '.join(changed)}; its last bits may differ now."
            )
        if self._notes or not self._stored():
            write_json(self.path / "config.json", stored | self._notes)

    def note(self, name: str, value: Any) -> None:
        """Adds a decision of the run to config.json when the run begins."""
        self._notes[name] = value

    def noted(self, name: str) -> Any:
        """The value that `note` added, or None."""
        return (self._stored() | self._notes).get(name)

    def _stored(self) -> dict[str, Any]:
        """The contents of config.json; {} if there is none."""
        file = self.path / "config.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    def begin_metrics(self, step: int) -> None:
        """Removes the logged steps after `step`, because they will run again."""
        if self._with_events:
            self._events = tensorboard.Events(self.path / "tensorboard", step)
        if self._metrics.exists():
            kept = [line for line in self.metrics() if line["step"] <= step]
            atomic.write_text(self._metrics, "".join(json.dumps(line) + "\n" for line in kept))

    def metrics(self) -> list[dict]:
        """The logged steps, in order, as `read_metrics`."""
        return read_metrics(self.path)

    def log(self, step: int, values: dict[str, Any]) -> None:
        """Appends one line to metrics.jsonl."""
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        if self._events:
            self._events.log(step, values)

    def finish_metrics(self) -> None:
        """Returns when all metrics are on disk."""
        if self._events:
            self._events.close()
            self._events = None


def peak_memory_bytes() -> int:
    """The peak memory of the accelerator if there is one, else of the process."""
    return device_memory_bytes("peak_bytes_in_use") or machine.peak_memory_bytes()


def device_memory_bytes(statistic: str) -> int | None:
    """A statistic of the accelerator's memory; None if there is none."""
    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    return int(stats[statistic]) if stats and statistic in stats else None
