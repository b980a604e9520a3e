"""The loop, table and plot of a sweep, with simulated runs."""

import contextlib
import csv
import json
import pathlib
import statistics
import sys
import types

import numpy as np
import pytest

from configs import digits_ipc1
from dpd_jax.errors import UserError
from dpd_jax.runs import report, sources
from dpd_jax.storage import locks
from dpd_jax.storage.trajectories import TrajectoryStore
from dpd_jax.sweeps import grid as grid_lib
from dpd_jax.sweeps import runner
from dpd_jax.sweeps import table as table_lib
from dpd_jax.sweeps.sweep_file import SweepFile

RATES = ("matching.pruning_rate=0,0.1,0.2",)
UNCLAIMED = SweepFile("", ())


@pytest.fixture
def undrawn(monkeypatch):
    """Skips the plot, which takes most of the time here."""
    monkeypatch.setattr(runner.plot, "save", lambda *_, **__: None)


def grid(*over, arg=""):
    base = grid_lib.Base(arg, {}, digits_ipc1.get_config)
    return grid_lib.make(base, (grid_lib.parse(over),))


def accuracy(experiment):
    """The accuracy of a simulated run."""
    return 0.5 + experiment.matching.pruning_rate + 0.01 * experiment.config.seed


def simulate(experiment, workdir, shared):
    shared.append((experiment.matching.pruning_rate, experiment.config.seed))
    workdir.begin()
    score = lambda mean: {"mean": mean, "std": 0.02, "runs": [mean], "diverged": 0}  # noqa: E731
    made = {
        "accuracy": score(accuracy(experiment)),
        "random_real": score(0.3 + 0.01 * experiment.config.seed),
        "seconds": {"distill": 12.0},
        "steps": experiment.config.distill.iterations,
        "asked": report._asked(experiment.config),
    }
    for name in ("distilled.npz", "images.png"):
        (workdir.path / name).touch()
    (workdir.path / "report.json").write_text(json.dumps(made))


def go(tmp_path, do=simulate, over=RATES, seeds=2, file=UNCLAIMED, judge=lambda _: {}):
    done = []
    runs = runner.plan_runs(grid(*over), seeds, tmp_path)
    runner.go(runs, tmp_path, done, do, "the command", file, judge)
    return done


def lines(tmp_path):
    with (tmp_path / "table.csv").open(newline="") as file:
        return {row["point"]: row for row in csv.DictReader(file)}


def test_every_setting_runs_with_every_seed_and_the_table_is_over_seeds(tmp_path, undrawn, capsys):
    assert go(tmp_path) == [(r, s) for s in (0, 1) for r in (0, 0.1, 0.2)]
    table = lines(tmp_path)
    row = table["pruning_rate=0.1"]
    assert np.isclose(float(row["accuracy_mean"]), 0.605)
    assert np.isclose(float(row["accuracy_std"]), statistics.stdev([0.60, 0.61]))
    assert (row["runs"], row["seeds"], row["matching.pruning_rate"]) == ("2", "0;1", "0.1")
    assert np.isclose(float(table["random real images"]["accuracy_mean"]), 0.305)
    text = (tmp_path / "table.md").read_text()
    assert capsys.readouterr().out == text, "the table alone goes to stdout"
    assert "| 0 | 50.50 ± 0.71 % |  |  | 2 | 12 s |" in text
    row_of_seeds = "| 0.1 | 60.50 ± 0.71 % | +10.00 ± 0.00 | +10.00 to +10.00 | 2 | 12 s |"
    assert row_of_seeds in text, "the seeds cancel"
    assert "| random real images | 30.50 ± 0.71 % |  |  | 2 |  |" in text
    assert np.isclose(float(row["over_first_mean"]), 0.1) and row["over_first_std"]
    assert table["pruning_rate=0"]["over_first_mean"] == ""
    assert "sample standard deviation (n − 1) over runs" in text and "the command" in text
    assert "mean over 5 new networks" in text


def test_a_difference_has_an_interval(tmp_path, undrawn, monkeypatch):
    def uneven(experiment):
        rate, seed = experiment.matching.pruning_rate, experiment.config.seed
        return 0.5 + rate * seed  # differences to rate 0: 0, rate, 2 rate

    monkeypatch.setattr(sys.modules[__name__], "accuracy", uneven)
    go(tmp_path, seeds=3)
    row = lines(tmp_path)["pruning_rate=0.1"]
    half = 4.3027 * 0.1 / 3**0.5  # Student's t with two degrees of freedom
    ends = [float(row[name]) for name in ("over_first_low", "over_first_high")]
    np.testing.assert_allclose(ends, [0.1 - half, 0.1 + half], atol=1e-5)
    assert "| +10.00 ± 10.00 | -14.84 to +34.84 | 3 |" in (tmp_path / "table.md").read_text()


def test_a_sweep_started_again_or_extended_runs_what_is_missing(tmp_path, undrawn):
    go(tmp_path, seeds=1)
    assert go(tmp_path, seeds=1) == []
    wider = ("matching.pruning_rate=0,0.1,0.2,0.3",)
    assert go(tmp_path, over=wider) == [(0.3, 0), (0, 1), (0.1, 1), (0.2, 1), (0.3, 1)]


def test_a_failed_run_is_reported_and_does_not_stop_the_others(tmp_path, undrawn):
    def do(experiment, workdir, shared):
        if experiment.matching.pruning_rate == 0.1 and experiment.config.seed == 0:
            raise UserError("stopped at step 7: the\nimages moved.")
        simulate(experiment, workdir, shared)

    with pytest.raises(UserError, match="1 of 6 runs could not") as caught:
        go(tmp_path, do)
    assert "pruning_rate=0.1, seed 0: stopped at step 7" in str(caught.value)
    row = lines(tmp_path)["pruning_rate=0.1"]
    assert (row["runs"], row["runs_asked"], row["accuracy_std"]) == ("1", "2", "")
    text = (tmp_path / "table.md").read_text()
    assert "| 0.1 | 61.00 % | +10.00 |  | 1 of 2 | 12 s |" in text
    assert "* pruning_rate=0.1, seed 0: stopped at step 7: the images moved." in text
    assert go(tmp_path) == [(0.1, 0)]


def test_claims_stand_beside_and_finished_sets_are_judged(tmp_path, undrawn):
    file = SweepFile("", (), "Paper, Table 1", {(0.1,): "47.0 ± 0.5", (0.3,): "48"})
    judged = []

    def do(experiment, workdir, shared):
        if experiment.matching.pruning_rate == 0.2:
            raise UserError("the images moved.")
        simulate(experiment, workdir, shared)

    def judge(runs):
        judged.extend(run.label for run in runs)
        return {"vgg11": "too large."}

    with pytest.raises(UserError, match="1 of 3 runs could not(.|\n)*moved(.|\n)*vgg11: too large"):
        go(tmp_path, do, seeds=1, file=file, judge=judge)
    assert judged == ["pruning_rate=0, seed 0", "pruning_rate=0.1, seed 0"]
    text = (tmp_path / "table.md").read_text()
    assert "| pruning_rate | test accuracy | claimed (Paper, Table 1), % | runs |" in text
    assert "| 0.1 | 60.00 % | 47.0 ± 0.5 | 1 |" in text and "not measured here" in text
    assert lines(tmp_path)["pruning_rate=0.1"]["claimed"] == "47.0 ± 0.5"
    assert lines(tmp_path)["pruning_rate=0"]["claimed"] == ""
    with pytest.raises(UserError, match="not all sets could be judged"):
        go(tmp_path, seeds=1, file=file, judge=judge)


def test_rows_are_compared_with_the_first_of_their_config(tmp_path, undrawn):
    over = ("config=digits_ipc1,digits_ipc10", *RATES)
    go(tmp_path, over=over)
    table = lines(tmp_path)
    for config in ("digits_ipc1", "digits_ipc10"):
        assert table[f"config={config}, pruning_rate=0"]["over_first_mean"] == ""
        row = table[f"config={config}, pruning_rate=0.2"]
        assert np.isclose(float(row["over_first_mean"]), 0.2)


def test_runs_of_another_process_are_waited_for(tmp_path, undrawn, capsys, monkeypatch):
    runs = runner.plan_runs(grid(*RATES), 2, tmp_path)
    others = contextlib.ExitStack()  # It has three runs in work: finishes, fails and is killed.
    for run in runs[1:4]:
        others.enter_context(locks.alone(run.workdir.path, "--workdir"))
    simulate(runs[5].experiment, runs[5].workdir, [])
    refused, slept = [], []

    def do(experiment, workdir, shared):
        if len(shared) == 1 and not refused:  # It was quicker.
            refused.append(workdir)
            raise locks.Busy("another process is at work")
        simulate(experiment, workdir, shared)

    def end(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            simulate(runs[1].experiment, runs[1].workdir, [])
            runner._note_failure(runs[2], "the images moved.")
            others.close()

    monkeypatch.setattr(runner.time, "sleep", end)
    with pytest.raises(
        UserError, match="1 of 6 runs could not(.|\n)*0.2, seed 0: the images moved"
    ):
        go(tmp_path, do)
    text = capsys.readouterr().err
    assert text.count("finished by another process") == text.count("put off") == 1
    assert {row["runs"] for row in lines(tmp_path).values()} == {"1", "2"}
    assert go(tmp_path) == [(0.2, 0)], "tried again"
    assert not (runs[2].workdir.path / "failed.txt").exists()


def test_ctrl_c_stops_and_the_same_command_goes_on(tmp_path, undrawn):
    def do(experiment, workdir, shared):
        if len(shared) == 2:
            raise KeyboardInterrupt
        simulate(experiment, workdir, shared)

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, do)
    assert lines(tmp_path)["pruning_rate=0.1"]["runs"] == "1"
    assert lines(tmp_path)["pruning_rate=0.2"]["accuracy_mean"] == ""
    assert len(go(tmp_path)) == 4


def test_a_folder_of_another_config_is_refused_before_anything_runs(tmp_path, undrawn):
    go(tmp_path, seeds=1)
    file = tmp_path / "pruning_rate=0.2" / "seed=0" / "config.json"
    file.write_text(file.read_text().replace('"ipc": 1', '"ipc": 2'))
    with pytest.raises(UserError, match="another config"):
        runner.plan_runs(grid(*RATES), 2, tmp_path)


def test_time_left_follows_runs_of_the_same_setting():
    waiting = [types.SimpleNamespace(setting=setting) for setting in grid(*RATES)]
    first, second, third = (run.setting.name for run in waiting)
    assert runner.time_left({}, waiting) == ""
    seconds = {first: [50, 70], second: [180]}
    assert runner.time_left(seconds, waiting) == ", about 6 min left"  # 1 + 3 + their mean
    assert runner.time_left(seconds | {third: [10_000]}, waiting).endswith(" h left")


def cells(over, seeds=(0,), arg=""):
    made = []
    for setting in grid(*over, arg=arg):
        for seed in seeds:
            base = 0.2 + 0.1 * setting.experiment.config.ipc
            made.append(
                table_lib.Cell(
                    setting,
                    seed,
                    {
                        "accuracy": {"mean": 0.8, "std": 0.0, "runs": [0.8], "diverged": 1},
                        "random_real": {"mean": base, "std": 0.0, "runs": [base], "diverged": 0},
                        "seconds": {"distill": 1.0},
                        "steps": 40,
                        "undone_steps": 2 + setting.experiment.config.ipc,
                    },
                )
            )
    return made


def test_baselines_of_different_data_are_not_mixed(tmp_path):
    made = cells(("ipc=1,2", "matching.pruning_rate=0,0.1"), arg="small")
    table = table_lib.make(made, UNCLAIMED)
    assert {row.label: row.mean for row in table.random} == {
        "random real images (ipc=1)": pytest.approx(0.3),
        "random real images (ipc=2)": pytest.approx(0.4),
    }
    table_lib.write_markdown(tmp_path / "table.md", table, {}, "line")
    text = (tmp_path / "table.md").read_text()
    assert "Reduced runs" in text and "4 of the evaluated networks diverged" in text
    # A tenth of the steps is too many: 4 of 40, not 3.
    few, many = (row.label for row in table.rows if row.values["matching.pruning_rate"] == 0)
    assert f"{many}, seed 0 (4 of 40)" in text and f"{few}, seed" not in text


def test_numbers_are_drawn_as_lines_and_names_as_rows(tmp_path):
    names = ("method=dpd,mtt", "student.gradient=exact,nested")
    rates = ("distill.lr_img=1e-3,1,10", "matching.metric=absolute,relative")
    for over, along in ((names, None), (rates, "distill.lr_img")):
        table = table_lib.make(cells(over, (0, 1)), UNCLAIMED)
        assert runner.plot._along(table) == along
        runner.plot.save(tmp_path / "plot.png", table, title="a_$b")
        assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"
    lines = runner.plot._lines(table, "distill.lr_img")
    assert {label: [r.values["distill.lr_img"] for r in rows] for label, rows in lines.items()} == {
        "metric=absolute": [0.001, 1, 10],
        "metric=relative": [0.001, 1, 10],
    }


def shared_sources(folder, *over):
    """(store, epochs to keep) of each setting of a sweep."""
    experiments = [setting.experiment for setting in grid(*over)]
    shared = sources.Sources(None, pathlib.Path(), folder, experiments)
    data = types.SimpleNamespace(train=[0], fingerprint="abc")
    return [shared.store(experiment, data) for experiment in experiments]


def test_settings_share_experts_trained_as_far_as_any_of_them_reads(tmp_path):
    over = ("method=dpd,mtt", "curriculum.max_start_epoch=11,15")
    stores = shared_sources(tmp_path, *over)
    assert [epochs for _, epochs in stores] == [list(range(17))] * 4
    folders = [store.directory for store, _ in stores]
    assert folders[0] == folders[1] != folders[2] == folders[3]
    assert all(folder.parent == tmp_path and not folder.exists() for folder in folders)
    assert folders[0].name.startswith("gsam-") and folders[2].name.startswith("sgd-")
    again = [store.directory for store, _ in shared_sources(tmp_path, *over)]
    assert again == folders, "a sweep that was stopped finds its stores"


def test_a_store_with_all_epochs_that_are_read_is_reused(tmp_path):
    weights = {epoch: np.zeros(5, np.float32) for epoch in range(31)}
    ((store, epochs),) = shared_sources(tmp_path, "curriculum.max_start_epoch=15")
    earlier = TrajectoryStore(tmp_path / "earlier", store.provenance, "float32")
    for number, last in ((0, 16), (1, 30)):
        earlier.write(number, {epoch: weights[epoch] for epoch in range(last + 1)})
    ((found, _),) = shared_sources(tmp_path, "curriculum.max_start_epoch=15")
    assert found.directory == earlier.directory
    # Expert 0 lacks epochs of this one, and the experts of this one are others.
    for over in ("curriculum.max_start_epoch=20", "experts.seed=1"):
        ((found, _),) = shared_sources(tmp_path, over)
        assert found.directory not in (earlier.directory, store.directory)
    # Epoch 40 is read for labels only, and no store has it.
    labelled = ("synthetic.labels=experts", "synthetic.label_epoch=40")
    ((found, epochs),) = shared_sources(tmp_path, *labelled, "matching.pruning_rate=0.1")
    assert found.directory != earlier.directory and epochs == [*range(13), 40]
    # The store with the most experts is used; the folder itself may be one.
    itself = TrajectoryStore(tmp_path, store.provenance, "float32")
    for number in range(3):
        itself.write(number, weights)
    ((found, _),) = shared_sources(tmp_path, "curriculum.max_start_epoch=15")
    assert found.directory == tmp_path


def test_data_is_read_again_only_when_it_differs(tmp_path, monkeypatch):
    read = []
    labels = np.repeat(np.arange(10), 3)
    dataset = types.SimpleNamespace(train_labels=labels, class_names=tuple("0123456789"))
    data = types.SimpleNamespace(dataset=dataset)
    monkeypatch.setattr(sources.run_data, "load", lambda config, *_: read.append(config) or data)
    one = sources.Sources(None, tmp_path, tmp_path)
    for setting in grid("data.train_per_class=5,6", "matching.pruning_rate=0,0.1", "ipc=1,2"):
        assert one.data(setting.experiment.config) is data
    assert [config.data.train_per_class for config in read] == [5, 6]
    (too_many,) = grid("data.train_per_class=6", "ipc=4")
    with pytest.raises(UserError, match=r"ipc = 4 is more than .* \(3 training images\)"):
        one.data(too_many.experiment.config)
