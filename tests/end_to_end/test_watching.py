"""A run can be watched while it goes on, and that changes nothing of its result."""

import json

import numpy as np
import pytest

from configs import digits_ipc1
from dpd_jax.runs import report
from dpd_jax.runs.run import Run
from tests.end_to_end import commands

TINY = {
    "network.width": 4,
    "network.depth": 1,
    "augment.families": (),
    "experts.optimizer": "sgd",
    "experts.num_experts": 1,
    "data.train_per_class": 16,
    "data.validation_share": 0.25,
    "data.test_images": 50,
    "synthetic.init": "real",
    "curriculum.current_max_start_epoch": 1,
    "curriculum.max_start_epoch": 1,
    "student.syn_steps": 3,
    "distill.iterations": 8,
    "evaluate.num_networks": 2,
    "evaluate.epochs": 3,
}


def make_run(folder, name, **changes):
    config = digits_ipc1.get_config()
    config.update_from_flattened_dict(TINY | changes)
    return Run(config, folder / name, experts_dir=folder / "experts", cache_dir=folder / "cache")


def test_a_run_shows_itself_and_evaluates_on_the_way(tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    often = {"distill.checkpoint_every": 2, "distill.log_every": 1}
    watched = often | {"evaluate.every": 4, "evaluate.every_networks": 3}
    run = make_run(tmp_path, "watched", **watched)
    with monkeypatch.context() as patched:
        patched.setattr(report, "finish", stop)  # Killed after the last step.
        with pytest.raises(KeyboardInterrupt):
            run.distill()
    half = run.distilled_set()
    assert half.provenance["steps"] > 0 and half.provenance["accuracy"] is None
    for name in ("images.png", "curves.png", "pruning.png"):
        assert (run.path / name).read_bytes()[:4] == b"\x89PNG"
    lines = [json.loads(x) for x in (run.path / "metrics.jsonl").read_text().splitlines()]
    on_the_way = [line for line in lines if "validation_accuracy" in line]
    assert [line["step"] for line in on_the_way] == [0, 4, 8]
    assert all(len(line["validation_accuracy"]) == 3 for line in on_the_way)

    whole = make_run(tmp_path, "watched", **watched).distill()
    plain_run = make_run(tmp_path, "plain")
    plain = plain_run.distill()
    for name in ("images", "label_logits", "step_size"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(plain, name))
    assert run.report()["accuracy"] == plain_run.report()["accuracy"]
    assert run.report()["seconds"]["validation"] > 0
    assert "found there" in plain_run.summary() and "trained by this run" in run.summary()


def test_the_set_of_a_stopped_extension_is_not_that_of_the_finished_run(tmp_path, monkeypatch):
    first = make_run(tmp_path, "run", **{"distill.iterations": 4}).distill()
    longer = make_run(tmp_path, "run", **{"distill.checkpoint_every": 2})
    with monkeypatch.context() as patched:
        patched.setattr(report, "finish", lambda *arguments: None)
        assert longer.distill().provenance["steps"] > 4
    again = make_run(tmp_path, "run", **{"distill.iterations": 4})
    assert not report.complete(again._workdir, again.experiment.config)
    made = again.distill()  # Goes on from step 8, which is beyond 4.
    assert made.provenance["steps"] == again.report()["steps"] == 8
    assert not np.array_equal(made.images, first.images)


def test_the_list_of_experts_says_who_uses_them(finished, tmp_path):
    flags = ("train_experts", "--list")
    status, text = commands.run_copy(*flags, f"--experts_dir={finished.experts}")
    assert status == 0, text
    for part in (
        f"{finished.store}\n  2 experts, epochs 0 to 2, ",
        "data      name digits, images 200",
        "name convnet, norm instance, pooling average, stem_padding 1, width 4",
        "training  optimizer gsam",
        f"used by   {finished.workdir}",
    ):
        assert part in text, text
    status, text = commands.run_copy(*flags, f"--experts_dir={tmp_path}")
    assert status == 0 and f"there are no experts in {tmp_path}." in text
    commands.refused(commands.run_copy("train_experts")[1], "no --config given")
    commands.refused(commands.run_copy("progress")[1], "no --runs given")
