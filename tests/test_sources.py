"""Runs find the experts that fit in the shared folder, and train others beside them."""

import json
import pathlib
import types

import numpy as np
import pytest

from configs import digits_ipc1
from dpd_jax.runs import sources
from dpd_jax.runs.experiment import Experiment
from dpd_jax.storage import expert_stores
from dpd_jax.storage.trajectories import TrajectoryStore

DATA = types.SimpleNamespace(train=[0], fingerprint="abc")


def experiment(method="", **changes):
    config = digits_ipc1.get_config(method)
    config.update_from_flattened_dict({"experts.num_experts": 2} | changes)
    return Experiment.from_config(config)


def found(folder, asked, begun=None, earlier=None):
    """The folder and the epochs of the store that a run uses."""
    one = sources.Sources(None, pathlib.Path(), folder, earlier=earlier)
    store, epochs = one.store(asked, DATA, begun)
    return store.directory, epochs


def train(folder, asked, directory=None, experts=2, extra=(), seconds=1.5):
    """Stands in for training: experts of the experiment in the store that it finds."""
    store = sources.expert_training.open_store(asked, DATA, directory or found(folder, asked)[0])
    for expert in range(experts):
        epochs = (*asked.epochs_read, *extra)
        store.write(expert, {epoch: np.zeros(3, np.float32) for epoch in epochs}, seconds)
    return store


def test_methods_after_each_other_find_their_experts_or_train_beside(tmp_path, capsys):
    dpd, mtt = experiment(), experiment("mtt")
    first = train(tmp_path, dpd).directory
    assert first.parent == tmp_path
    assert found(tmp_path, dpd)[0] == found(tmp_path, experiment("datm"))[0] == first
    assert capsys.readouterr().err == ""
    other, _ = found(tmp_path, mtt)
    assert other != first and not other.exists()
    said = capsys.readouterr().err
    assert f"new ones go into {other}" in said
    assert f"in {first}, differ: " in said and 'optimizer: stored "gsam", asked "sgd"' in said
    train(tmp_path, mtt)
    capsys.readouterr()
    assert found(tmp_path, mtt)[0] == other and found(tmp_path, dpd)[0] == first
    assert capsys.readouterr().err == ""


def test_shorter_experts_lead_to_another_store_and_longer_ones_are_used(tmp_path, capsys):
    short, long = (experiment(**{"curriculum.max_start_epoch": t}) for t in (7, 9))
    first = train(tmp_path, short).directory
    second, epochs = found(tmp_path, long)
    assert second != first and epochs == list(range(11))
    assert f"in {first}, differ: they lack epochs" in capsys.readouterr().err
    train(tmp_path, long)
    first.rename(tmp_path.with_name("gone"))
    assert found(tmp_path, short)[0] == second


def test_experts_beyond_those_wanted_may_be_short(tmp_path):
    asked = experiment()
    store = train(tmp_path, asked)
    store.write(7, {0: np.zeros(3, np.float32)})
    assert found(tmp_path, asked)[0] == store.directory


def test_a_run_goes_on_with_the_experts_it_began_with(tmp_path):
    asked, folder = experiment(), tmp_path / "experts"
    usual = train(folder, asked).directory
    begun = train(folder, asked, tmp_path / "begun", extra=(40,)).directory
    assert found(folder, asked)[0] == usual
    assert found(folder, asked, begun)[0] == begun
    assert found(folder, asked, tmp_path / "deleted")[0] == usual
    # A run of an older version has its experts in its own folder.
    own = train(folder, asked, tmp_path / "run" / "experts").directory
    assert found(tmp_path / "new", asked, earlier=own)[0] == own
    # The store with more experts needs less training.
    train(folder, asked, tmp_path / "half", experts=1)
    assert found(folder, asked, tmp_path / "half")[0] == usual


def test_a_damaged_expert_is_named_and_trained_elsewhere(tmp_path, capsys):
    asked = experiment()
    store = train(tmp_path, asked, tmp_path / "damaged")
    (store.path(1) / "expert.json").write_text("{")
    assert found(tmp_path, asked)[0].parent == tmp_path
    assert f"{store.path(1)} is damaged" in capsys.readouterr().err


def test_what_is_in_the_folder(tmp_path):
    asked = experiment()
    store = train(tmp_path, asked, extra=(30,))
    train(tmp_path, experiment("mtt"), seconds=None)
    run = tmp_path / "run"
    run.mkdir()
    for path in (run, run, tmp_path / "deleted run"):
        expert_stores.note_use(store.directory, path)
    one, other = expert_stores.find(tmp_path)
    assert one.runs == [] and len((store.directory / "runs.txt").read_text().splitlines()) == 2
    (run / "config.json").write_text("{}")
    one, other = expert_stores.find(tmp_path)
    assert one.directory == store.directory and one.runs == [run]
    assert (one.experts, one.epochs, one.seconds) == (2, [*asked.epochs_read, 30], 3.0)
    assert one.num_bytes > 2 * 14 * 12 and one.provenance["optimizer"]["optimizer"] == "gsam"
    assert other.seconds is None and other.runs == []
    assert expert_stores.find(tmp_path / "nothing") == []


def test_seconds_of_experts_of_older_versions_are_not_known(tmp_path):
    asked = experiment()
    store = train(tmp_path, asked)
    assert sources.expert_training.seconds(asked, store) == 3.0
    file = store.path(0) / "expert.json"
    about = json.loads(file.read_text())
    del about["seconds"]
    file.write_text(json.dumps(about))
    again = TrajectoryStore(store.directory, store.provenance, "float32")
    assert sources.expert_training.seconds(asked, again) is None
    assert found(tmp_path, asked)[0] == store.directory


@pytest.mark.parametrize("method", ["dc", "dm", "random"])
def test_what_reads_no_experts_says_nothing_of_them(tmp_path, method, capsys):
    train(tmp_path, experiment())
    _, epochs = found(tmp_path, experiment(method))
    assert epochs == [] and capsys.readouterr().err == ""
