"""The defaults of the numerics are the values that all configs share (`presets/base.py`)."""

import dataclasses
import inspect

import pytest

from dpd_jax import evaluate, trajectory_matching
from dpd_jax.alignment import Alignment
from dpd_jax.augment import Augmentation
from dpd_jax.curriculum import Curriculum
from dpd_jax.data_schedule import DataSchedule
from dpd_jax.datasets import loading
from dpd_jax.distill import Outer
from dpd_jax.evaluate import Protocol
from dpd_jax.experts import Recipe
from dpd_jax.guard import Guard
from dpd_jax.matching import Matching
from dpd_jax.networks.convnet import ConvNet
from dpd_jax.presets import base
from dpd_jax.smoothing import Smoothing
from dpd_jax.student import Student

GROUPS = {
    Alignment: "alignment",
    Augmentation: "augment",
    ConvNet: "network",
    Curriculum: "curriculum",
    DataSchedule: "data_schedule",
    Guard: "guard",
    Matching: "matching",
    Outer: "distill",
    Protocol: "evaluate",
    Recipe: "experts",
    Smoothing: "experts",
    Student: "student",
}


@pytest.mark.parametrize("kind", GROUPS, ids=lambda kind: kind.__name__)
def test_defaults_are_those_of_the_config(kind):
    group = base.get_config()[GROUPS[kind]]
    defaults = {f.name: f.default for f in dataclasses.fields(kind) if f.name in group}
    defaults.pop("name", None)  # Of a flax module, and of the kind of network in the config.
    shared = {name: group[name] for name in defaults if group[name] is not None}
    assert shared
    for name, value in shared.items():
        assert defaults[name] == value, name


@pytest.mark.parametrize(
    "function, group",
    [
        (evaluate.evaluate, "evaluate"),
        (loading.load, "data"),
        (trajectory_matching.make_gradient, "distill"),
    ],
)
def test_defaults_of_functions_are_those_of_the_config(function, group):
    values = base.get_config()[group]
    parameters = inspect.signature(function).parameters
    shared = {name: x.default for name, x in parameters.items() if name in values}
    given = {name: value for name, value in shared.items() if value is not inspect.Parameter.empty}
    assert len(given) > 1
    assert given == {name: values[name] for name in given}
