"""curves.png of a run: what its outer steps measured, over steps and over time."""

import math
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from dpd_jax.networks.layout import Parameter
from dpd_jax.plots import curves
from dpd_jax.plots.curves import Curve, Panel

_POINTS = 1000  # of a curve, at most


def save(
    path: pathlib.Path,
    lines: list[dict],
    parameters: Sequence[Parameter],
    *,
    title: str,
    expert_seconds: float | None,
) -> None:
    """Draws the lines of metrics.jsonl; without lines: no file.

    Args:
      path: of the picture.
      lines: of metrics.jsonl.
      parameters: those whose shares the lines have.
      title: of the picture.
      expert_seconds: the seconds of the experts, which precede the steps; 0 if there are none,
        None if it is not known.

    Raises:
      UserError: the disk is full.
    """
    if rows := panels(lines, [parameter.size for parameter in parameters], expert_seconds):
        curves.save(path, rows, title=title)


def panels(
    lines: list[dict], sizes: Sequence[int], expert_seconds: float | None
) -> list[list[Panel]]:
    """A row for each quantity that was logged: over steps, and over time if it was logged.

    `sizes` are those of the parameter arrays.
    """
    weights = np.array(sizes) / np.sum(sizes)
    before = expert_seconds or 0.0
    what = ", experts included" if before else "" if expert_seconds == 0 else ", without experts"
    timed = all("seconds" in line for line in lines)  # Not by older versions.
    # Name, value of a line, and whether the lower end of the axis is 0.
    quantities: list[tuple[str, Callable[[dict], float | None], bool]] = [
        ("validation accuracy, %", lambda line: _mean(line.get("validation_accuracy")), False),
        ("matching loss", lambda line: line.get("loss"), True),
        ("step size", lambda line: line.get("step_size"), False),
        ("weights left out, %", lambda line: _share(line.get("dropped"), weights), True),
    ]
    rows = []
    for name, value, from_zero in quantities:
        found = [(line, y) for line in lines if (y := value(line)) is not None]
        found = found[:: math.ceil(len(found) / _POINTS) or 1]
        if not found:
            continue
        used, means = zip(*found, strict=True)
        if name == "step size" and len(found) > 1 and len(set(means)) == 1:  # It is not learned.
            continue
        stds = _stds(used) if "validation" in name else ()
        curve = Curve("", [line["step"] for line in used], means, stds)
        row = [Panel([curve], "outer step", name, from_zero)]
        if timed:
            seconds = np.array([before + line["seconds"] for line in used])
            long = before + lines[-1]["seconds"] > 300
            unit, length = ("minutes", 60) if long else ("seconds", 1)
            over_time = curve._replace(x=(seconds / length).tolist())
            row.append(Panel([over_time], f"{unit}{what}", name, from_zero))
        rows.append(row)
    return rows


def _mean(values: list[float] | None) -> float | None:
    return None if values is None else 100 * float(np.mean(values))


def _stds(lines: Sequence[dict]) -> list[float]:
    return [100 * float(np.std(line["validation_accuracy"])) for line in lines]


def _share(shares: list[float] | None, weights: np.ndarray) -> float | None:
    return None if shares is None else 100 * float(weights @ np.array(shares))
