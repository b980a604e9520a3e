"""The folder a run leaves behind, and how it is found again.

config.json      the resolved config and the versions it ran with
metrics.jsonl    one line per logged step
checkpoints/     Orbax: everything needed to go on exactly
distilled.npz    the set, usable alone      (dpd_jax/storage/distilled_set.py)
images.png       the set as a picture       (dpd_jax/plots/image_grid.py)
pruning.png      which layers lose weights  (dpd_jax/plots/pruning_map.py; where some do)
report.json      accuracy, baseline, seconds, memory
.lock            keeps other processes out  (dpd_jax/storage/locks.py)
"""

import importlib.metadata
import json
import os
import pathlib
import platform
from typing import Any

import jax
from ml_collections import ConfigDict

from dpd_jax.errors import UserError
from dpd_jax.presets import fields
from dpd_jax.runs import console
from dpd_jax.storage import atomic
from dpd_jax.storage.checkpoints import Checkpoints

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "dpd_jax")


def versions() -> dict[str, str]:
    """Versions of Python and the packages results depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def flat(tree: dict, prefix: str = "") -> dict[str, Any]:
    """A nested dictionary as {'a.b': value}."""
    out = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            out.update(flat(value, f"{prefix}{name}."))
        else:
            out[prefix + name] = value
    return out


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes JSON so that a reader sees the old file or the new one, never half of one."""
    atomic.write_text(path, json.dumps(value, indent=2, sort_keys=False) + "\n")


class Workdir:
    """One run's folder. Opening it checks that it belongs to the same config."""

    def __init__(self, path: pathlib.Path, config: ConfigDict):
        """Raises UserError if `path` holds a run of another config."""
        self.path = path
        self._config = json.loads(config.to_json_best_effort())
        if (path / "config.json").exists():
            self._compare(path / "config.json", self._config)
        self._metrics = path / "metrics.jsonl"
        self._notes: dict[str, Any] = {}
        self.checkpoints = Checkpoints(path / "checkpoints")

    def begin(self) -> None:
        """Claims the folder for this config, once all that can be wrong with it was looked at."""
        self.path.mkdir(parents=True, exist_ok=True)
        file = self.path / "config.json"
        fresh = {"config": self._config, "versions": versions()}
        stored = json.loads(file.read_text(encoding="utf-8")) if file.exists() else fresh
        other = [
            f"{package} {then} (now {now})"
            for package, now in fresh["versions"].items()
            if (then := stored["versions"].get(package, "none")) != now
        ]
        if other:
            console.say(
                f"{self.path} was begun with {', '.join(other)}: it goes on, but not to the bit "
                "as it would have."
            )
        if not file.exists() or self._notes:
            write_json(file, stored | self._notes)

    def note(self, name: str, value: Any) -> None:
        """Keeps what a run decided for itself in config.json, from `begin` on."""
        self._notes[name] = value

    def noted(self, name: str) -> Any:
        """What `note` kept when the run began; None if nothing was."""
        file = self.path / "config.json"
        stored = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        return (stored | self._notes).get(name)

    def _compare(self, file: pathlib.Path, resolved: dict) -> None:
        try:
            stored = flat(json.loads(file.read_text(encoding="utf-8"))["config"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{file} is damaged ({error}). Name another --workdir, or delete that folder."
            ) from None
        asked = flat(resolved)
        missing = object()
        differing = [
            f"  {name}: there {stored.get(name, 'absent')!r}, asked {asked.get(name, 'absent')!r}"
            for name in sorted(stored.keys() | asked.keys())
            if stored.get(name, missing) != asked.get(name, missing) and not fields.is_free(name)
        ]
        if differing:
            raise UserError(
                f"{self.path} holds a run of another config:\n"
                + "\n".join(differing)
                + "\nName another --workdir, or delete that folder to start anew."
            )

    def truncate_metrics(self, step: int) -> None:
        """Forgets the logged steps after `step`, which will be run again."""
        if not self._metrics.exists():
            return
        kept = []
        for line in self._metrics.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (ValueError, KeyError):
                break  # The line a killed run was writing.
        atomic.write_text(self._metrics, "".join(line + "\n" for line in kept))

    def metrics(self) -> list[dict]:
        """The logged steps, in order; one cut short by a kill is left out."""
        lines = []
        if self._metrics.exists():
            for line in self._metrics.read_text(encoding="utf-8").splitlines():
                try:
                    lines.append(json.loads(line))
                except ValueError:
                    break
        return lines

    def log(self, step: int, values: dict[str, Any]) -> None:
        """Appends one line to metrics.jsonl."""
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")


def peak_memory_bytes() -> int:
    """The most memory this run has held: the accelerator's if there is one, else the process's."""
    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "peak_bytes_in_use" in stats:
        return int(stats["peak_bytes_in_use"])
    import resource  # Not on every system; only asked for here.

    unit = 1 if os.uname().sysname == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
