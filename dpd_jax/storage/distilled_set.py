"""distilled.npz: a distilled set that needs only numpy to be used.

    images        float32 [n, h, w, c], in model space (whitened or normalised)
    pictures      uint8 [n, h, w, c], the same images as ordinary pictures
    label_logits  float32 [n, k]; softmax makes probabilities of them
    labels        int32 [n], the class of each image
    step_size     float32, the learning rate to train with
    mean, matrix  float32 [g], [g, g]: they bring other images into model space
    class_names   text [k]
    provenance    JSON: config, versions, seed, accuracy if known, sha256 of the arrays
    format        1, or 2 with a matrix in another file

Whitening multiplies all g = h w c values of an image by a matrix; normalising
multiplies the g = c values of a pixel by a diagonal matrix. One formula does both:

    with np.load("distilled.npz") as file: s = dict(file)
    enter = lambda x: (x.reshape(len(x), -1, len(s["mean"])) / 255 - s["mean"]) @ s["matrix"]
    flat = lambda x: x.reshape(len(x), -1)
    model = LogisticRegression(max_iter=1000).fit(flat(s["images"]), s["label_logits"].argmax(1))
    print(model.score(flat(enter(test_images)), test_labels))

The inverse of `matrix` leads back to pixels. It is not stored, because it would
double the size of the file; `pictures` holds its result, rounded to 8 bits.

Above 40 MB (32x32 pixels of 3 channels take 38 MB, 64x64 take 604 MB) the matrix is the file
whitening-<hash>.npy beside the set, and `matrix` is the name of this file. Sets of the same data in
one folder share it. All other arrays can be used without it. With the folder of the set,
`s["matrix"] = np.load(folder / str(s["matrix"]))` restores the formula above.
"""

import functools
import hashlib
import json
import math
import pathlib
from typing import Any, NamedTuple

import numpy as np

from dpd_jax.datasets import whitening
from dpd_jax.datasets.whitening import Preprocessing
from dpd_jax.errors import UserError
from dpd_jax.storage import atomic
from dpd_jax.synthetic import SyntheticSet

_FORMATS = (1, 2)
_INSIDE_BYTES = 40e6  # of a matrix in the file itself
_AT_ONCE = 4000  # images brought into model space together, for memory


class DistilledSet(NamedTuple):
    """The contents of distilled.npz; the module's docstring describes them."""

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
        """Brings raw images, uint8 [m, h, w, c], into model space, float32 [m, h, w, c].

        Raises:
          UserError: if their shape differs from that of the set's images.
        """
        if images.shape[1:] != self.images.shape[1:] or images.dtype != np.uint8:
            raise UserError(
                f"the distilled set is for 8-bit images of shape {self.images.shape[1:]}; these "
                f"are {images.dtype} of shape {images.shape[1:]}."
            )
        out = np.empty(images.shape, np.float32)
        for start in range(0, len(images), _AT_ONCE):
            batch = images[start : start + _AT_ONCE]
            groups = batch.reshape(-1, len(self.mean)) / np.float32(255)
            entered = (groups - self.mean) @ self.matrix
            out[start : start + _AT_ONCE] = entered.reshape(batch.shape)
        return out

    def images_in(self, mean: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """The images, float32 [n, h, w, c], in the model space of a mean [g] and matrix [g, g].

        The way leads through pixels, neither rounded nor clipped: ((x W^-1 + m) - m') W'.
        """
        if np.array_equal(self.mean, mean) and np.array_equal(self.matrix, matrix):
            return self.images
        rows = self.images.reshape(-1, len(self.mean)).astype(np.float64)
        pixels = np.linalg.solve(self.matrix.T.astype(np.float64), rows.T).T + self.mean
        entered = (pixels.reshape(-1, len(mean)) - mean) @ matrix
        return entered.reshape(self.images.shape).astype(np.float32)


def to_pictures(preprocessing: Preprocessing, images: np.ndarray) -> np.ndarray:
    """Images [n, h, w, c] in model space as 8-bit pictures.

    Values outside [0, 1] are clipped to black or white; NaN becomes black.
    """
    restored = np.nan_to_num(whitening.restore(preprocessing, images), nan=0.0)
    return np.round(np.clip(restored, 0, 1) * 255).astype(np.uint8)


def affine(preprocessing: Preprocessing) -> tuple[np.ndarray, np.ndarray]:
    """Mean [g] and matrix [g, g], float32, as a set holds them."""
    matrix = np.asarray(preprocessing.matrix, np.float32)
    mean = np.asarray(preprocessing.mean, np.float32).reshape(-1)
    return mean, np.diag(matrix) if matrix.ndim == 1 else matrix


def share_cut(preprocessing: Preprocessing, images: np.ndarray) -> float:
    """The share of values that `to_pictures` clips."""
    restored = whitening.restore(preprocessing, images)
    # Half an 8-bit level is not visible.
    return float(np.mean(~(np.abs(restored - 0.5) <= 0.5 + 0.5 / 255)))


def make(
    synthetic: SyntheticSet,
    labels: np.ndarray,
    preprocessing: Preprocessing,
    class_names: tuple[str, ...],
    provenance: dict[str, Any],
) -> DistilledSet:
    """Makes a distilled set of images in model space, and the class of each image [n]."""
    mean, matrix = affine(preprocessing)
    return DistilledSet(
        images=np.asarray(synthetic.images, np.float32),
        pictures=to_pictures(preprocessing, np.asarray(synthetic.images)),
        label_logits=np.asarray(synthetic.labels, np.float32),
        labels=np.asarray(labels, np.int32),
        step_size=float(synthetic.step_size),
        mean=mean,
        matrix=matrix,
        class_names=tuple(class_names),
        provenance=provenance,
    )


def write(path: pathlib.Path, distilled: DistilledSet) -> None:
    """Writes the file completely or not at all; the same set gives the same bytes.

    A large matrix is written beside it, unless it is there.

    Raises:
      UserError: if the disk is full.
    """
    arrays = distilled._asdict() | {
        "step_size": np.float32(distilled.step_size),
        "class_names": np.array(distilled.class_names, np.str_),
    }
    arrays["matrix"] = stored_matrix(path, distilled.matrix)
    provenance = distilled.provenance | {"sha256": _digest(arrays)}
    arrays |= {
        "provenance": np.array(json.dumps(provenance)),
        "format": np.int32(_FORMATS[is_large(distilled.matrix)]),
    }
    # Not compressed: a whitening matrix would not become much smaller.
    atomic.write_arrays(path, arrays)


def read(path: pathlib.Path) -> DistilledSet:
    """Reads and checks a file.

    Raises:
      UserError: if it does not exist, is damaged, or is no distilled set of this format.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}. A run leaves its set in WORKDIR/distilled.npz.")
    if path.suffix == ".pt":
        raise UserError(
            f"{path} is a file of PyTorch. dpd import_pytorch --images={path} "
            "makes a distilled set of it, and evaluates it with --evaluate."
        )
    arrays = _arrays(path)
    if "format" in arrays and not np.isin(arrays["format"], _FORMATS).all():
        raise UserError(
            f"{path} has format {arrays['format']}, and this version of dpd_jax reads the formats "
            f"{_FORMATS}. Read it with the version that wrote it."
        )
    missing = sorted({*DistilledSet._fields, "format"} - arrays.keys())
    if missing:
        raise UserError(f"{path} is no distilled set: it has no {', '.join(missing)}.")
    try:
        provenance = json.loads(str(arrays["provenance"]))
        checksum = provenance["sha256"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is no distilled set: its provenance cannot be read.") from None
    if _digest(arrays) != checksum:
        raise UserError(
            f"{path} is damaged: its checksum does not match. Copy it again, or repeat the command "
            "that made it."
        )
    if arrays["matrix"].dtype.kind == "U":
        arrays["matrix"] = _read_beside(path, str(arrays["matrix"]))
    if wrong := _of_wrong_shape(arrays):
        raise UserError(
            f"{path} is no distilled set: {', '.join(wrong)} must have the shapes and types that "
            "dpd_jax/storage/distilled_set.py describes."
        )
    numbers = ("images", "label_logits", "step_size", "mean", "matrix")
    if not all(np.isfinite(arrays[name]).all() for name in numbers):
        raise UserError(f"{path} cannot be used: some of its numbers are not finite.")
    others: dict[str, Any] = {
        "step_size": float(arrays["step_size"]),
        "class_names": tuple(str(name) for name in arrays["class_names"]),
        "provenance": provenance,
    }
    return DistilledSet(**{name: arrays[name] for name in DistilledSet._fields} | others)


def is_large(matrix: np.ndarray) -> bool:
    """Whether a matrix is a file of its own."""
    return matrix.nbytes > _INSIDE_BYTES


def stored_matrix(path: pathlib.Path, matrix: np.ndarray) -> np.ndarray:
    """What the file at `path` holds of a matrix: itself, or the name of a file if it is large.

    That file is written beside `path`, unless it is there.

    Raises:
      UserError: if the disk is full.
    """
    if not is_large(matrix):
        return matrix
    file = path.with_name(_name(matrix))
    if not file.is_file():
        fill = functools.partial(np.save, arr=matrix)
        atomic.write_whole(file, fill, num_bytes=matrix.nbytes)
    return np.array(file.name)


def _read_beside(path: pathlib.Path, name: str) -> np.ndarray:
    file = path.with_name(pathlib.PurePath(name).name)
    try:
        matrix = np.load(file, mmap_mode="r", allow_pickle=False)  # Few of its readers use it.
    except FileNotFoundError:
        raise UserError(
            f"{path} needs the file {name} beside it, which brings other images into the space of "
            "the set. Copy it from the folder in which the set was made."
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is damaged ({error}). Copy it again.") from error
    if _name(matrix) != name:
        raise UserError(f"{file} is damaged: its checksum does not match. Copy it again.")
    return matrix


def _name(matrix: np.ndarray) -> str:
    return f"whitening-{hashlib.sha256(np.ascontiguousarray(matrix)).hexdigest()[:16]}.npy"


def _arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file:
            stored = np.load(file, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array")
            return dict(stored)
    except Exception as error:  # zip, zlib and numpy raise many types for broken files.
        raise UserError(
            f"{path} is damaged, or is no distilled set ({type(error).__name__}: {error})."
        ) from error


def _of_wrong_shape(arrays: dict[str, np.ndarray]) -> list[str]:
    """The names of the arrays that do not have the shape and type of the module's docstring."""
    shapes = {name: array.shape for name, array in arrays.items()}
    images, k, g = shapes["images"], shapes["class_names"], shapes["mean"]
    n = images[:1]
    classes = np.arange(arrays["class_names"].size)
    valid = {
        "images": len(images) == 4 and math.prod(images) > 0,
        "pictures": shapes["pictures"] == images and arrays["pictures"].dtype == np.uint8,
        "label_logits": shapes["label_logits"] == n + k,
        "labels": shapes["labels"] == n and np.isin(arrays["labels"], classes).all(),
        "step_size": shapes["step_size"] == (),
        "mean": len(g) == 1 and g[0] > 0 and math.prod(images[1:]) % g[0] == 0,
        "matrix": shapes["matrix"] == g + g,
        "class_names": len(k) == 1,
    }
    return [name for name in valid if not valid[name]]


def _digest(arrays: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(set(DistilledSet._fields) - {"provenance"}):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
