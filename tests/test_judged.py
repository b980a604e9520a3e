"""The sets of a sweep, judged: what is trained on what, and what a failure stops."""

import pathlib

import numpy as np
import pytest

from configs import digits_ipc1
from dpd_jax.errors import UserError
from dpd_jax.judging.candidates import Candidate
from dpd_jax.judging.jobs import Group, Job
from dpd_jax.judging.results import Row
from dpd_jax.sweeps import grid as grid_lib
from dpd_jax.sweeps import judged, network_table, runner
from dpd_jax.sweeps.sweep_file import SweepFile

PRODUCT = {"config": ("digits_ipc1", "digits_ipc10"), "method": ("datm", "dpd")}
FILE = SweepFile(
    "table",
    (PRODUCT,),
    "Paper, Table 6",
    {("digits_ipc1", "dpd"): {"top 5": "0.86", "top 10": "0.79"}},
    search="720",
)


@pytest.fixture
def runs(tmp_path):
    base = grid_lib.Base("small", {}, digits_ipc1.get_config)
    return runner.plan_runs(grid_lib.make(base, FILE.over), 2, tmp_path)


def test_each_config_is_searched_with_its_own_sets(runs, tmp_path, monkeypatch, capsys):
    searched = []

    def search(experiment, data, sets, folder, *, space, seeds):
        if experiment.config.ipc == 10:
            raise UserError("too few images.")
        searched.append((list(sets), folder, space, data))
        return "the table\n"

    monkeypatch.setattr(judged.search_run, "run", search)
    monkeypatch.setattr(judged.distilled_set, "read", lambda path: path)
    failures = judged.by_search(runs, FILE, tmp_path, read=lambda config: config.ipc)
    assert failures == {"search digits_ipc10": "too few images."}
    ((names, folder, space, data),) = searched
    assert names == [
        f"config=digits_ipc1, method={name}, seed {i}" for i in (0, 1) for name in ("datm", "dpd")
    ]
    assert (folder, space, data) == (tmp_path / "search" / "digits_ipc1", "small", 1)
    text = (tmp_path / "search.md").read_text()
    assert text.startswith("the table\n") and text.rstrip() == capsys.readouterr().out.rstrip()
    assert "| claimed (Paper, Table 6) | top 5 | top 10 |" in text
    assert "| config=digits_ipc1, method=dpd | 0.86 | 0.79 |" in text and "method=datm" not in text


def test_the_networks_of_all_seeds_make_a_row(runs):
    file = FILE._replace(networks=("convnet", "mlp"))
    accuracies = {0: [0.5, 0.6], 1: [0.7, 0.8]}
    rows = [
        (run, [Row(run.label, "mlp", {}, accuracies[run.seed], accuracies[run.seed])])
        for run in runs
        if run.setting.values["method"] == "dpd"
    ]
    text = network_table.markdown(rows, file, {"a run": "it\nfailed"}, "line")
    std = 100 * np.std([0.5, 0.6, 0.7, 0.8])
    assert f"| digits_ipc1 | dpd | - |  | 65.0 ± {std:.1f} (4) |  |" in text
    assert "* a run: it failed" in text and "Reduced runs" in text
    lines = network_table.csv_lines(rows, file).splitlines()
    assert len(lines) == 1 + 2 * 2 and "digits_ipc1,dpd,1,mlp,0.75," in lines[3]


def test_networks_that_do_not_fit_are_refused_before_anything_runs(runs):
    experiments = [run.experiment for run in runs]
    judged.check(experiments, ("convnet", "mlp"))
    with pytest.raises(UserError, match="resnet18"):
        judged.check(experiments, ("convnet", "resnet18"))


def test_one_unusable_set_does_not_stop_the_others(runs, tmp_path, monkeypatch):
    class Bench:
        """One that fails on a set, in place of training."""

        def __init__(self, experiment, dataset, folder, cache):
            self.experiment, self.folder, self.cache, self.command = experiment, folder, cache, ""
            self.trained = set()

        def job(self, candidate, name, network):
            return Job(candidate, name, network, None, None, 1)

        def missing(self, job):
            return [] if job in self.trained else [0]

        def at_once(self, job):
            return 1

        def groups(self, jobs):
            return [Group(job, [0], f"{jobs.index(job)}") for job in jobs if self.missing(job)]

        def train(self, group, progress):
            if "ipc10, method=dpd, seed 1" in group.job.candidate.name:
                raise UserError("its learning rate is nan.")
            self.trained.add(group.job)

        def row(self, job):
            return Row(job.candidate.name, job.name, {}, [0.5], [0.5])

    def of_set(name, made, experiment):
        return Candidate(name, "", 1, 0.1, "soft", None, None)

    def read_set(path):
        if "ipc10,method=datm/seed=0" in str(path):
            raise UserError("the file is damaged.")

    monkeypatch.setattr(judged, "Bench", Bench)
    monkeypatch.setattr(judged.work, "forecast", lambda jobs, bench: {})
    monkeypatch.setattr(judged.distilled_set, "read", read_set)
    monkeypatch.setattr(judged.candidates, "of_set", of_set)
    failures = judged.on_networks(
        runs,
        FILE._replace(networks=("mlp",)),
        tmp_path,
        read=lambda config: None,
        cache=pathlib.Path(),
        line="line",
    )
    assert failures == {
        "config=digits_ipc10, method=datm, seed 0": "the file is damaged.",
        "config=digits_ipc10, method=dpd, seed 1 on mlp": "its learning rate is nan.",
    }
    text = (tmp_path / "networks.md").read_text()
    assert text.count("50.0 ± 0.0 (2)") == 2 and text.count("50.0 ± 0.0 (1)") == 2
