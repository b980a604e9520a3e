"""Augmentation: what is drawn, how often, and that every derivative passes through it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpd_jax.augment import FAMILIES, augment
from dpd_jax.errors import UserError
from tests import toys

augment_jit = jax.jit(augment, static_argnums=2)
each_family = pytest.mark.parametrize("family", FAMILIES)


def random_images(count=4, size=8, channels=3, seed=0):
    return jax.random.normal(jax.random.key(seed), (count, size, size, channels))


def ramps(count, size):
    """Two channels: x and y, measured from the centre."""
    place = np.arange(size) - (size - 1) / 2
    y, x = np.meshgrid(place, place, indexing="ij")
    return jnp.asarray(np.broadcast_to(np.stack([x, y], -1), (count, size, size, 2)), jnp.float32)


@each_family
@pytest.mark.parametrize(
    "shape, dtype",
    [((3, 8, 8, 1), jnp.float32), ((2, 9, 9, 2), jnp.bfloat16), ((5, 32, 32, 3), jnp.float32)],
)
def test_shape_and_dtype_stay_and_something_changes(family, shape, dtype):
    images = jax.random.normal(jax.random.key(1), shape).astype(dtype)
    out = augment_jit(jax.random.key(0), images, toys.augmentation(family))
    assert out.shape == shape and out.dtype == dtype
    assert np.all(np.isfinite(out.astype(jnp.float32)))
    assert not np.array_equal(out, images)


def test_no_families_is_the_identity():
    images = random_images()
    np.testing.assert_array_equal(augment(jax.random.key(0), images, toys.augmentation()), images)


@each_family
def test_same_key_same_result_other_key_another(family):
    images, settings = random_images(count=8), toys.augmentation(family)
    first = augment_jit(jax.random.key(3), images, settings)
    np.testing.assert_array_equal(first, augment_jit(jax.random.key(3), images, settings))
    assert not np.array_equal(first, augment_jit(jax.random.key(4), images, settings))


@each_family
def test_images_of_a_batch_get_different_draws(family):
    images = jnp.tile(random_images(count=1, size=16), (16, 1, 1, 1))
    out = np.asarray(augment_jit(jax.random.key(0), images, toys.augmentation(family)))
    distinct = len({image.tobytes() for image in out})
    assert distinct == 2 if family == "flip" else distinct >= 6


def test_one_family_for_the_whole_batch_each_equally_often():
    images, keys = random_images(), jax.random.split(jax.random.key(0), 1200)

    def run(*families):
        apply = jax.vmap(lambda key: augment(key, images, toys.augmentation(*families)))
        return np.asarray(jax.jit(apply)(jax.random.clone(keys)))

    mixed = run(*FAMILIES)
    # With one family listed a key gives the same draws as with six: only the choice differs.
    differences = np.stack([np.abs(mixed - run(f)).max(axis=(1, 2, 3, 4)) for f in FAMILIES])
    alike = differences < 1e-4
    np.testing.assert_array_equal(alike.sum(axis=0), 1)
    counts = alike.sum(axis=1)
    deviation = (1200 * 1 / 6 * 5 / 6) ** 0.5
    assert np.all(np.abs(counts - 200) < 5 * deviation), counts


def test_flip_mirrors_about_half():
    images = random_images(count=2000, size=3, channels=1)
    out = np.asarray(augment_jit(jax.random.key(0), images, toys.augmentation("flip")))
    same = np.all(out == images, axis=(1, 2, 3))
    mirrored = np.all(out == images[:, :, ::-1], axis=(1, 2, 3))
    assert np.all(same != mirrored)
    assert abs(mirrored.mean() - 0.5) < 5 * 0.5 / 2000**0.5
    for probability, expected in ((0.0, images), (1.0, images[:, :, ::-1])):
        settings = dataclasses.replace(toys.augmentation("flip"), flip_probability=probability)
        np.testing.assert_array_equal(augment_jit(jax.random.key(1), images, settings), expected)


def test_crop_shifts_are_uniform_and_exact():
    point = jnp.zeros((5000, 9, 9, 1)).at[:, 4, 4].set(1.7)
    settings = dataclasses.replace(toys.augmentation("crop"), crop_ratio=0.2)  # 2 pixels
    out = np.asarray(augment_jit(jax.random.key(0), point, settings))[..., 0]
    assert set(np.unique(out)) == {np.float32(0), np.float32(1.7)}
    counts = (out > 0).sum(axis=0)
    assert counts[2:7, 2:7].sum() == 5000, "never further than 2 pixels"
    assert np.all(np.abs(counts[2:7, 2:7] - 200) < 5 * (5000 / 25) ** 0.5)


@pytest.mark.parametrize("size", [8, 10])  # holes of 4 and of 5 pixels
def test_cutout_hole(size):
    ones = jnp.ones((3000, size, size, 2))
    out = np.asarray(augment_jit(jax.random.key(0), ones, toys.augmentation("cutout")))
    np.testing.assert_array_equal(out[..., 0], out[..., 1])
    zeros = out[..., 0] == 0
    side = int(size * 0.5 + 0.5)
    rows, columns = zeros.any(axis=2).sum(axis=1), zeros.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(zeros.sum(axis=(1, 2)), rows * columns)
    for length in (rows, columns):
        # A centre on the rim leaves half the hole, rounded up for an odd one.
        assert length.min() == (side + 1) // 2 and length.max() == side
    # size + 1 centres for an even hole, size for an odd one: the share of whole rows says which.
    centres = size + 1 - side % 2
    whole = (size - side + 1) / centres
    assert abs((rows == side).mean() - whole) < 5 * (whole * (1 - whole) / 3000) ** 0.5


def test_color_shifts_grey_images_by_brightness_alone():
    grey = jnp.full((3000, 4, 4, 3), 0.3)
    out = np.asarray(augment_jit(jax.random.key(0), grey, toys.augmentation("color")))
    shift = out[:, 0, 0, 0] - 0.3
    expected = np.broadcast_to(0.3 + shift[:, None, None, None], out.shape)
    np.testing.assert_allclose(out, expected, atol=1e-6)
    assert -0.5 <= shift.min() < -0.49 and 0.49 < shift.max() <= 0.5
    assert abs(shift.mean()) < 5 * (1 / 12 / 3000) ** 0.5


def test_scale_factors_are_uniform_and_apart():
    size, count = 8, 3000
    out = np.asarray(augment_jit(jax.random.key(0), ramps(count, size), toys.augmentation("scale")))
    factors = out[:, size // 2, size // 2] / 0.5  # This pixel has the value 0.5 in both ramps.
    low, high = 1 / 1.2, 1.2
    assert np.all((factors > low - 1e-5) & (factors < high + 1e-5))
    assert np.all(factors.min(axis=0) < low + 0.01) and np.all(factors.max(axis=0) > high - 0.01)
    error = (high - low) / 12**0.5 / count**0.5
    np.testing.assert_allclose(factors.mean(axis=0), (low + high) / 2, atol=5 * error)
    assert abs(np.corrcoef(factors.T)[0, 1]) < 5 / count**0.5


def test_rotation_angles_are_uniform():
    size, count = 8, 3000
    out = np.asarray(
        augment_jit(jax.random.key(0), ramps(count, size), toys.augmentation("rotate"))
    )
    x, y = np.moveaxis(out[:, size // 2, size // 2], -1, 0)
    np.testing.assert_allclose(np.hypot(x, y), 0.5**0.5, atol=1e-5)
    angle = np.degrees(np.arctan2(y, x)) - 45
    assert -15.001 < angle.min() < -14.9 and 14.9 < angle.max() < 15.001
    assert abs(angle.mean()) < 5 * 30 / 12**0.5 / count**0.5


@each_family
def test_affine_in_the_images_and_all_but_color_linear(family):
    settings = toys.augmentation(family)
    x, y = random_images(seed=1), random_images(seed=2)

    def apply(images):
        return augment_jit(jax.random.key(7), images, settings)

    offset = apply(jnp.zeros_like(x))
    if family != "color":
        np.testing.assert_array_equal(offset, 0)
    combined = 2 * apply(x) - 3 * apply(y) + 2 * offset
    np.testing.assert_allclose(apply(2 * x - 3 * y), combined, atol=1e-5)


@each_family
def test_transpose_is_the_transpose_of_the_tangent_map(family):
    settings = toys.augmentation(family)
    images, tangent, cotangent = (random_images(seed=s) for s in (1, 2, 3))

    def apply(images):
        return augment(jax.random.key(7), images, settings)

    @jax.jit
    def both_ways(images, tangent, cotangent):
        _, out_tangent = jax.jvp(apply, (images,), (tangent,))
        _, transpose = jax.vjp(apply, images)
        return out_tangent, transpose(cotangent)[0]

    out_tangent, back = both_ways(images, tangent, cotangent)
    assert np.linalg.norm(back) > 0.1
    np.testing.assert_allclose(
        jnp.vdot(cotangent, out_tangent), jnp.vdot(back, tangent), rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("families", [("color",), ("scale",), ("rotate",), FAMILIES])
def test_forward_over_reverse_in_a_scan_equals_reverse_over_reverse(families):
    """The student step is differentiated so; the chosen family must not matter."""
    settings, images = toys.augmentation(*families), random_images(count=2)
    weights = jax.random.normal(jax.random.key(5), (images[0].size, 3)) * 0.1
    direction = jax.random.normal(jax.random.key(6), weights.shape)
    keys = jax.random.split(jax.random.key(8), 4)

    def loss(weights, images, key):
        x = augment(key, images, settings).reshape(len(images), -1)
        return jnp.sum(jnp.tanh(x @ weights) ** 2)

    def forward_over_reverse(total, key):
        gradient = jax.grad(loss, argnums=1)
        _, tangent = jax.jvp(lambda w: gradient(w, images, key), (weights,), (direction,))
        return total + tangent, None

    def reverse_over_reverse(images, keys):
        def one(key):
            return jnp.vdot(jax.grad(loss)(weights, images, key), direction)

        return jnp.sum(jax.lax.map(one, keys))

    expected = jax.jit(jax.grad(reverse_over_reverse))(images, jax.random.clone(keys))
    ours, _ = jax.jit(
        lambda keys: jax.lax.scan(forward_over_reverse, jnp.zeros_like(images), keys)
    )(keys)
    np.testing.assert_allclose(ours, expected, atol=1e-5 * np.abs(expected).max())


def test_vmap_over_keys_and_images_equals_one_at_a_time():
    settings, keys = toys.augmentation(*FAMILIES), jax.random.split(jax.random.key(0), 12)
    batches = jnp.stack([random_images(seed=seed) for seed in range(12)])

    def value(key, images):
        return jnp.sum(augment(key, images, settings) ** 3)

    run = jax.value_and_grad(value, argnums=1)
    values, gradients = jax.jit(jax.vmap(run))(jax.random.clone(keys), batches)
    one_at_a_time = jax.jit(run)
    for i in range(12):
        one_value, one_gradient = one_at_a_time(keys[i], batches[i])
        np.testing.assert_allclose(values[i], one_value, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(gradients[i], one_gradient, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(families=("crop", "rotat")), "'rotat'.*rotate"),
        (dict(families=("mixup",)), "known are color, crop"),
        (dict(families="color_crop"), "give a tuple"),
        (dict(scale_ratio=0.5), "augment.scale_ratio = 0.5"),
        (dict(flip_probability=1.5), "augment.flip_probability = 1.5"),
        (dict(cutout_ratio=2.0), "augment.cutout_ratio = 2.0"),
        (dict(crop_ratio=-0.1), "augment.crop_ratio = -0.1"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(toys.augmentation(), **change)


@each_family
def test_images_that_are_not_square(family):
    """A wide image moves as the middle of the square that holds it, but for cut-out positions."""
    wide = random_images(count=6, size=8)[:, 2:6]
    square = jnp.pad(wide, ((0, 0), (2, 2), (0, 0), (0, 0)))
    settings = toys.augmentation(family)
    out = np.asarray(augment_jit(jax.random.key(0), wide, settings))
    assert out.shape == wide.shape and not np.array_equal(out, wide)
    if family in ("flip", "scale", "rotate"):
        inner = np.asarray(augment_jit(jax.random.key(0), square, settings))[:, 2:6]
        np.testing.assert_allclose(out, inner, atol=1e-5)
    if family == "crop":  # 1/8 of 8 columns is one, of 4 rows half a pixel, rounded up.
        shifted = [
            np.roll(np.pad(wide, ((0, 0), (1, 1), (1, 1), (0, 0))), (y, x), (1, 2))
            for y in (-1, 0, 1)
            for x in (-1, 0, 1)
        ]
        same = np.array([(s[:, 1:5, 1:9] == out).all((1, 2, 3)) for s in shifted])
        np.testing.assert_array_equal(same.sum(0), 1)
    if family == "cutout":  # Holes of 2x2 pixels; less where they reach outside.
        holes = (out == 0).all(-1)
        assert holes.sum((1, 2)).max() == 4
        assert holes.any(2).sum(1).max() == holes.any(1).sum(1).max() == 2


def test_families_may_come_as_a_list():
    assert hash(dataclasses.replace(toys.augmentation(), families=["crop"])) == hash(
        toys.augmentation("crop")
    )
