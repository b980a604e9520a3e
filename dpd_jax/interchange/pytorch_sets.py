"""Distilled sets of the PyTorch programs: images_best.pt, labels_best.pt and lr_best.pt.

images   float32 [n, c, h, w], in model space
labels   int64 [n], classes (MTT, FTD), or float32 [n, k], logits (DATM, PAD)
lr       the learning rate to train with; MTT writes no such file
"""

import pathlib
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from dpd_jax import synthetic
from dpd_jax.errors import UserError, check_range
from dpd_jax.interchange import pytorch_files
from dpd_jax.storage.distilled_set import DistilledSet
from dpd_jax.synthetic import SyntheticSet


def read(
    images: pathlib.Path,
    labels: pathlib.Path | None,
    lr: pathlib.Path | None,
    *,
    image_shape: tuple[int, int, int],
    num_classes: int,
    step_size: float,
) -> tuple[SyntheticSet, np.ndarray]:
    """Reads a set, and the class of each image, int32 [n].

    Args:
      images, labels, lr: the files. Without labels, or with logits, the images are taken to be in
        the order of their classes, as many of each, as the programs write them; without labels
        they are hard.
      image_shape: (height, width, channels) to expect.
      num_classes: classes to expect.
      step_size: the learning rate of a set without `lr`.

    Raises:
      UserError: for files that are no such tensors, or do not fit each other, the shape or the
        classes.
    """
    pixels = _array(images)
    height, width, channels = image_shape
    if pixels.ndim != 4 or pixels.shape[1:] != (channels, height, width) or not len(pixels):
        raise UserError(
            f"{images} holds an array {list(pixels.shape)}, but the config is for images "
            f"[n, {channels}, {height}, {width}] (image_shape = {tuple(image_shape)})."
        )
    logits, classes = _labels(labels, images, len(pixels), num_classes)
    if lr is not None:
        rate = _array(lr)
        if rate.size != 1:
            raise UserError(f"{lr} holds {rate.size} numbers, but a learning rate is one.")
        step_size = float(rate.item())
        check_range(f"the learning rate in {lr}", step_size, "(0, inf)")
    read = SyntheticSet(
        jnp.asarray(pixels.transpose(0, 2, 3, 1), jnp.float32), logits, jnp.float32(step_size)
    )
    for path, array in ((images, read.images), (labels, read.labels)):
        if not np.isfinite(array).all():
            raise UserError(f"{path} cannot be used: some of its numbers are not finite.")
    return read, classes


def write(folder: pathlib.Path, distilled: DistilledSet, progress: Callable[[float], None]) -> None:
    """Writes the three files of a set; hard labels as classes, others as logits.

    Raises:
      UserError: if the disk is full, or PyTorch is not installed.
    """
    torch = pytorch_files.torch()
    hard = synthetic.hard_labels(distilled.labels, distilled.label_logits.shape[1])
    classes = np.array_equal(distilled.label_logits, hard)
    tensors = {
        "images": torch.tensor(distilled.images.transpose(0, 3, 1, 2).copy()),
        "labels": torch.tensor(
            distilled.labels.astype(np.int64) if classes else distilled.label_logits
        ),
        "lr": torch.tensor(distilled.step_size),
    }
    for name, tensor in tensors.items():
        pytorch_files.save(folder / f"{name}_best.pt", tensor)
    progress(1.0)


def _labels(
    path: pathlib.Path | None, images: pathlib.Path, count: int, num_classes: int
) -> tuple[Any, np.ndarray]:
    """Label logits [n, k] and classes [n] from a file, or from the order of the images."""
    given = None if path is None else _array(path)
    if given is not None and given.ndim == 1 and np.issubdtype(given.dtype, np.integer):
        fits = len(given) == count and np.isin(given, np.arange(num_classes)).all()
        if not fits:
            raise UserError(
                f"{path} holds {len(given)} classes from {given.min(initial=0)} to "
                f"{given.max(initial=0)}, but {images} has {count} images, and the config "
                f"{num_classes} classes."
            )
        classes = given.astype(np.int32)
        return synthetic.hard_labels(classes, num_classes), classes
    if count % num_classes:
        raise UserError(
            f"{images} holds {count} images, which is no multiple of the config's {num_classes} "
            "classes. Give the class of each image: --labels, integers [n]."
        )
    classes = synthetic.classes(num_classes, count // num_classes)
    if given is None:
        return synthetic.hard_labels(classes, num_classes), classes
    if given.shape != (count, num_classes) or not np.issubdtype(given.dtype, np.floating):
        raise UserError(
            f"{path} holds {given.dtype} {list(given.shape)}, but labels are integers [{count}] or "
            f"logits [{count}, {num_classes}]."
        )
    if (given >= 0).all() and np.allclose(given.sum(1), 1, atol=1e-3):
        raise UserError(
            f"{path} holds probabilities, but the programs keep logits, and softmax would be "
            "applied twice. Save their logarithm."
        )
    return jnp.asarray(given, jnp.float32), classes


def _array(path: pathlib.Path) -> np.ndarray:
    tensor = pytorch_files.load(path)
    if isinstance(tensor, float):
        return np.array(tensor)
    if not isinstance(tensor, pytorch_files.torch().Tensor):
        raise UserError(f"{path} holds a {type(tensor).__name__}, but a tensor is needed.")
    tensor = tensor.detach()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()
