import types

import jax
import numpy as np
import pytest

from configs import digits_ipc1
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
