"""The metrics of a run as TensorBoard events, which the optional tensorboardX writes."""

import pathlib
from typing import Any

import numpy as np

from dpd_jax.errors import UserError


def check() -> None:
    """Raises UserError if tensorboardX is not installed."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        raise UserError(
            "--tensorboard needs tensorboardX, which is not installed: pip install -e "
            "'.[tensorboard]'"
        ) from None


class Events:
    """Event files in a folder; TensorBoard shows no step after `first` of an earlier process."""

    def __init__(self, folder: pathlib.Path, first: int):
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=first + 1, flush_secs=10)

    def log(self, step: int, values: dict[str, Any]) -> None:
        """Adds the numbers of one logged step, and the mean validation accuracy."""
        for name, value in values.items():
            if name == "validation_accuracy":
                value = float(np.mean(value))
            if isinstance(value, int | float):
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Returns when everything is on disk."""
        self._writer.close()
