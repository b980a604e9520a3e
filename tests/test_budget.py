"""Which way to the same gradient is taken under a memory budget; nothing is compiled here."""

import pytest

from configs import digits_ipc1
from dpd_jax.errors import UserError
from dpd_jax.runs import budget, rehearsal
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.workdir import Workdir
from tests import toys

NESTING = 1_000_000  # What it saves, in the pretended account below.


def make_plan(gigabytes, **student):
    config = digits_ipc1.get_config()
    config.distill.memory_gigabytes = gigabytes
    config.distill.cache_gigabytes = 0.0
    config.network.width = 64
    config.student.update(student)
    return Experiment.from_config(config)


@pytest.fixture
def compiled(monkeypatch):
    """The ways asked for, in a world where a step takes 1 MB an image and 2 MB besides."""
    asked = []

    def step_bytes(experiment):
        student = experiment.student
        asked.append((student.gradient, student.chunk))
        saved = NESTING * (student.gradient == "nested")
        return 2_000_000 + 1_000_000 * (student.chunk or 10) - saved

    monkeypatch.setattr(rehearsal, "step_bytes", step_bytes)
    monkeypatch.setattr(rehearsal, "memory_in_use", lambda: 5_000_000)
    return asked


def ways(num_images=10, splits=True, **student):
    return [
        (way.gradient, way.chunk)
        for way in budget.ways(toys.student(batch_syn=100, **student), num_images, splits=splits)
    ]


def test_ways_are_tried_from_the_fastest_to_single_images():
    halved = [(mode, c) for c in (0, 5, 3, 2, 1) for mode in ("exact", "nested")]
    assert ways() == ways(gradient="unroll") == ways(gradient="nested") == halved
    assert ways(chunk=3) == halved[4:] and ways(chunk=10) == halved
    assert ways(splits=False) == halved[:2]
    assert ways(gradient="tesla") == [("tesla", c) for c in (0, 5, 3, 2, 1)]
    # Two devices have 5 images each.
    assert ways(batch_devices=2) == [(m, c) for c in (0, 3, 2, 1) for m in ("exact", "nested")]


@pytest.mark.parametrize(
    "megabytes, taken",
    [(17.5, ("exact", 0)), (16.5, ("nested", 0)), (12.1, ("exact", 5)), (7.5, ("nested", 1))],
)
def test_the_first_that_fits_is_taken_and_said(tmp_path, compiled, capsys, megabytes, taken):
    chosen = budget.choose(make_plan(megabytes / 1e3), Workdir(tmp_path, make_plan(1.0).config))
    assert (chosen.student.gradient, chosen.student.chunk) == taken == compiled[-1]
    said = capsys.readouterr().err
    assert f"student.gradient={taken[0]}" in said.splitlines()[-1]
    assert (len(compiled) > 1) == ("exact, whole batches needs 17 MB" in said)


def test_nesting_that_cannot_save_enough_is_not_compiled(tmp_path, compiled):
    experiment = make_plan(9.8 / 1e3, syn_steps=1)  # One step has weights of 0.16 MB.
    assert 4 * experiment.network.num_params < 200_000
    budget.choose(experiment, Workdir(tmp_path, experiment.config))
    assert compiled == [("exact", 0), ("exact", 5), ("exact", 3), ("exact", 2)]


def test_what_does_not_fit_is_told_with_figures(tmp_path, compiled):
    experiment = make_plan(6.0 / 1e3)
    with pytest.raises(UserError) as told:
        budget.choose(experiment, Workdir(tmp_path, experiment.config))
    for words in ("memory_gigabytes = 0.006", "whole batches needs 17 MB", "7.00 MB would do"):
        assert words in str(told.value)


def test_a_run_goes_on_the_way_it_began(tmp_path, compiled, monkeypatch):
    experiment = make_plan(16.5 / 1e3)
    workdir = Workdir(tmp_path, experiment.config)
    began = budget.choose(experiment, workdir)
    workdir.begin()
    monkeypatch.setattr(rehearsal, "memory_in_use", lambda: 4_000_000)  # "exact" would fit now.
    compiled.clear()
    again = Workdir(tmp_path, experiment.config)
    assert budget.choose(experiment, again).student == began.student and not compiled
    # Another budget is another decision, and no other run.
    wider = make_plan(100.0)
    again = Workdir(tmp_path, wider.config)
    assert budget.choose(wider, again).student.gradient == "exact"
    again.begin()
    assert Workdir(tmp_path, wider.config).noted("memory_plan")["gradient"] == "exact"


def test_without_a_budget_the_config_is_followed(tmp_path, compiled):
    experiment = make_plan(0.0, gradient="unroll")
    workdir = Workdir(tmp_path, experiment.config)
    assert budget.choose(experiment, workdir) is experiment and not compiled
    workdir.begin()
    assert Workdir(tmp_path, experiment.config).noted("memory_plan") is None
