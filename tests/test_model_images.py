"""8-bit images that read as arrays in model space."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpd_jax import evaluate, experts
from dpd_jax.datasets import aligned, model_images, whitening
from dpd_jax.datasets.model_images import DeviceImages, ModelImages, joined, on_device, stay_bytes
from dpd_jax.errors import UserError
from dpd_jax.presets import files
from dpd_jax.runs import validation
from tests import toys

KINDS = ("zca", "per_channel")


def fitted(kind: str, raw: np.ndarray) -> whitening.Preprocessing:
    return whitening.fit_zca(raw, epsilon=0.1) if kind == "zca" else whitening.fit_per_channel(raw)


def bytes_of(count: int, shape=(4, 4, 3)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_those_of_all_images_at_once(kind, monkeypatch):
    """By rows, by masks, and in parts of four on the device."""
    monkeypatch.setattr(model_images, "_ROWS_AT_ONCE", 4)
    raw = bytes_of(11)
    fit = fitted(kind, raw)
    expected, images = whitening.transform(fit, raw), ModelImages(fit, raw)
    assert (images.shape, images.ndim, len(images)) == (expected.shape, 4, 11)
    matrix = np.array([[3, 1], [10, 3]])
    for rows in (matrix, 5, slice(2, None), np.arange(11) % 2 == 0, []):
        np.testing.assert_allclose(images[rows], expected[rows], rtol=0, atol=2e-6, strict=True)
    np.testing.assert_allclose(on_device(images), expected, rtol=0, atol=2e-6, strict=True)


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_on_the_device_enter_model_space_as_they_are_read(kind):
    """To the bit with a mean and a deviation per channel, inside of a jitted function too."""
    raw = bytes_of(60)
    raw[0] = np.arange(48).reshape(4, 4, 3) * 5  # From 0 to 235; the others have all bytes.
    fit = fitted(kind, raw)
    expected, images = whitening.transform(fit, raw), on_device(ModelImages(fit, raw), "bytes")
    assert isinstance(images, DeviceImages) and images.pixels.dtype == jnp.uint8
    assert (images.shape, images.ndim, len(images)) == (expected.shape, 4, 60)
    both = joined(expected[:7], images)
    assert (both.shape, len(both)) == ((67, 4, 4, 3), 67)
    rows = jnp.array([[0, 59], [6, 7], [8, 20]])
    for read, wanted in (
        (images[rows], expected[rows]),
        (jax.jit(lambda images, rows: images[rows])(images, rows), expected[rows]),
        (both[rows], np.concatenate([expected[:7], expected])[rows]),
        (joined(expected[:7], jnp.asarray(expected))[rows], both[rows]),
    ):
        assert read.dtype == jnp.float32
        np.testing.assert_allclose(read, wanted, rtol=0, atol=2e-6 if kind == "zca" else 0)


@pytest.mark.parametrize("kind, networks", [("per_channel", 1), ("zca", 2)])
def test_training_reads_bytes_as_float32(kind, networks):
    """Experts, with AST's penalty, and an evaluation; epochs end with a short batch."""
    raw, labels = bytes_of(10, (8, 8, 1)), np.arange(10) % 3
    network, plain = toys.convnet(depth=1), toys.augmentation()
    smoothing = toys.Smoothing(gradient_penalty=1.0)
    recipe = experts.Recipe("sgd", batch_size=4, smoothing=smoothing)
    keys = jax.random.split(jax.random.key(0), networks)
    protocol = evaluate.Protocol(epochs=2, batch_size=4)
    found = []
    for form in ("float32", "bytes"):
        images = on_device(ModelImages(fitted(kind, raw), raw), form)
        data = images, jax.nn.one_hot(labels, 3), 0.1, images, labels, jax.random.key(1)
        *_, (_, params, losses) = experts.train_many(
            network, recipe, plain, images, labels, keys, 2
        )
        trained = evaluate.evaluate(
            network, protocol, plain, *data, num_networks=networks, at_once=networks, test_batch=4
        )
        found.append((params, losses, trained.losses, trained.accuracies))
    for read, wanted in zip(*found, strict=True):
        np.testing.assert_allclose(read, wanted, rtol=0, atol=2e-5 if kind == "zca" else 0)


def test_what_stays_bytes():
    cifar, tiny = (50_000, 32, 32, 3), (100_000, 64, 64, 3)
    assert not stay_bytes(cifar, "auto") and stay_bytes(tiny, "auto")
    assert stay_bytes(cifar, "bytes") and not stay_bytes(tiny, "float32")
    config = files.load_config("configs/digits_ipc1.py")
    config.data.device_images = "uint8"
    with pytest.raises(
        UserError, match="data.device_images: .*'uint8'; known are auto, float32, b"
    ):
        validation.check_values(config)


def test_images_that_are_read_are_not_copied_to_a_cpu_device():
    assert jax.local_devices()[0].platform == "cpu"
    raw = bytes_of(50)
    kept = aligned.chosen(raw, np.arange(50) % 3 == 1)
    np.testing.assert_array_equal(kept, raw[1::3], strict=True)
    images = on_device(ModelImages(whitening.fit_per_channel(raw), kept), "bytes")
    assert isinstance(images, DeviceImages)
    assert images.pixels.unsafe_buffer_pointer() == kept.ctypes.data
