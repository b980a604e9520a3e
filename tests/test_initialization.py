import types

import jax
import numpy as np
import pytest

from configs import digits_ipc1, digits_ipc10
from dpd_jax import coreset
from dpd_jax.runs import expert_training, initialization
from dpd_jax.runs.experiment import Experiment


@pytest.mark.parametrize("wrong", [0, 3])
def test_labels_of_another_class_are_reported(wrong, monkeypatch, capsys):
    experiment = Experiment.from_config(digits_ipc1.get_config("tesla"))
    data = types.SimpleNamespace(
        train=np.zeros((20, 8, 8, 1), np.float32),
        dataset=types.SimpleNamespace(train_labels=np.repeat(np.arange(10), 2)),
    )
    logits = np.eye(10, dtype=np.float32)
    logits[:wrong] = np.roll(logits[:wrong], 1, axis=-1)
    monkeypatch.setattr(expert_training, "label_snapshot", lambda *_: None)
    monkeypatch.setattr(expert_training, "logits", lambda experiment, params, images: logits)
    initial = initialization.initial_set(experiment, data, None, [0], jax.random.key(0))
    np.testing.assert_array_equal(initial.synthetic.labels, logits)
    np.testing.assert_array_equal(data.dataset.train_labels[initial.real], np.arange(10))
    message = capsys.readouterr().err
    assert message.startswith("3 of 10 soft labels") if wrong else message == ""


def initial_of(experiment, data, monkeypatch, predict):
    """The first set, where `predict(params, images)` stands for an expert's features and logits."""
    store = types.SimpleNamespace(read=lambda expert, epochs: [epochs[0]])
    for name in ("features", "logits"):
        monkeypatch.setattr(expert_training, name, lambda _, *arguments: predict(*arguments))
    return initialization.initial_set(experiment, data, store, [0], jax.random.key(0))


def test_features_of_each_class_choose_its_images(monkeypatch):
    experiment = Experiment.from_config(digits_ipc10.get_config("herding"))
    images = np.random.default_rng(0).normal(size=(300, 8, 8, 1)).astype(np.float32)
    labels = np.arange(300) % 10
    data = types.SimpleNamespace(train=images, dataset=types.SimpleNamespace(train_labels=labels))
    initial = initial_of(
        experiment, data, monkeypatch, lambda params, images: images.reshape(len(images), -1)
    )
    for label in range(10):
        members = np.flatnonzero(labels == label)
        places = coreset.herding(images[members].reshape(30, -1), 10)
        np.testing.assert_array_equal(initial.real[10 * label :][:10], members[places])
    assert initial.origin["expert"] == 0 and initial.origin["epoch"] == 12


@pytest.mark.parametrize("method, chosen", [("forgetting", 2), ("least_forgotten", 0)])
def test_forgetting_is_counted_from_epoch_to_epoch(method, chosen, monkeypatch):
    """Of each class image 0 stays right, image 1 is wrong in epoch 2, image 2 is never right."""
    config = digits_ipc1.get_config(method)
    config.synthetic.label_epoch = 3
    labels = np.arange(30) // 3
    images = np.zeros((30, 8, 8, 1), np.float32)
    data = types.SimpleNamespace(
        train=images,
        dataset=types.SimpleNamespace(train_labels=labels),
        on_device=lambda config: (images, labels),
    )

    def predict(epoch, images):
        wrong = (np.arange(30) % 3 == 2) | ((np.arange(30) % 3 == 1) & (epoch == 2))
        return np.eye(10)[(labels + wrong) % 10]

    initial = initial_of(Experiment.from_config(config), data, monkeypatch, predict)
    np.testing.assert_array_equal(initial.real, 3 * np.arange(10) + chosen)
