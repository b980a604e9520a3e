"""What a run is said to cost."""

import logging
import types

import jax
import numpy as np
import pytest

from configs import digits_ipc1
from dpd_jax import distill, experts
from dpd_jax.runs import forecast, rehearsal
from dpd_jax.runs.experiment import Experiment, outer_step
from dpd_jax.storage.trajectories import TrajectoryStore

IMAGES = 200


def make_plan(words="", **changes):
    config = digits_ipc1.get_config(words)
    config.network.width = 4
    config.experts.batch_size = 64
    config.student.syn_steps = 2
    config.evaluate.num_networks = 2
    config.evaluate.epochs = 3
    config.update_from_flattened_dict(changes)
    return Experiment.from_config(config)


def test_steps_of_experts_are_counted(tmp_path):
    # 200 images are 4 batches of 64; 5 experts, 2 at once, are 3 groups.
    experiment = make_plan(**{"experts.at_once": 2})
    assert forecast.expert_steps(experiment, IMAGES, 5, 6, tmp_path) == 3 * 6 * 4


def test_steps_of_experts_that_see_images_by_difficulty_are_counted(tmp_path):
    changes = {
        "initial_ratio": 0.5,
        "addition_end_epoch": 2,
        "removal_epochs": (3,),
        "removal_ratios": (0.4,),
        "score_networks": 3,
        "score_epochs": (1, 2),
    }
    experiment = make_plan("pad", **{f"data_schedule.{k}": v for k, v in changes.items()})
    # 100, 150, 200, 200, then 120 images; three networks score after 2 epochs.
    trained = 2 * (2 + 3 + 4 + 4 + 2)
    assert forecast.expert_steps(experiment, IMAGES, 2, 5, tmp_path) == trained + 3 * 2 * 4
    (tmp_path / "difficulty").mkdir()
    for network in range(3):
        (tmp_path / "difficulty" / f"network_{network:03d}.npz").touch()
    assert forecast.expert_steps(experiment, IMAGES, 2, 5, tmp_path) == trained


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_the_size_of_the_store_is_that_on_disk(tmp_path, storage):
    experiment = make_plan(**{"experts.storage": storage, "network.width": 32})
    draws = np.random.default_rng(0)
    weights = draws.standard_normal((3, experiment.network.num_params), np.float32)
    store = TrajectoryStore(tmp_path, {}, storage)
    store.write(0, dict(enumerate(weights)))
    written = sum(p.stat().st_size for p in store.path(0).rglob("*") if p.is_file())
    # What is beside the weights is small, and compression finds little in them.
    assert 0.85 * written < forecast.store_bytes(experiment, 1, 3) < 1.15 * written


def test_figures_are_told_as_a_person_would():
    assert [forecast.short(s) for s in (0.0214, 1.234, 83.2)] == ["21.4 ms", "1.23 s", "83.2 s"]
    assert [forecast.long(s) for s in (4.26, 45.3, 700, 12_240)] == [
        "4.3 s",
        "45 s",
        "12 min",
        "3.4 h",
    ]


def test_the_run_finds_compiled_what_was_rehearsed(caplog):
    plain = {"network.depth": 1, "augment.families": (), "experts.optimizer": "sgd"}
    experiment = make_plan(**plain | {"matching.pruning_rate": 0.0})
    cost = rehearsal.step(experiment)
    images = np.zeros((IMAGES, 8, 8, 1), np.float32)
    dataset = types.SimpleNamespace(train_labels=np.zeros(IMAGES, np.int32))
    data = types.SimpleNamespace(train=images, test=images, dataset=dataset)
    assert rehearsal.expert_step(experiment, data, 1) > 0

    # Two sets of weights and the images, at least; the step's state is donated, not held twice.
    floor = 4 * (2 * experiment.network.num_params + 10 * 64)
    assert floor < cost.bytes < 20e6 and cost.seconds > 0
    with caplog.at_level(logging.WARNING), jax.log_compiles():
        program = outer_step(
            experiment.network,
            experiment.student,
            experiment.matching,
            experiment.outer,
            experiment.guard,
            segments=1,
            devices=1,
        )
        made = rehearsal.made_up_set(experiment.network, experiment.num_images)
        segment = distill.TrajectorySegment(
            np.ones((1, 2, experiment.network.num_params), np.float32), np.zeros(1, np.int32)
        )
        program(distill.init(made, experiment.outer), segment, jax.random.key(3))
        labels, key = dataset.train_labels, jax.random.key(4)
        list(
            experts.train_many(
                experiment.network,
                experiment.recipe,
                experiment.augmentation,
                images,
                labels,
                key[None],
                1,
            )
        )
    again = [r.getMessage() for r in caplog.records if "Compiling" in r.getMessage()]
    names = [text.split("jit(")[1].split(")")[0] for text in again]
    assert "_draws" in names, names  # They are logged under their names.
    assert not {"whole", "counted"} & set(names), names
