"""distilled.npz: a synthetic set that is usable alone, with numpy only.

    images        float32 [n, h, w, c], in model space (whitened or normalised)
    pictures      uint8 [n, h, w, c], the same as a person sees them
    label_logits  float32 [n, k]; softmax makes probabilities of them
    labels        int32 [n], the class each image was made for
    step_size     float32, the learning rate to train with
    mean, matrix  float32 [g], [g, g]: how other images enter model space
    class_names   text [k]
    provenance    JSON: config, versions, seed, accuracy if known, sha256 of the arrays
    format        1

Whitening mixes all g = h w c numbers of an image, normalising mixes the g = c
of one pixel with a diagonal matrix. One formula serves both, without an if:

    with np.load("distilled.npz") as file: s = dict(file)
    enter = lambda x: (x.reshape(len(x), -1, len(s["mean"])) / 255 - s["mean"]) @ s["matrix"]
    flat = lambda x: x.reshape(len(x), -1)
    model = LogisticRegression(max_iter=1000).fit(flat(s["images"]), s["label_logits"].argmax(1))
    print(model.score(flat(enter(test_images)), test_labels))

The way back is the inverse of `matrix`; `pictures` has been there, clipped to
8 bits. It is not stored: it would double the file for nothing else.
"""

import hashlib
import json
import pathlib
from typing import Any, NamedTuple

import numpy as np

from dpd_jax.datasets import whitening
from dpd_jax.datasets.whitening import Preprocessing
from dpd_jax.errors import UserError
from dpd_jax.storage import atomic
from dpd_jax.synthetic import SyntheticSet

_FORMAT = 1
# Images that enter model space together.
_AT_ONCE = 4000


class DistilledSet(NamedTuple):
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
        """Raw images uint8 [m, h, w, c] as the networks see them, float32.

        Raises:
          UserError: if they have not the shape of the set's own images.
        """
        if images.shape[1:] != self.images.shape[1:] or images.dtype != np.uint8:
            raise UserError(
                f"the distilled set is for 8-bit images of shape {self.images.shape[1:]}; these "
                f"are {images.dtype} of shape {images.shape[1:]}."
            )
        out = np.empty(images.shape, np.float32)
        for start in range(0, len(images), _AT_ONCE):
            some = images[start : start + _AT_ONCE]
            groups = some.reshape(-1, len(self.mean)) / np.float32(255)
            out[start : start + _AT_ONCE] = ((groups - self.mean) @ self.matrix).reshape(some.shape)
        return out


def to_pictures(preprocessing: Preprocessing, images: np.ndarray) -> np.ndarray:
    """Images [n, h, w, c] in model space as 8-bit pictures.

    Values beyond black and white become black and white, those that are no
    number black.
    """
    restored = np.nan_to_num(whitening.restore(preprocessing, np.asarray(images)), nan=0.0)
    return np.round(np.clip(restored, 0, 1) * 255).astype(np.uint8)


def share_cut(preprocessing: Preprocessing, images: np.ndarray) -> float:
    """Which share of the values `to_pictures` makes black or white, being beyond them."""
    restored = whitening.restore(preprocessing, np.asarray(images))
    # An 8-bit picture cannot tell less than half a level.
    return float(np.mean(~(np.abs(restored - 0.5) <= 0.5 + 0.5 / 255)))


def make(
    synthetic: SyntheticSet,
    labels: np.ndarray,
    preprocessing: Preprocessing,
    class_names: tuple[str, ...],
    provenance: dict[str, Any],
) -> DistilledSet:
    """An artefact of a set in model space.

    Args:
      synthetic: the set.
      labels: the class of each image [n].
      preprocessing: what leads to model space, and back for the pictures.
      class_names: of the k classes.
      provenance: JSON values that say where the set comes from.
    """
    matrix = np.asarray(preprocessing.matrix, np.float32)
    return DistilledSet(
        images=np.asarray(synthetic.images, np.float32),
        pictures=to_pictures(preprocessing, synthetic.images),
        label_logits=np.asarray(synthetic.labels, np.float32),
        labels=np.asarray(labels, np.int32),
        step_size=float(synthetic.step_size),
        mean=np.asarray(preprocessing.mean, np.float32).reshape(-1),
        matrix=np.diag(matrix) if matrix.ndim == 1 else matrix,
        class_names=tuple(class_names),
        provenance=provenance,
    )


def write(path: pathlib.Path, artefact: DistilledSet) -> None:
    """Writes the file whole or not at all; the same artefact gives the same bytes.

    Raises:
      UserError: if the disk is full, saying what is needed.
    """
    arrays = artefact._asdict() | {
        "step_size": np.float32(artefact.step_size),
        "class_names": np.array(artefact.class_names, np.str_),
    }
    provenance = artefact.provenance | {"sha256": _digest(arrays)}
    arrays |= {"provenance": np.array(json.dumps(provenance)), "format": np.int32(_FORMAT)}
    # Not compressed: floating-point noise, which a whitening matrix is, would hardly shrink.
    atomic.write_whole(
        path,
        lambda file: np.savez(file, **arrays),
        num_bytes=sum(array.nbytes for array in arrays.values()),
    )


def read(path: pathlib.Path) -> DistilledSet:
    """Reads and checks a file.

    Raises:
      UserError: if it is not there, is damaged, is of another format, or is no
        distilled set.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}. A run leaves its set in WORKDIR/distilled.npz.")
    arrays = _arrays(path)
    if "format" in arrays and not np.array_equal(arrays["format"], _FORMAT):
        raise UserError(
            f"{path} has format {arrays['format']}, and this version of dpd_jax reads format "
            f"{_FORMAT}. Read it with the version that wrote it."
        )
    missing = sorted({*DistilledSet._fields, "format"} - arrays.keys())
    if missing:
        raise UserError(f"{path} is no distilled set: it has no {', '.join(missing)}.")
    try:
        provenance = json.loads(str(arrays["provenance"]))
        stated = provenance["sha256"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is no distilled set: its provenance cannot be read.") from None
    if _digest(arrays) != stated:
        raise UserError(
            f"{path} is damaged: its arrays do not have the checksum it states. Copy it again, or "
            "run the command that made it again."
        )
    _check(path, arrays)
    return DistilledSet(
        **{name: arrays[name] for name in ("images", "pictures", "label_logits", "labels")},
        step_size=float(arrays["step_size"]),
        mean=arrays["mean"],
        matrix=arrays["matrix"],
        class_names=tuple(str(name) for name in arrays["class_names"]),
        provenance=provenance,
    )


def _arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file:
            stored = np.load(file, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array")
            return dict(stored)
    # A file of any kind, cut or changed anywhere: zip, zlib, numpy and the operating
    # system each complain in their own way.
    except Exception as error:
        raise UserError(
            f"{path} is damaged, or is no distilled set ({type(error).__name__}: {error})."
        ) from error


def _check(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    """Shapes and values that every reader relies on."""
    images, labels, group = arrays["images"], arrays["labels"], arrays["mean"].size
    num_classes = len(arrays["class_names"])
    faults = {
        "images are not [n, h, w, c]": images.ndim != 4 or not len(images),
        "pictures are not 8-bit, or not one an image": arrays["pictures"].shape != images.shape
        or arrays["pictures"].dtype != np.uint8,
        "label_logits are not [n, k]": arrays["label_logits"].shape != (len(images), num_classes),
        "labels are not n classes": labels.shape != (len(images),)
        or not np.isin(labels, np.arange(num_classes)).all(),
        "mean and matrix are not [g] and [g, g]": arrays["mean"].ndim != 1
        or arrays["matrix"].shape != (group, group)
        or images[0].size % group != 0,
        "some numbers are not finite": not all(
            np.isfinite(arrays[name]).all()
            for name in ("images", "label_logits", "step_size", "mean", "matrix")
        ),
    }
    for fault, present in faults.items():
        if present:
            raise UserError(f"{path} is no usable distilled set: its {fault}.")


def _digest(arrays: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(set(DistilledSet._fields) - {"provenance"}):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
