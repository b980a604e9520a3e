"""plot.png of an architecture search: accuracy by each proxy against accuracy by the real data."""

import pathlib
from collections.abc import Mapping

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dpd_jax.storage import atomic

_DPI = 110


def save(
    path: pathlib.Path, proxies: Mapping[str, np.ndarray], real: np.ndarray, *, title: str
) -> None:
    """Draws one panel per proxy, with a point for each architecture; its best is marked.

    Args:
      path: of the picture.
      proxies: text above the panel -> accuracies [architectures], fractions.
      real: accuracies by the reference [architectures], fractions.
      title: of the picture.

    Raises:
      UserError: if the disk is full.
    """
    figure = Figure((0.6 + 2.8 * len(proxies), 3.6), dpi=_DPI, layout="constrained")
    panels = figure.subplots(1, len(proxies), sharey=True, squeeze=False)[0]
    for axes, (text, proxy) in zip(panels, proxies.items(), strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        axes.scatter(100 * proxy, 100 * real, s=14, color="#2f6fb0", alpha=0.6, linewidths=0)
        best = proxy == proxy.max()
        axes.scatter(
            100 * proxy[best],
            100 * real[best],
            s=60,
            facecolors="none",
            edgecolors="#c8553d",
            linewidths=1.5,
            label="best by this proxy",
        )
        axes.set_title(text, fontsize=9, parse_math=False)
        axes.set_xlabel("validation accuracy, %")
    panels[0].set_ylabel("test accuracy after training\non the whole training set, %")
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        frameon=False,
        fontsize=8,
    )
    figure.suptitle(title, x=0.02, ha="left", fontsize=11, parse_math=False)
    drawn = FigureCanvasAgg(figure)
    atomic.write_whole(path, drawn.print_png, num_bytes=80_000)
