"""images.png, read back pixel by pixel."""

import os
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest

from dpd_jax.datasets import whitening
from dpd_jax.errors import UserError
from dpd_jax.plots import image_grid

GREY = whitening.per_channel((0.5,), (0.25,))
COLOUR = whitening.per_channel((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
TEXT = dict(title="digits, 1 per class, dpd", caption="test accuracy 91.2 ± 0.8 %")


def flat_images(count, channels, side=8, seed=0):
    """Images of one colour each, no two alike: 8-bit [n, side, side, c]."""
    levels = np.random.default_rng(seed).permutation(200)[: count * channels] + 20
    return np.broadcast_to(
        levels.reshape(count, 1, 1, channels), (count, side, side, channels)
    ).astype(np.uint8)


def draw(path, preprocessing, images, real, names):
    to_model = lambda x: None if x is None else whitening.transform(preprocessing, x)  # noqa: E731
    image_grid.save(path, preprocessing, to_model(images), to_model(real), names, **TEXT)
    return np.round(matplotlib.image.imread(path)[..., :3] * 255).astype(int)


def place(page, colour, side):
    """The position (y, x) of a square of one colour; checks that it is a whole square."""
    rows, columns = np.nonzero((page == colour).all(-1))
    y, x = rows.min(), columns.min()
    height, width = rows.max() + 1 - y, columns.max() + 1 - x
    assert height == width and height % side == 0, "every pixel becomes a square"
    assert (page[y : y + height, x : x + width] == colour).all(), "no pixel is blurred"
    return y, x


def test_classes_are_rows_and_the_real_images_stand_beside(tmp_path):
    images, real = flat_images(6, 3), flat_images(6, 3, seed=1)
    page = draw(tmp_path / "images.png", COLOUR, images, real, ("cat", "dog", "frog"))
    ours = [place(page, image[0, 0], 8) for image in images]
    theirs = [place(page, image[0, 0], 8) for image in real]
    for c in range(3):
        y, x = ours[2 * c]
        assert ours[2 * c + 1][0] == y and ours[2 * c + 1][1] > x
        assert theirs[2 * c][0] == y and theirs[2 * c][1] > ours[2 * c + 1][1]
    heights = [ours[2 * c][0] for c in range(3)]
    assert heights == sorted(set(heights))


def test_grey_images_are_grey_and_noise_has_no_real_images(tmp_path):
    images = flat_images(4, 1)
    page = draw(tmp_path / "images.png", GREY, images, None, tuple("0123"))
    for image in images:
        place(page, np.repeat(image[0, 0], 3), 8)


def test_contrast_is_not_stretched(tmp_path):
    """Values beyond black and white are clipped; the others keep their brightness."""
    x = np.array([-9.0, 0.4, 9.0]).reshape(3, 1, 1, 1) * np.ones((3, 8, 8, 1), np.float32)
    image_grid.save(tmp_path / "images.png", GREY, x, None, ("a", "b", "c"), **TEXT)
    page = np.round(matplotlib.image.imread(tmp_path / "images.png")[..., :3] * 255)
    for level in (0, 153, 255):
        place(page, np.full(3, level), 8)


def test_many_images_are_limited_to_a_viewable_page_that_says_so(tmp_path):
    names = tuple(f"class {i}, also called so" for i in range(100))
    images = np.zeros((600, 32, 32, 3), np.uint8)
    page = draw(tmp_path / "images.png", COLOUR, images, images, names)
    assert max(page.shape) <= 3000
    assert "The first 4 of 6 images" in image_grid._notes(COLOUR, images[:2] * 0.0, 6, 4)
    # 100 rows of 4 + 4 black pictures at any scale.
    black = (page == 0).all(-1)
    assert black.sum() % (800 * 32 * 32) == 0 and black.any()


def test_unusual_names_are_drawn(tmp_path):
    draw(tmp_path / "images.png", GREY, flat_images(3, 1), None, ("$x_", "", "a" * 80))


def test_a_set_of_nan_is_still_drawn(tmp_path):
    x = np.full((2, 8, 8, 1), np.nan, np.float32)
    image_grid.save(tmp_path / "images.png", GREY, x, None, ("a", "b"), **TEXT)
    assert (tmp_path / "images.png").stat().st_size > 1000


def test_a_full_disk_is_reported(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="no space left to write .*images.png"):
        draw(tmp_path / "images.png", GREY, flat_images(3, 1), None, ("a", "b", "c"))
    assert not list(tmp_path.iterdir())


def test_matplotlib_state_is_unchanged():
    """Without pyplot no backend is chosen and no figure stays open."""
    code = "import dpd_jax.plots.image_grid, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
