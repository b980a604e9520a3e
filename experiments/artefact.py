"""distilled.npz: a synthetic set that is usable alone, with numpy only.

    images        float32 [n, h, w, c], in model space (whitened or normalised)
    pictures      uint8 [n, h, w, c], the same as a person sees them
    label_logits  float32 [n, k]; softmax makes probabilities of them
    labels        int32 [n], the class each image was made for
    step_size     float32, the learning rate to train with
    mean, matrix  float32 [d], [d, d], d = h w c: raw images x (uint8) enter model
                  space as (x.reshape(-1, d) / 255 - mean) @ matrix, whether
                  whitened or normalised channel by channel
    class_names   text [k]
    provenance    JSON: config, versions, accuracy, checksum
    format        1
"""

import hashlib
import json
import pathlib
import zipfile
from typing import Any, NamedTuple

import numpy as np

from dpd_jax import whitening
from dpd_jax.errors import UserError
from dpd_jax.synthetic import SyntheticSet
from dpd_jax.whitening import Preprocessing

_FORMAT = 1


class Artefact(NamedTuple):
    """What distilled.npz holds; see the module."""

    images: np.ndarray
    pictures: np.ndarray
    label_logits: np.ndarray
    labels: np.ndarray
    step_size: float
    mean: np.ndarray
    matrix: np.ndarray
    class_names: tuple[str, ...]
    provenance: dict[str, Any]

    def to_model_space(self, images: np.ndarray) -> np.ndarray:
        """Raw images uint8 [m, h, w, c] as the networks see them, float32."""
        flat = images.reshape(len(images), -1).astype(np.float32) / 255
        return ((flat - self.mean) @ self.matrix).reshape(images.shape)


def make(
    synthetic: SyntheticSet,
    labels: np.ndarray,
    preprocessing: Preprocessing,
    class_names: tuple[str, ...],
    provenance: dict[str, Any],
) -> Artefact:
    """An artefact of a set in model space.

    Args:
      synthetic: the set.
      labels: the class of each image [n].
      preprocessing: what leads to model space, and back for the pictures.
      class_names: of the k classes.
      provenance: JSON values that say where the set comes from.
    """
    images = np.asarray(synthetic.images)
    restored = whitening.restore(preprocessing, images)
    pictures = np.round(np.clip(restored, 0, 1) * 255).astype(np.uint8)
    mean, matrix = preprocessing.mean, preprocessing.matrix
    if matrix.ndim == 1:
        pixels = images[0].size // len(matrix)
        mean, matrix = np.tile(mean, pixels), np.diag(np.tile(matrix, pixels))
    return Artefact(
        images,
        pictures,
        np.asarray(synthetic.labels),
        np.asarray(labels, np.int32),
        float(synthetic.step_size),
        mean.reshape(-1).astype(np.float32),
        matrix.astype(np.float32),
        tuple(class_names),
        provenance,
    )


def write(path: pathlib.Path, artefact: Artefact) -> None:
    """Writes the file whole or not at all."""
    arrays = artefact._asdict() | {
        "step_size": np.float32(artefact.step_size),
        "class_names": np.array(artefact.class_names),
    }
    provenance = artefact.provenance | {"sha256": _digest(arrays)}
    arrays |= {"provenance": np.array(json.dumps(provenance)), "format": np.int32(_FORMAT)}
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    partial.replace(path)


def read(path: pathlib.Path) -> Artefact:
    """Reads and checks a file.

    Raises:
      UserError: if it is not there, is damaged or is no distilled set.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}. A run leaves its set in WORKDIR/distilled.npz.")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise UserError(f"{path} is damaged or no distilled set: {error}.") from None
    except Exception as error:  # zlib has an error of its own for a flipped bit.
        raise UserError(f"{path} is damaged: {error}.") from None
    missing = sorted({*Artefact._fields, "format"} - arrays.keys())
    if missing:
        raise UserError(f"{path} is no distilled set: it has no {', '.join(missing)}.")
    if int(arrays["format"]) != _FORMAT:
        raise UserError(
            f"{path} has format {int(arrays['format'])}, and this version of dpd_jax reads "
            f"format {_FORMAT}."
        )
    provenance = json.loads(str(arrays["provenance"]))
    if _digest(arrays) != provenance.get("sha256"):
        raise UserError(f"{path} is damaged: its arrays do not have the checksum it states.")
    return Artefact(
        **{name: arrays[name] for name in Artefact._fields[:4]},
        step_size=float(arrays["step_size"]),
        mean=arrays["mean"],
        matrix=arrays["matrix"],
        class_names=tuple(str(name) for name in arrays["class_names"]),
        provenance=provenance,
    )


def _digest(arrays: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in ("images", "label_logits", "labels", "step_size", "mean", "matrix"):
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()
