"""Maps 8-bit images to model space and back.

Either ZCA whitening, fitted on the training images as in the published programs
(kornia's ZCAWhitening with eps 0.1), or a mean and a standard deviation per channel,
given or measured.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dpd_jax.errors import UserError

# Enough rows for a fast matrix product; 98 MB in float64 for CIFAR-10.
_ROWS_AT_ONCE = 4000


class Preprocessing(NamedTuple):
    """An affine map of images scaled to [0, 1], and its inverse, in float32.

    Attributes:
      mean: [d], d = h * w * c in (h, w, c) order, or [c].
      matrix: ZCA's symmetric matrix [d, d], or one factor per channel [c].
      inverse: the inverse of `matrix`, in the same shape.
    """

    mean: np.ndarray
    matrix: np.ndarray
    inverse: np.ndarray


def fit_zca(images: np.ndarray, *, epsilon: float) -> Preprocessing:
    """ZCA whitening of images scaled to [0, 1].

    With mean mu and unbiased covariance U diag(s) U^T, the matrix is
    W = U diag(s + epsilon)^(-1/2) U^T. All is computed in float64.

    Args:
      images: uint8 [n, h, w, c], the training images. n may be less than h * w * c,
        and pixels may be constant.
      epsilon: added to the eigenvalues; positive.

    Raises:
      UserError: the images are not 8-bit, fewer than 2, or epsilon is not positive.
    """
    _check_images(images)
    count = len(images)
    if count < 2:
        raise UserError(f"ZCA needs at least 2 training images; the data set has {count}.")
    if not epsilon > 0:
        raise UserError(
            f"data.zca_epsilon is {epsilon}; it must be positive, because the images may be "
            "constant in some directions. The published value is 0.1."
        )
    pixels = images.reshape(count, -1)
    mean = pixels.sum(axis=0, dtype=np.int64) / (255 * count)
    covariance = np.zeros((mean.size, mean.size))
    for start in range(0, count, _ROWS_AT_ONCE):
        centred = pixels[start : start + _ROWS_AT_ONCE] / 255.0
        centred -= mean
        covariance += centred.T @ centred
    covariance /= count - 1
    variances, directions = np.linalg.eigh(covariance)
    # Zero variances are computed as tiny negative ones, which a tiny epsilon would not correct.
    deviations = np.sqrt(np.maximum(variances, 0) + epsilon)
    matrix = (directions / deviations) @ directions.T
    inverse = (directions * deviations) @ directions.T
    return Preprocessing(*(array.astype(np.float32) for array in (mean, matrix, inverse)))


def per_channel(mean: ArrayLike, std: ArrayLike) -> Preprocessing:
    """(x - mean) / std in each channel.

    Args:
      mean, std: [c], for images scaled to [0, 1].

    Raises:
      UserError: the lengths differ, or a deviation is not positive.
    """
    mean, std = np.asarray(mean, np.float32), np.asarray(std, np.float32)
    if mean.ndim != 1 or mean.shape != std.shape:
        raise UserError(
            f"data.mean has shape {mean.shape} and data.std {std.shape}; both need one number per "
            "channel."
        )
    if not np.all(std > 0):
        raise UserError(f"data.std is {std.tolist()}; every entry must be positive.")
    return Preprocessing(mean=mean, matrix=1 / std, inverse=std)


def fit_per_channel(images: np.ndarray) -> Preprocessing:
    """(x - mean) / std in each channel, measured over all pixels of the images.

    Args:
      images: uint8 [n, h, w, c], the training images.

    Raises:
      UserError: the images are not 8-bit, or a channel is constant.
    """
    _check_images(images)
    mean = images.mean(axis=(0, 1, 2), dtype=np.float64)
    # 255^2 is just below 2^16: squares are exact in two bytes.
    squares = np.square(images, dtype=np.uint16).mean(axis=(0, 1, 2), dtype=np.float64)
    std = np.sqrt(np.maximum(squares - mean**2, 0))
    if not np.all(std > 0):
        raise UserError(
            f"channel {std.argmin()} is {mean[std.argmin()]:g} in every training image, so its "
            "standard deviation is 0. Remove the channel, or set data.mean and data.std."
        )
    return per_channel(mean / 255, std / 255)


def transform(preprocessing: Preprocessing, images: np.ndarray) -> np.ndarray:
    """Maps 8-bit images [n, h, w, c] to model space: (x / 255 - mean) W, float32.

    Raises:
      UserError: the images are not 8-bit or have another shape than in the fit.
    """
    _check_images(images)
    mean, matrix, _ = preprocessing
    return _in_chunks(
        preprocessing, images, lambda rows: _apply(matrix, rows / np.float32(255) - mean)
    )


def restore(preprocessing: Preprocessing, x: np.ndarray) -> np.ndarray:
    """The inverse of `transform`: x W^-1 + mean, float32, in [0, 1] but not clipped.

    Args:
      preprocessing: the same as for `transform`.
      x: [n, h, w, c] in model space.

    Raises:
      UserError: the images have another shape than in the fit.
    """
    mean, _, inverse = preprocessing
    return _in_chunks(
        preprocessing, np.asarray(x), lambda rows: _apply(inverse, rows.astype(np.float32)) + mean
    )


def _apply(matrix: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return rows @ matrix if matrix.ndim == 2 else rows * matrix


def _in_chunks(
    preprocessing: Preprocessing, images: np.ndarray, function: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Applies `function` to chunks of the images as rows [., d] (ZCA) or [., c]."""
    size = preprocessing.mean.size
    whole = preprocessing.matrix.ndim == 2
    if (int(np.prod(images.shape[1:])) if whole else images.shape[-1]) != size:
        raise UserError(
            f"The preprocessing is for images of {size} {'numbers' if whole else 'channels'}, but "
            f"these are {'x'.join(map(str, images.shape[1:]))}. "
            f"{'It was fitted on another data set' if whole else 'Check data.mean and data.std'}."
        )
    out = np.empty(images.shape, np.float32)
    for start in range(0, len(images), _ROWS_AT_ONCE):
        chunk = images[start : start + _ROWS_AT_ONCE]
        out[start : start + _ROWS_AT_ONCE] = function(chunk.reshape(-1, size)).reshape(chunk.shape)
    return out


def _check_images(images: np.ndarray) -> None:
    if images.dtype != np.uint8 or images.ndim != 4:
        raise UserError(
            f"Images must be 8-bit [n, h, w, c]; these are {images.dtype} {list(images.shape)}."
        )
