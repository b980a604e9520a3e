"""Validation images are held out of the training images, once for all who need some."""

import jax
import numpy as np
import pytest

from configs import digits_ipc1
from dpd_jax.datasets import labels as labels_lib
from dpd_jax.errors import UserError
from dpd_jax.runs import run_data


def test_a_share_of_each_class_is_held_out_and_at_least_one_image():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [40, 10, 3]))
    held = labels_lib.validation_part(labels, 0.2, jax.random.key(1))
    assert held.dtype == bool and np.bincount(labels[held]).tolist() == [8, 2, 1]
    np.testing.assert_array_equal(held, labels_lib.validation_part(labels, 0.2, jax.random.key(1)))
    others = [labels_lib.validation_part(labels, 0.2, jax.random.key(i)) for i in range(200)]
    # Every image of a class is drawn equally often, up to chance (four deviations).
    frequency = np.mean(others, axis=0)[labels == 0]
    assert np.abs(frequency - 0.2).max() < 4 * np.sqrt(0.2 * 0.8 / 200)


def load(tmp_path, **values):
    config = digits_ipc1.get_config()
    config.data.update(values)
    return run_data.load(config, None, tmp_path)


def test_held_out_images_are_no_training_images_and_test_images_stay(tmp_path):
    whole, data = load(tmp_path), load(tmp_path, validation_share=0.25)
    assert whole.validation.shape == (0, 8, 8, 1) and len(whole.validation_labels) == 0
    sizes = np.bincount(whole.dataset.train_labels)
    np.testing.assert_array_equal(np.bincount(data.validation_labels), np.round(0.25 * sizes))
    np.testing.assert_array_equal(data.test, whole.test)

    def rows(images, labels):
        return sorted((x.tobytes(), int(y)) for x, y in zip(images, labels, strict=True))

    train, held = (
        rows(data.train, data.dataset.train_labels),
        rows(data.validation, data.validation_labels),
    )
    assert sorted(train + held) == rows(whole.train, whole.dataset.train_labels)
    # What made experts and a set differs, so that stores are not mixed.
    assert len({whole.fingerprint, data.fingerprint}) == 2
    again = load(tmp_path, validation_share=0.25, seed=1)
    assert rows(again.validation, again.validation_labels) != held


def test_a_class_without_training_images_is_named(tmp_path):
    with pytest.raises(UserError, match=r"ipc = 1 is more than .* \(0 training images\)"):
        load(tmp_path, validation_share=0.99, train_per_class=1)
