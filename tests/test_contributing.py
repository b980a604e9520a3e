"""The recipes of CONTRIBUTING.md do what they say."""

import pathlib
import re

import jax
import jax.numpy as jnp

from dpd_jax import load_config, networks
from dpd_jax.presets import methods
from dpd_jax.runs.experiment import Experiment

REPOSITORY = pathlib.Path(__file__).parents[1]
RECIPES = dict(
    re.findall(
        r"```python\n# A (method|network|data set): .*?\n(.*?)```",
        (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        re.S,
    )
)


def follow(recipe: str) -> dict:
    names: dict = {"__name__": "recipe"}
    exec(RECIPES[recipe], names)
    return names


def test_a_method(monkeypatch):
    monkeypatch.setattr(methods, "METHODS", dict(methods.METHODS))
    monkeypatch.setattr(methods, "PUBLISHED", dict(methods.PUBLISHED))
    follow("method")
    config = load_config(f"{REPOSITORY}/configs/digits_ipc1.py:mtt-momentum,small")
    assert config.method == "mtt-momentum"
    assert Experiment.from_config(config).student.momentum == 0.9


def test_a_network(monkeypatch):
    monkeypatch.setattr(networks, "BUILDERS", dict(networks.BUILDERS))
    follow("network")
    network = networks.create("perceptron", image_shape=(8, 8, 1), num_classes=3, width=5)
    params, images = network.init(jax.random.key(0)), jnp.ones((2, 8, 8, 1))
    assert network.apply(params, images).shape == (2, 3)
    assert network.features(params, images).shape == (2, 5)


def test_a_data_set(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    dataset = follow("data set")["dataset"]
    assert dataset.train_images.shape == (45, 8, 8, 1)
    assert len(dataset.class_names) == 3
