"""ZCA and per-channel normalisation against the original loader's, on 2,000 real images."""

import numpy as np
import pytest

from dpd_jax.datasets import whitening
from tests.golden.torch_layout import close, nhwc

# Where our entry (h, w, c) is in their (c, h, w), and the reverse.
OURS = np.arange(3072).reshape(3, 32, 32).transpose(1, 2, 0).ravel()
THEIRS = np.argsort(OURS)


# Slow: the eigenvectors of 3072 pixels. tests/test_whitening.py checks the formula on small images.
@pytest.mark.slow
def test_zca(golden):
    """The mean, the matrix, its inverse, and images whitened and restored."""
    numbers = golden("zca")
    fitted = whitening.fit_zca(nhwc(numbers["train_images"]), epsilon=0.1)

    close(fitted.mean[THEIRS], numbers["mean"], 2e-7, what="mean")
    matrix, inverse = (m[THEIRS][:, THEIRS] for m in (fitted.matrix, fitted.inverse))
    close(matrix[:16], numbers["matrix_rows"], 3e-7, what="matrix")
    close(np.diag(matrix), numbers["matrix_diagonal"], 7e-7, what="diagonal")
    close(inverse[:16], numbers["inverse_matrix_rows"], 4e-7, what="inverse")

    for split, count in (("train", 64), ("test", 16)):
        images = nhwc(numbers[f"{split}_images"])[:count]
        whitened = whitening.transform(fitted, images)
        close(whitened, nhwc(numbers[f"whitened_{split}"]), 2e-6, what=f"whitened {split}")

    restored = whitening.restore(fitted, nhwc(numbers["whitened_train"]))
    close(restored, nhwc(numbers["restored_train"]), 2e-6, what="restored")


def test_per_channel(golden):
    numbers = golden("zca")
    # CIFAR-10's constants, as every published program has them.
    preprocessing = whitening.per_channel((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
    images = nhwc(numbers["train_images"])[:8]
    normalised = whitening.transform(preprocessing, images)
    close(normalised, nhwc(numbers["normalised_train"]), 1e-7, what="normalised")
