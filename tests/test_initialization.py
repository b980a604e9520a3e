import types

import jax
import numpy as np
import pytest

from configs import digits_ipc1
from dpd_jax.runs import expert_training, initialization
from dpd_jax.runs.experiment import Experiment


@pytest.mark.parametrize("wrong", [0, 3])
def test_labels_that_contradict_their_images_are_told(wrong, monkeypatch, capsys):
    experiment = Experiment.from_config(digits_ipc1.get_config("tesla"))
    data = types.SimpleNamespace(
        train=np.zeros((20, 8, 8, 1), np.float32),
        dataset=types.SimpleNamespace(train_labels=np.repeat(np.arange(10), 2)),
    )
    seen = np.eye(10, dtype=np.float32)
    seen[:wrong] = np.roll(seen[:wrong], 1, axis=-1)
    monkeypatch.setattr(expert_training, "label_snapshot", lambda *_: None)
    monkeypatch.setattr(expert_training, "logits", lambda experiment, params, images: seen)
    first = initialization.begin(experiment, data, None, [0], jax.random.key(0))
    np.testing.assert_array_equal(first.synthetic.labels, seen)
    said = capsys.readouterr().err
    assert said.startswith("3 of 10 soft labels") if wrong else said == ""
