"""The forecast of a run: counts, sizes, measurements, and the gradient for a memory budget."""

import json
import logging
import types

import jax
import numpy as np
import pytest

from configs import digits_ipc1
from dpd_jax import experts
from dpd_jax.datasets import whitening
from dpd_jax.errors import UserError
from dpd_jax.evaluate import Evaluation
from dpd_jax.runs import cost, forecast, report
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.initialization import Initial
from dpd_jax.runs.workdir import Workdir
from dpd_jax.storage import distilled_set
from dpd_jax.storage.trajectories import TrajectoryStore
from dpd_jax.trajectory_matching import TrajectorySegment

IMAGES = 200
NESTED_SAVES = 1_000_000  # bytes, in `step_bytes` of the fixture below


def make_experiment(method="", **changes):
    config = digits_ipc1.get_config(method)
    config.network.width = 4
    config.experts.batch_size = 64
    config.student.syn_steps = 2
    config.evaluate.num_networks = 2
    config.evaluate.epochs = 3
    config.update_from_flattened_dict(changes)
    return Experiment.from_config(config)


def with_budget(gigabytes, **changes):
    budget = {"distill.cache_gigabytes": 0.0, "distill.memory_gigabytes": gigabytes}
    return make_experiment(**budget | changes)


def test_training_steps_of_experts(tmp_path):
    # 200 images are 4 batches of 64; 5 experts, 2 at once, are 3 groups.
    experiment = make_experiment(**{"experts.at_once": 2})
    assert forecast.expert_steps(experiment, IMAGES, 5, 6, tmp_path) == 3 * 6 * 4
    half = make_experiment(**{"experts.epoch_share": 0.5})
    assert forecast.expert_steps(half, IMAGES, 5, 6, tmp_path) == 5 * 6 * 2


def test_training_steps_of_experts_with_a_data_schedule(tmp_path):
    changes = {
        "initial_ratio": 0.5,
        "addition_end_epoch": 2,
        "removal_epochs": (3,),
        "removal_ratios": (0.4,),
        "score_networks": 3,
        "score_epochs": (1, 2),
    }
    experiment = make_experiment("pad", **{f"data_schedule.{k}": v for k, v in changes.items()})
    # 100, 150, 200, 200, then 120 images; three networks score after 2 epochs.
    trained = 2 * (2 + 3 + 4 + 4 + 2)
    assert forecast.expert_steps(experiment, IMAGES, 2, 5, tmp_path) == trained + 3 * 2 * 4
    (tmp_path / "difficulty").mkdir()
    for network in range(3):
        (tmp_path / "difficulty" / f"network_{network:03d}.npz").touch()
    assert forecast.expert_steps(experiment, IMAGES, 2, 5, tmp_path) == trained


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_the_size_of_the_store_is_that_on_disk(tmp_path, storage):
    experiment = make_experiment(**{"experts.storage": storage, "network.width": 32})
    weights = cost.random_weights(experiment.network, 3)
    store = TrajectoryStore(tmp_path, {}, storage)
    store.write(0, dict(enumerate(weights)))
    written = sum(p.stat().st_size for p in store.path(0).rglob("*") if p.is_file())
    # Other files are small, and random weights hardly compress.
    assert 0.85 * written < forecast.store_bytes(experiment, 1, 3) < 1.15 * written


def test_durations_are_readable():
    assert [forecast.short(s) for s in (0.0214, 1.234, 83.2)] == ["21.4 ms", "1.23 s", "83.2 s"]
    long = [forecast.long(s) for s in (4.26, 45.3, 700, 12_240)]
    assert long == ["4.3 s", "45 s", "12 min", "3.4 h"]


def test_a_run_does_not_compile_the_timed_programs_again(caplog):
    jax.clear_caches()  # Another test of this process may have compiled `_draws`.
    plain = {"network.depth": 1, "augment.families": (), "experts.optimizer": "sgd"}
    experiment = make_experiment(**plain | {"matching.masks": (), "matching.pruning_rate": 0.0})
    held = cost.step_bytes(experiment)
    assert cost.step_seconds(experiment, compiled=True) > 0
    images = np.zeros((IMAGES, 8, 8, 1), np.float32)
    dataset = types.SimpleNamespace(train_labels=np.zeros(IMAGES, np.int32))
    data = types.SimpleNamespace(test=images, dataset=dataset)
    data.on_device = lambda config: (images, dataset.train_labels)
    assert cost.expert_step_seconds(experiment, data, 1) > 0

    # At least two weight vectors and the images; the step donates its state.
    floor = 4 * (2 * experiment.network.num_params + 10 * 64)
    assert floor < held < 20e6
    with caplog.at_level(logging.WARNING), jax.log_compiles():
        state, _, _ = cost.step_inputs(experiment, 10)
        segment = TrajectorySegment(
            np.ones((1, 2, experiment.network.num_params), np.float32), np.zeros(1, np.int32)
        )
        experiment.outer_step()(state, segment, jax.random.key(3))
        labels, key = dataset.train_labels, jax.random.key(4)
        recipe, augmentation = experiment.recipe, experiment.augmentation
        list(
            experts.train_many(
                experiment.network, recipe, augmentation, images, labels, key[None], 1
            )
        )
    messages = [r.getMessage() for r in caplog.records if "Compiling" in r.getMessage()]
    names = [text.split("jit(")[1].split(")")[0] for text in messages]
    assert "_draws" in names, names  # The log has the names of functions.
    assert not {"whole", "counted"} & set(names), names


@pytest.fixture
def compiled(monkeypatch):
    """The compiled gradients; here a step takes 1 MB per image and 2 MB more."""
    gradients = []

    def step_bytes(experiment):
        student = experiment.student
        gradients.append((student.gradient, student.chunk))
        saved = NESTED_SAVES * (student.gradient == "nested")
        return 2_000_000 + 1_000_000 * (student.chunk or 10) - saved

    monkeypatch.setattr(cost, "step_bytes", step_bytes)
    monkeypatch.setattr(cost, "memory_in_use", lambda: 5_000_000)
    return gradients


def gradients(norm="instance", **student):
    experiment = make_experiment(**{"network.norm": norm})
    candidates = forecast.exact_gradients(experiment.with_student(batch_syn=100, **student))
    return [(e.student.gradient, e.student.chunk) for e in candidates]


def test_gradients_range_from_the_fastest_to_single_images():
    halved = [(mode, c) for c in (0, 5, 3, 2, 1) for mode in ("exact", "nested")]
    assert gradients() == gradients(gradient="unroll") == gradients(gradient="nested") == halved
    assert gradients(chunk=3) == halved[4:] and gradients(chunk=10) == halved
    assert gradients(norm="batch") == halved[:2]
    assert gradients(gradient="tesla") == [("tesla", c) for c in (0, 5, 3, 2, 1)]
    # Two devices have 5 images each.
    assert gradients(batch_devices=2) == [(m, c) for c in (0, 3, 2, 1) for m in ("exact", "nested")]


@pytest.mark.parametrize(
    "megabytes, expected",
    [(17.5, ("exact", 0)), (16.5, ("nested", 0)), (12.1, ("exact", 5)), (7.5, ("nested", 1))],
)
def test_the_first_gradient_that_fits_is_chosen(tmp_path, compiled, capsys, megabytes, expected):
    experiment = with_budget(megabytes / 1e3)
    workdir = Workdir(tmp_path, experiment.config)
    chosen = forecast.choose_gradient(experiment, workdir, 1)
    assert (chosen.student.gradient, chosen.student.chunk) == expected == compiled[-1]
    message = capsys.readouterr().err
    assert f"student.gradient={expected[0]}" in message.splitlines()[-1]
    assert (len(compiled) > 1) == ("exact, whole batches needs 17 MB" in message)


def test_a_budget_that_is_too_small_is_refused_with_figures(tmp_path, compiled):
    experiment = with_budget(6.0 / 1e3)
    with pytest.raises(UserError) as refusal:
        forecast.choose_gradient(experiment, Workdir(tmp_path, experiment.config), 1)
    for text in (
        "memory_gigabytes = 0.006",
        "whole batches needs 17 MB",
        "7.00 MB would be enough",
    ):
        assert text in str(refusal.value)


def test_a_budget_below_what_is_held_already_is_refused_before_compiling(tmp_path, compiled):
    experiment = with_budget(4.9 / 1e3)
    with pytest.raises(UserError, match="take 5.00 MB before any outer step"):
        forecast.choose_gradient(experiment, Workdir(tmp_path, experiment.config), 1)
    assert not compiled


def test_a_continued_run_keeps_its_gradient(tmp_path, compiled, monkeypatch):
    experiment = with_budget(16.5 / 1e3)
    workdir = Workdir(tmp_path, experiment.config)
    first = forecast.choose_gradient(experiment, workdir, 2)
    workdir.begin()
    monkeypatch.setattr(cost, "memory_in_use", lambda: 4_000_000)  # "exact" would fit now.
    compiled.clear()
    again = Workdir(tmp_path, experiment.config)
    assert forecast.choose_gradient(experiment, again, 1).student == first.student
    # Another budget makes another choice in the same run, unless no step is left.
    other = with_budget(100.0)
    again = Workdir(tmp_path, other.config)
    assert forecast.choose_gradient(other, again, 0).student == first.student
    assert not compiled
    assert forecast.choose_gradient(other, again, 1).student.gradient == "exact"
    again.begin()
    assert Workdir(tmp_path, other.config).noted("memory_plan")["gradient"] == "exact"


def test_without_a_budget_the_config_is_followed(tmp_path, compiled):
    experiment = with_budget(0.0, **{"student.gradient": "unroll"})
    workdir = Workdir(tmp_path, experiment.config)
    assert forecast.choose_gradient(experiment, workdir, 1) is experiment and not compiled
    workdir.begin()
    assert Workdir(tmp_path, experiment.config).noted("memory_plan") is None


def test_results_record_the_chosen_gradient(tmp_path, compiled, monkeypatch):
    asked = with_budget(12.1 / 1e3, **{"student.gradient": "nested"})
    workdir = Workdir(tmp_path, asked.config)
    chosen = forecast.choose_gradient(asked, workdir, 1)
    assert (chosen.student.gradient, chosen.student.chunk) == ("exact", 5)
    workdir.begin()
    images = np.zeros((10, 8, 8, 1), np.uint8)
    data = types.SimpleNamespace(
        train=images.astype(np.float32),
        test=images.astype(np.float32),
        dataset=types.SimpleNamespace(
            class_names=tuple("0123456789"), test_labels=np.zeros(10, np.int32)
        ),
        fingerprint="0123",
        preprocessing=whitening.fit_per_channel(
            np.arange(640, dtype=np.uint8).reshape(images.shape)
        ),
    )
    half = np.array([0.5])
    evaluation = Evaluation(half, np.zeros(1, np.float32), np.array([False]), half)
    monkeypatch.setattr(report, "score", lambda *_: evaluation)
    monkeypatch.setattr(report, "random_real", lambda *_: evaluation)
    state, _, _ = cost.step_inputs(chosen, 10)
    state = state._replace(step=np.int32(asked.config.distill.iterations))
    report.finish(chosen, data, workdir, Initial(state.synthetic, None, {}), state, {})

    provenance = distilled_set.read(tmp_path / "distilled.npz").provenance
    for student in (
        provenance["config"]["student"],
        json.loads((tmp_path / "report.json").read_text())["student"],
    ):
        assert (student["gradient"], student["chunk"]) == ("exact", 5)
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["config"]["student"]["gradient"] == "nested"
    assert stored["memory_plan"]["gradient"] == "exact"
    assert report.finished(workdir, asked.config)
