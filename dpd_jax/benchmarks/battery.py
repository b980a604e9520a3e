"""The battery: commands that show what a device can do, one after the other.

Each part is a process of its own, so that it has all of the device's memory and its failure ends
nothing else. After each part the results are written; what has finished is not done again.
"""

import json
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from dpd_jax.errors import UserError
from dpd_jax.judging import tables
from dpd_jax.runs import console
from dpd_jax.runs.workdir import write_json

# Kind of part -> its share of the whole time. What a kind leaves over is for those that follow.
SHARES = {"tests": 0.15, "steps": 0.45, "experts": 0.1, "runs": 0.3}
_GRACE = 60.0  # seconds that a stopped process has to save its work
_LINES = 12  # of a part's output that are kept
_COLUMNS = {
    # Head: the field of a row, its scale, its format.
    "N": ("steps", 1, "d"),
    "batch": ("batch", 1, "d"),
    "seconds": ("seconds", 1, ".4g"),
    "of the product": ("fraction_of_matmul", 1, ".2f"),
    "MiB": ("temp_bytes", 2**-20, ".0f"),
    "accuracy": ("accuracy", 100, ".1f"),
}


class Part(NamedTuple):
    """A command of the battery.

    Attributes:
      kind: a name in SHARES.
      name: different for each part.
      command: the arguments of Python.
      minutes: its limit.
      file: JSON that the command writes: a list of rows, or the report of a run.
      needs: a package that may be missing; the part is then skipped.
    """

    kind: str
    name: str
    command: tuple[str, ...]
    minutes: float
    file: pathlib.Path | None = None
    needs: str = ""


def run(
    parts: Sequence[Part], path: pathlib.Path, about: dict[str, Any], minutes: float
) -> list[dict[str, Any]]:
    """Runs the parts that have not finished, in their order.

    Args:
      parts: sorted by their kind, as in SHARES.
      path: the JSON file of the results, {"about": ..., "parts": [...]}; written after each part.
      about: what the results are for: device, versions, command.
      minutes: for all parts together; 0 = no limit but that of each.

    Returns:
      A result for each part: its name, kind and command; `status` "done", "failed", "stopped" (it
      took too long), "skipped" or "not begun"; `seconds`; `rows`; the last lines of its output.

    Raises:
      UserError: if the file has results of another device or other versions.
    """
    results = {part.name: _result(part, "not begun") for part in parts}
    results |= _earlier(path, about, results)
    start = time.monotonic()
    waiting = [part for part in parts if results[part.name]["status"] != "done"]
    with console.Bar("battery", len(parts), initial=len(parts) - len(waiting), unit="parts") as bar:
        for place, part in enumerate(waiting, len(parts) - len(waiting)):
            bar.note(part=part.name)
            left = _seconds_left(part.kind, minutes, time.monotonic() - start)
            if left > 0:
                result = _run(part, min(left, 60 * part.minutes), path.with_suffix(".log"))
                results[part.name] = result
                bar.say(f"  {part.name}: {result['status']}, {result['seconds']:.0f} s")
            write_json(path, {"about": about, "parts": list(results.values())})
            bar.to(place + 1)
    write_json(path, {"about": about, "parts": list(results.values())})
    return list(results.values())


def markdown(results: Sequence[dict[str, Any]]) -> str:
    """A table with a line for each row of each part."""
    lines = [tables.line(["part", "what", "status", *_COLUMNS])]
    lines.append("| --- " * (3 + len(_COLUMNS)) + "|")
    for result in results:
        for row in result["rows"] or [{}]:
            cells = [result["name"], _what(row, result), row.get("error") or result["status"]]
            lines.append(tables.line(cells + [_cell(row, *each) for each in _COLUMNS.values()]))
    return "\n".join(lines)


def _what(row: dict[str, Any], result: dict[str, Any]) -> str:
    """The options that tell the rows of a part apart; without a row what its output ends with."""
    if not row:
        told = result["status"] != "stopped" and result["output"]
        return told[-1].strip() if told else ""
    words = [row["what"], row.get("gradient"), "augmented" if row.get("augmentation") else None]
    words.append(f"{row['at_once']} at once" if row.get("at_once", 1) > 1 else None)
    return " ".join(filter(None, words))


def _cell(row: dict[str, Any], field: str, scale: float, digits: str) -> str:
    value = row.get(field)
    return "" if value is None else f"{value * scale:{digits}}"


def _result(part: Part, status: str, seconds: float = 0.0, output: str = "") -> dict[str, Any]:
    """What is kept of a part; its rows are those that its command has written."""
    return {
        "name": part.name,
        "kind": part.kind,
        "command": ["python", *part.command],
        "status": status,
        "seconds": seconds,
        "rows": _rows(part) if seconds else [],
        "output": output.strip().splitlines()[-_LINES:],
    }


def _rows(part: Part) -> list[dict[str, Any]]:
    if part.file is None or not part.file.is_file():
        return []
    found = json.loads(part.file.read_text(encoding="utf-8"))
    if isinstance(found, list):
        return found
    seconds = sum(value for name, value in found["seconds"].items() if name != "forecast")
    return [{"what": "distill", "seconds": seconds, "accuracy": found["accuracy"]["mean"]}]


def _earlier(path: pathlib.Path, about: dict, known: dict) -> dict[str, dict[str, Any]]:
    """The results in the file, for the parts that are known."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        before, results = found["about"], {result["name"]: result for result in found["parts"]}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"--json={path} is no file of a battery; name another.") from error
    for name in ("device", "versions"):
        if before.get(name) != about[name]:
            raise UserError(
                f"--json={path} has results of {name} {before.get(name)}, and here it is "
                f"{about[name]}. Name another file."
            )
    return {name: result for name, result in results.items() if name in known}


def _seconds_left(kind: str, minutes: float, spent: float) -> float:
    """Seconds until the shares of this kind and of those before it are used up."""
    if not minutes:
        return float("inf")
    kinds = list(SHARES)
    return 60 * minutes * sum(SHARES[each] for each in kinds[: kinds.index(kind) + 1]) - spent


def _run(part: Part, limit: float, log: pathlib.Path) -> dict[str, Any]:
    """Runs a part for at most `limit` seconds; its output goes to a log, which the next replaces.

    A process that takes longer is stopped as by Ctrl-C.
    """
    if part.needs and not _can_import(part.needs):
        return _result(part, "skipped", output=f"{part.needs} is not installed")
    start = time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *part.command], stdout=file, stderr=subprocess.STDOUT
        )
        try:
            status = "failed" if process.wait(timeout=limit) else "done"
        except subprocess.TimeoutExpired:
            status = "stopped"
        finally:
            _stop(process)
    output = log.read_text(encoding="utf-8", errors="replace")
    return _result(part, status, time.monotonic() - start, output)


def _stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _can_import(package: str) -> bool:
    """Whether a process of its own can import it; here its libraries would stay loaded."""
    done = subprocess.run([sys.executable, "-c", f"import {package}"], capture_output=True)
    return done.returncode == 0
