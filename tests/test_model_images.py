"""8-bit images that read as arrays in model space."""

import numpy as np
import pytest

from dpd_jax.datasets import model_images, whitening
from dpd_jax.datasets.model_images import ModelImages, on_device


@pytest.mark.parametrize("kind", ["zca", "per_channel"])
def test_rows_are_those_of_all_images_at_once(kind, monkeypatch):
    """By rows, by masks, and in parts of four on the device."""
    monkeypatch.setattr(model_images, "_ROWS_AT_ONCE", 4)
    raw = np.random.default_rng(0).integers(0, 256, (11, 4, 4, 3), np.uint8)
    fit = whitening.fit_zca(raw, epsilon=0.1) if kind == "zca" else whitening.fit_per_channel(raw)
    expected, images = whitening.transform(fit, raw), ModelImages(fit, raw)
    assert (images.shape, images.ndim, len(images)) == (expected.shape, 4, 11)
    matrix = np.array([[3, 1], [10, 3]])
    for rows in (matrix, 5, slice(2, None), np.arange(11) % 2 == 0, []):
        np.testing.assert_allclose(images[rows], expected[rows], rtol=0, atol=2e-6, strict=True)
    np.testing.assert_allclose(on_device(images), expected, rtol=0, atol=2e-6, strict=True)
