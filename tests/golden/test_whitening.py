"""ZCA and per-channel normalisation against the original loader's, on 2,000 real images."""

import numpy as np
import pytest

from dpd_jax import whitening
from tests.golden.torch_layout import close, nhwc

# Where our entry (h, w, c) is in their (c, h, w), and the reverse.
OURS = np.arange(3072).reshape(3, 32, 32).transpose(1, 2, 0).ravel()
THEIRS = np.argsort(OURS)


@pytest.fixture(scope="module")
def numbers(golden):
    return golden("zca")


@pytest.fixture(scope="module")
def fitted(numbers):
    return whitening.fit_zca(nhwc(numbers["train_images"]), epsilon=0.1)


def test_fit(numbers, fitted):
    close(fitted.mean[THEIRS], numbers["mean"], 2e-7, what="mean")
    matrix, inverse = (m[THEIRS][:, THEIRS] for m in (fitted.matrix, fitted.inverse))
    close(matrix[:16], numbers["matrix_rows"], 3e-7, what="matrix")
    close(np.diag(matrix), numbers["matrix_diagonal"], 7e-7, what="diagonal")
    close(inverse[:16], numbers["inverse_matrix_rows"], 4e-7, what="inverse")


def test_transform(numbers, fitted):
    for split, count in (("train", 64), ("test", 16)):
        images = nhwc(numbers[f"{split}_images"])[:count]
        close(
            whitening.transform(fitted, images),
            nhwc(numbers[f"whitened_{split}"]),
            2e-6,
            what=split,
        )


def test_restore(numbers, fitted):
    x = nhwc(numbers["whitened_train"])
    close(whitening.restore(fitted, x), nhwc(numbers["restored_train"]), 2e-6, what="restored")


def test_per_channel(numbers):
    # CIFAR-10's constants, as every published program has them.
    preprocessing = whitening.per_channel((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
    images = nhwc(numbers["train_images"])[:8]
    close(
        whitening.transform(preprocessing, images), nhwc(numbers["normalised_train"]), 1e-7
    )
