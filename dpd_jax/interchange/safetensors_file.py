"""A distilled set as distilled.safetensors: the arrays of distilled.npz, the rest as metadata.

The metadata, which are texts, hold `class_names` and `provenance` as JSON.
"""

import json
import pathlib
from collections.abc import Callable

import numpy as np

from dpd_jax.interchange import extras
from dpd_jax.storage import atomic
from dpd_jax.storage.distilled_set import DistilledSet


def write(folder: pathlib.Path, distilled: DistilledSet, progress: Callable[[float], None]) -> None:
    """Writes the file of a set.

    Raises:
      UserError: if the disk is full, or the package safetensors is not installed.
    """
    numpy = extras.package("safetensors.numpy", "safetensors")
    arrays = distilled._asdict() | {"step_size": np.float32(distilled.step_size)}
    texts = {name: json.dumps(arrays.pop(name)) for name in ("class_names", "provenance")}
    data = numpy.save({name: np.ascontiguousarray(arrays[name]) for name in arrays}, texts)
    atomic.write_bytes(folder / "distilled.safetensors", data)
    progress(1.0)
