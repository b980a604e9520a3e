"""curves.png of a run: what its outer steps measured, over steps and over time."""

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
      expert_seconds: the seconds of the experts, which precede the steps; None if not known.

    Raises:
      UserError: the disk is full.
    """
    if rows := panels(lines, [parameter.size for parameter in parameters], expert_seconds):
        curves.save(path, rows, title=title)


def panels(
    lines: list[dict], sizes: Sequence[int], expert_seconds: float | None
) -> list[list[Panel]]:
    """A row for each quantity that was logged: over steps, and over minutes if they were logged.

    `sizes` are those of the parameter arrays.
    """
    weights = np.array(sizes) / np.sum(sizes)
    quantities: list[tuple[str, Callable[[dict], float | None], bool]] = [
        ("validation accuracy, %", lambda x: _mean(x.get("validation_accuracy"), 100), True),
        ("matching loss", lambda x: x.get("loss"), False),
        ("step size", lambda x: x.get("step_size"), False),
        ("weights left out, %", lambda x: _share(x.get("dropped"), weights), False),
    ]
    rows = []
    for name, value, with_band in quantities:
        used = [line for line in lines if value(line) is not None]
        if not with_band:
            used = used[:: -(-len(used) // _POINTS) or 1]
        if not used:
            continue
        means = [float(value(line)) for line in used]
        stds = [100 * float(np.std(x["validation_accuracy"])) for x in used] if with_band else ()
        row = [Panel([Curve("", [x["step"] for x in used], means, stds)], "outer step", name)]
        if all("seconds" in line for line in lines):
            before, what = (
                (0.0, "") if expert_seconds is None else (expert_seconds, ", experts included")
            )
            minutes = [(before + line["seconds"]) / 60 for line in used]
            row.append(Panel([Curve("", minutes, means, stds)], f"minutes{what}", name))
        rows.append(row)
    return rows


def _mean(values: list[float] | None, factor: float) -> float | None:
    return None if values is None else factor * float(np.mean(values))


def _share(shares: list[float] | None, weights: np.ndarray) -> float | None:
    return None if shares is None else 100 * float(weights @ np.array(shares))
