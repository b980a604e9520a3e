"""Subset selection: every baseline is an ordinary run that learns nothing."""

import jax
import numpy as np
import pytest

from configs import digits_ipc1
from dpd_jax.errors import UserError
from dpd_jax.runs import initialization
from dpd_jax.runs.run import Run

TINY = {
    "ipc": 2,
    "network.width": 4,
    "network.depth": 1,
    "augment.families": (),
    "experts.optimizer": "sgd",
    "data.train_per_class": 15,  # tests/test_cost.py expects programs for 20 not to be compiled
    "data.test_images": 50,
    "synthetic.label_epoch": 3,
    "evaluate.num_networks": 2,
    "evaluate.epochs": 3,
}
BASELINES = ("random", "herding", "kmeans", "kcenter", "forgetting", "least_forgotten")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("baselines")


def make_run(folder, method, **changes):
    config = digits_ipc1.get_config(method)
    config.update_from_flattened_dict(TINY | changes)
    name = "-".join([method, *(str(value).replace("/", "_") for value in changes.values())])
    return Run(config, folder / name, experts_dir=folder / "experts", cache_dir=folder / "cache")


@pytest.mark.parametrize("method", BASELINES)
def test_a_baseline_is_a_set_of_real_images(folder, method, capsys):
    run = make_run(folder, method)
    made, report = run.distill(), run.report()
    forecast = capsys.readouterr().err
    assert "2 x 2 networks" in forecast and "distil" not in forecast
    assert ("3 passes over the training images" in forecast) == ("forg" in method)
    data = run._sources.data(run.experiment.config)
    same = (made.images[:, None] == data.train[None]).all((2, 3, 4))
    assert same.any(1).all() and same.any(0).sum() == 20, "distinct real images"
    np.testing.assert_array_equal(data.dataset.train_labels[same.argmax(1)], made.labels)
    np.testing.assert_array_equal(made.label_logits.argmax(1), made.labels)
    assert made.step_size == np.float32(0.05), "synthetic.step_size"

    chosen = method != "random"
    origin = {
        "images": method if chosen else "real",
        "labels": "hard",
        "expert": 0 if chosen else None,
        "epoch": 3 if chosen else None,
    }
    assert report["init"] == made.provenance["init"] == origin
    assert (report["method"], report["steps"], report["experts"]) == (method, 0, int(chosen))
    assert len(report["accuracy"]["runs"]) == len(report["random_real"]["runs"]) == 2
    files = {path.name for path in run.path.iterdir()}
    reports = {"report.html", "report.json"}
    assert files == {".lock", "config.json", "distilled.npz", "images.png"} | reports


def test_random_images_need_no_experts(folder):
    run = make_run(folder / "alone", "random")
    assert run.train_experts() == []
    run.distill()
    assert not (folder / "alone" / "experts").exists()


def test_the_seed_draws_random_images_and_leaves_an_experts_choice(folder):
    for method, same in (("random", False), ("herding", True)):
        sets = [make_run(folder, method, seed=seed).distill().images for seed in (1, 2)]
        assert np.array_equal(*sets) == same, method


def test_a_choice_is_a_start_for_any_method(folder):
    chosen = make_run(folder, "herding").distill()
    run = make_run(folder, "datm", **{"synthetic.init": "herding", "experts.num_experts": 1})
    run.train_experts()
    data = run._sources.data(run.experiment.config)
    store, _ = run._sources.store(run.experiment, data)
    start = initialization.initial_set(run.experiment, data, store, [0], jax.random.key(9))
    np.testing.assert_array_equal(start.synthetic.images, chosen.images)


def test_a_class_that_is_too_small_is_named_before_experts_are_trained(folder):
    with pytest.raises(UserError, match=r"ipc = 16 .* \(15 training images\)"):
        make_run(folder / "few", "herding", ipc=16).distill()
    assert not (folder / "few" / "experts").exists()


def test_an_earlier_set_is_a_start_for_any_method(folder):
    earlier = make_run(folder, "kmeans").distill()
    start = {"synthetic.init": "set", "synthetic.set": str(folder / "kmeans" / "distilled.npz")}
    again = {"distill.iterations": 0, "synthetic.labels": "set"}
    run = make_run(folder / "again", "mtt", **start, **again)
    made = run.distill()
    np.testing.assert_array_equal(made.images, earlier.images)
    np.testing.assert_array_equal(made.label_logits, earlier.label_logits)
    assert run.report()["init"]["images"] == start["synthetic.set"]


def test_an_earlier_set_of_another_size_is_refused_before_experts_are_trained(folder):
    make_run(folder, "kmeans").distill()
    start = {"synthetic.init": "set", "synthetic.set": str(folder / "kmeans" / "distilled.npz")}
    with pytest.raises(UserError, match="holds 20 images .* asks for 1 images"):
        make_run(folder / "other", "mtt", **start, ipc=1).distill()
    assert not (folder / "other" / "experts").exists()
