"""Whitening and normalisation: the formula, the round trip, degenerate data, bad input."""

import numpy as np
import pytest

from dpd_jax.datasets import whitening
from dpd_jax.errors import UserError


def pictures(count, size=4, channels=3, seed=0):
    """Smooth random 8-bit images, so that neighbouring pixels are correlated."""
    noise = np.random.default_rng(seed).normal(size=(count, size, size, channels))
    smooth = noise.cumsum(axis=1).cumsum(axis=2)
    return np.clip(128 + 12 * smooth, 0, 255).astype(np.uint8)


def test_fit_is_the_formula():
    images, epsilon = pictures(500), 0.01
    fitted = whitening.fit_zca(images, epsilon=epsilon)
    rows = images.reshape(500, -1) / 255
    u, s, _ = np.linalg.svd(np.cov(rows, rowvar=False))
    np.testing.assert_allclose(fitted.mean, rows.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(fitted.matrix, (u / np.sqrt(s + epsilon)) @ u.T, atol=1e-5)
    np.testing.assert_allclose(fitted.inverse, (u * np.sqrt(s + epsilon)) @ u.T, atol=1e-6)
    assert all(array.dtype == np.float32 for array in fitted)


def test_whitened_pixels_are_uncorrelated_with_unit_variance():
    images = pictures(4000)
    x = whitening.transform(whitening.fit_zca(images, epsilon=1e-7), images)
    assert x.shape == images.shape and x.dtype == np.float32
    covariance = np.cov(x.reshape(4000, -1), rowvar=False)
    np.testing.assert_allclose(covariance, np.eye(48), atol=0.01)


def test_channels_stay_last():
    """Moving one pixel of one channel moves that entry most: no hidden permutation."""
    images = pictures(500)
    fitted = whitening.fit_zca(images, epsilon=0.1)
    changed = images[:1].copy()
    changed[0, 1, 2, 0] ^= 64
    difference = whitening.transform(fitted, changed) - whitening.transform(fitted, images[:1])
    assert np.unravel_index(np.abs(difference[0]).argmax(), (4, 4, 3)) == (1, 2, 0)


@pytest.mark.parametrize("count", [2, 20, 500])  # fewer images than the 48 pixels, and more
@pytest.mark.parametrize("epsilon", [0.1, 1e-4])
def test_restore_undoes_transform(count, epsilon):
    images = pictures(count)
    images[:, 0] = 17  # pixels that never change, as in the corners of digits
    fitted = whitening.fit_zca(images, epsilon=epsilon)
    assert all(np.all(np.isfinite(array)) for array in fitted)
    unseen = pictures(30, seed=1)
    for batch in (images, unseen):
        x = whitening.transform(fitted, batch)
        np.testing.assert_allclose(whitening.restore(fitted, x), batch / 255, atol=2e-5)


def test_zero_variances_that_round_below_zero_do_no_harm():
    fitted = whitening.fit_zca(pictures(5), epsilon=1e-25)
    assert all(np.all(np.isfinite(array)) for array in fitted)


def test_identical_images_become_zero():
    images = np.repeat(pictures(1), 10, axis=0)
    x = whitening.transform(whitening.fit_zca(images, epsilon=0.1), images)
    np.testing.assert_allclose(x, 0, atol=1e-6)


def test_chunks_do_not_show(monkeypatch):
    images = pictures(50)
    whole = whitening.fit_zca(images, epsilon=0.1)
    x = whitening.transform(whole, images)
    monkeypatch.setattr(whitening, "_ROWS_AT_ONCE", 7)
    parts = whitening.fit_zca(images, epsilon=0.1)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(whitening.transform(parts, images), x, atol=1e-5)
    np.testing.assert_allclose(whitening.restore(parts, x), images / 255, atol=1e-5)


def test_restore_does_not_clip():
    fitted = whitening.fit_zca(pictures(100), epsilon=0.1)
    restored = whitening.restore(fitted, np.full((1, 4, 4, 3), 40.0, np.float32))
    assert restored.max() > 1


def test_per_channel():
    preprocessing = whitening.per_channel((0.5, 0.25, 0.1), (0.2, 0.5, 1.0))
    images = pictures(5)
    x = whitening.transform(preprocessing, images)
    expected = (images / 255 - [0.5, 0.25, 0.1]) / [0.2, 0.5, 1.0]
    np.testing.assert_allclose(x, expected, atol=1e-6)
    np.testing.assert_allclose(whitening.restore(preprocessing, x), images / 255, atol=1e-6)
    assert x.dtype == np.float32


def test_measured_per_channel_is_what_numpy_measures():
    images = pictures(50)
    fitted = whitening.fit_per_channel(images)
    scaled = images / 255
    given = whitening.per_channel(scaled.mean((0, 1, 2)), scaled.std((0, 1, 2)))
    for ours, theirs in zip(fitted, given, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    x = whitening.transform(fitted, images)
    np.testing.assert_allclose(x.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std((0, 1, 2)), 1, atol=1e-5)


def test_a_channel_that_never_changes_cannot_be_normalised():
    images = pictures(5)
    images[..., 1] = 77
    with pytest.raises(UserError, match="channel 1 is 77 in every training image"):
        whitening.fit_per_channel(images)


def test_no_images_give_no_images():
    preprocessing = whitening.per_channel((0.5,), (0.2,))
    empty = np.zeros((0, 4, 4, 1), np.uint8)
    assert whitening.transform(preprocessing, empty).shape == (0, 4, 4, 1)


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda: whitening.fit_zca(pictures(5) / 255, epsilon=0.1), "8-bit .* float64"),
        (lambda: whitening.fit_zca(pictures(1), epsilon=0.1), "at least 2"),
        (lambda: whitening.fit_zca(pictures(5), epsilon=0.0), "zca_epsilon is 0.0"),
        (lambda: whitening.per_channel((0.5, 0.5), (0.2,)), "data.mean has shape"),
        (lambda: whitening.per_channel((0.5,), (0.0,)), "must be positive"),
        (
            lambda: whitening.transform(whitening.per_channel((0.5,), (0.2,)), pictures(2)),
            "1 channels, but these are 4x4x3",
        ),
        (
            lambda: whitening.restore(
                whitening.fit_zca(pictures(5), epsilon=0.1), np.zeros((1, 8, 8, 1), np.float32)
            ),
            "48 numbers, but these are 8x8x1",
        ),
    ],
)
def test_bad_input_is_reported(call, match):
    with pytest.raises(UserError, match=match):
        call()
