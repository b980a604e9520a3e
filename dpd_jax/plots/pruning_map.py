"""pruning.png: the fraction of each layer's weights that the masks remove.

It shows DPD's hypothesis directly. Each parameter array is a row, shallow arrays
first. One map shows the outer steps, the other the start epochs.
"""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dpd_jax.networks.layout import Parameter
from dpd_jax.storage import atomic

_COLUMNS = 60  # of the map over outer steps, at most
_INK, _FAINT, _PAPER, _BLANK = "#1b1f24", "#6a727c", "#fcfcfa", "#e6e6e2"
_DPI = 110


class Log(NamedTuple):
    """The masks of the logged outer steps.

    Attributes:
      steps: int [s], the outer steps.
      epochs: int [s, k], the start epochs of their k segments.
      shares: [s, parameters], the fraction of each array's weights removed, mean over segments.
    """

    steps: np.ndarray
    epochs: np.ndarray
    shares: np.ndarray


def save(
    path: pathlib.Path, metrics: list[dict], parameters: Sequence[Parameter], *, title: str
) -> None:
    """Draws the pruning map of a run from the lines of metrics.jsonl. Without masks: no file.

    Raises:
      UserError: the disk is full.
    """
    log = read(metrics)
    if log is not None:
        names = [parameter.path for parameter in parameters]
        sizes = np.array([parameter.size for parameter in parameters])
        canvas = draw(log, names, sizes, title=f"Weights removed from the matching loss: {title}")
        atomic.write_whole(path, canvas.print_png, num_bytes=200_000)


def read(lines: list[dict]) -> Log | None:
    """The lines of metrics.jsonl that contain masks; None if there are none."""
    columns = ("step", "start_epochs", "dropped")
    masked = [line for line in lines if line.keys() >= set(columns)]
    if not masked:
        return None
    return Log(*(np.array([line[column] for line in masked]) for column in columns))


def over_steps(log: Log) -> tuple[np.ndarray, np.ndarray]:
    """The edges [c + 1] of c <= `_COLUMNS` equal intervals of outer steps, and the mean shares
    [parameters, c] in them; NaN where no step was logged.
    """
    columns = min(_COLUMNS, len(log.steps))
    edges = np.linspace(0, log.steps[-1], columns + 1)
    column = np.searchsorted(edges[1:-1], log.steps, side="left")
    return edges, _means(column, log.shares, columns)


def over_epochs(log: Log) -> np.ndarray:
    """Mean shares by start epoch, [parameters, last start epoch + 1]; NaN if never drawn.

    The mean of a step with several segments counts for each of its start epochs.
    """
    segments = log.epochs.shape[1]
    return _means(log.epochs.ravel(), log.shares.repeat(segments, 0), int(log.epochs.max()) + 1)


def _means(column: np.ndarray, shares: np.ndarray, columns: int) -> np.ndarray:
    """Mean of the rows [s, parameters] of each column, [parameters, columns]."""
    counts = np.bincount(column, minlength=columns)
    sums = np.zeros((columns, shares.shape[1]))
    np.add.at(sums, column, shares)
    with np.errstate(invalid="ignore"):
        return (sums / counts[:, None]).T


def draw(log: Log, names: list[str], sizes: np.ndarray, *, title: str) -> FigureCanvasAgg:
    """Draws bars for the whole run, a map over steps and a map over start epochs.

    `names` and `sizes` are those of the parameter arrays, in the order of `log.shares`.
    """
    overall = log.shares.mean(0)
    all_together = float(overall @ sizes / sizes.sum())
    edges, by_step = over_steps(log)
    by_epoch = over_epochs(log)
    top = max(np.nanmax(by_step), np.nanmax(by_epoch), 1e-6)

    rows = len(names)
    figure = Figure((11, 2.2 + 0.27 * rows), dpi=_DPI, facecolor=_PAPER, layout="constrained")
    figure.suptitle(title, color=_INK, parse_math=False, x=0.01, ha="left")
    bars, steps, epochs = figure.subplots(1, 3, width_ratios=(1.1, 2, 1.2))
    labels = [f"{name}  {size:,}" for name, size in zip(names, sizes, strict=True)]
    for axes in (bars, steps, epochs):
        axes.set_facecolor(_BLANK)
        axes.set_ylim(rows - 0.5, -0.5)
        axes.set_yticks([])
        axes.tick_params(colors=_FAINT)
    bars.set_facecolor(_PAPER)
    bars.set_yticks(range(rows), labels, fontsize=8, color=_INK, parse_math=False)
    bars.spines[["top", "right"]].set_visible(False)

    bars.barh(range(rows), 100 * overall, color="#2f6fb0", height=0.7)
    bars.axvline(100 * all_together, color=_INK, linestyle="--", linewidth=1)
    bars.set_xlabel(f"% removed, whole run\n(dashed: all weights, {100 * all_together:.1f} %)")
    shown = dict(vmin=0, vmax=100 * top, cmap="Blues", rasterized=True)
    heights = np.arange(rows + 1) - 0.5
    image = steps.pcolormesh(edges, heights, 100 * by_step, **shown)
    steps.xaxis.get_major_locator().set_params(integer=True)
    steps.set_xlabel("outer step")
    widths = np.arange(by_epoch.shape[1] + 1) - 0.5
    epochs.pcolormesh(widths, heights, 100 * by_epoch, **shown)
    epochs.xaxis.get_major_locator().set_params(integer=True)
    epochs.set_xlabel("start epoch of the expert")
    figure.colorbar(image, ax=epochs, label="% of the row's weights removed")
    return FigureCanvasAgg(figure)
