"""A run writes its files, and continues exactly after it was stopped anywhere."""

import base64
import json
import re
import shutil
import signal
import time

import numpy as np
import pytest

from dpd_jax.storage import distilled_set
from tests.end_to_end import commands


def arrays(workdir):
    with np.load(workdir / "distilled.npz") as stored:
        return {name: stored[name] for name in ("images", "label_logits", "step_size")}


def assert_same_set(one, other):
    for name, array in arrays(one).items():
        np.testing.assert_array_equal(array, arrays(other)[name], err_msg=name)


def test_a_run_writes_its_files(finished):
    report = json.loads((finished.workdir / "report.json").read_text())
    assert report["method"] == "dpd" and report["dataset"] == "digits" and report["ipc"] == 1
    for name in ("accuracy", "random_real"):
        assert len(report[name]["runs"]) == 2
        assert np.isclose(report[name]["mean"], np.mean(report[name]["runs"]))
        assert np.isclose(report[name]["std"], np.std(report[name]["runs"]))
    assert set(report["seconds"]) == {"forecast", "experts", "distill", "evaluate"}
    assert report["expert_store"]["directory"] == str(finished.store)
    assert f"2 in {finished.store}, trained by this run" in finished.text
    assert report["peak_memory_bytes"] > 0
    lines = (finished.workdir / "metrics.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in lines]
    assert [line["step"] for line in lines] == list(range(1, 25))
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds) and 0 < seconds[-1] <= report["seconds"]["distill"] + 0.1
    assert json.loads((finished.workdir / "config.json").read_text())["config"]["ipc"] == 1
    page = (finished.workdir / "report.html").read_text()
    for name in ("images", "curves", "pruning"):
        data = (finished.workdir / f"{name}.png").read_bytes()
        assert data[:4] == b"\x89PNG" and base64.b64encode(data).decode() in page
    for part in ("python -m experiments.distill", f"{100 * report['accuracy']['mean']:.2f} ±"):
        assert part in page
    assert "http" not in page.replace("data:image", ""), "nothing is loaded"
    # 200 images are 4 batches; 2 experts, 2 epochs.
    assert "2 to train, 16 steps of" in finished.text and "24 steps of" in finished.text
    assert "test accuracy" in finished.text and "random real images" in finished.text


def test_the_same_command_again_has_nothing_to_do(finished, tmp_path):
    workdir = shutil.copytree(finished.workdir, tmp_path / "run")
    before = (workdir / "distilled.npz").stat().st_mtime_ns
    status, text = commands.run_copy(
        "distill",
        *commands.TINY,
        f"--workdir={workdir}",
        f"--experts_dir={finished.experts}",
    )
    assert status == 0 and "finished" in text
    assert (workdir / "distilled.npz").stat().st_mtime_ns == before


def test_lost_files_of_a_finished_run_are_made_again(finished, tmp_path):
    workdir = shutil.copytree(finished.workdir, tmp_path / "run")
    (workdir / "images.png").unlink()
    (workdir / "distilled.npz").write_bytes(b"damaged")
    status, text = commands.run_copy(
        "distill",
        *commands.TINY,
        "--config.distill.iterations=20",  # The run was extended to 24 since.
        f"--workdir={workdir}",
        f"--experts_dir={finished.experts}",
    )
    assert status == 0 and "continuing from step 24, which is beyond" in text, text
    assert_same_set(workdir, finished.workdir)
    assert (workdir / "images.png").exists()


def test_help_shows_all_flags():
    status, text = commands.run_copy("sweep", "--help")
    assert status == 0
    flags = ("config", "data_dir", "experts_dir", "cache_dir", "workdir", "over")
    assert all(f"\n  --{flag}: " in text for flag in flags), text


def stopped_at(workdir, experts, step, number):
    """Starts a run and sends it a signal once it has logged `step`."""
    process = commands.start(
        "distill",
        *commands.TINY,
        f"--workdir={workdir}",
        f"--experts_dir={experts}",
    )
    metrics, until = workdir / "metrics.jsonl", time.monotonic() + 300
    while time.monotonic() < until and process.poll() is None:
        if metrics.exists() and len(metrics.read_text().splitlines()) >= step:
            process.send_signal(number)
            break
        time.sleep(0.002)
    return process.communicate(timeout=120)[1], process.returncode


def test_killed_and_continued_is_the_same_to_the_bit(finished, tmp_path):
    workdir = tmp_path / "killed"
    _, status = stopped_at(workdir, finished.experts, 9, signal.SIGKILL)
    assert status in (-signal.SIGKILL, 0)
    status, text = commands.run_copy(
        "distill",
        *commands.TINY,
        f"--workdir={workdir}",
        f"--experts_dir={finished.experts}",
    )
    assert status == 0, text
    assert_same_set(workdir, finished.workdir)
    steps = [json.loads(x)["step"] for x in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 25))


def test_ctrl_c_saves_and_says_how_to_continue(finished, tmp_path):
    workdir = tmp_path / "interrupted"
    text, status = stopped_at(workdir, finished.experts, 2, signal.SIGINT)
    if status == 0:  # It had finished before the signal came.
        assert_same_set(workdir, finished.workdir)
        return
    assert status == 130 and "Traceback" not in text, text
    assert "python -m experiments.distill" in text and "saved at step" in text
    saved = int(re.search(r"saved at step (\d+)", text)[1])
    assert distilled_set.read(workdir / "distilled.npz").provenance["steps"] == saved
    assert (workdir / "curves.png").exists() and (workdir / "images.png").exists()
    status, text = commands.run_copy(
        "distill",
        *commands.TINY,
        f"--workdir={workdir}",
        f"--experts_dir={finished.experts}",
    )
    assert status == 0 and "continuing from step" in text, text
    left = 24 - int(re.search(r"continuing from step (\d+)", text)[1])
    assert f" {left} steps of" in text and "to train" not in text, text
    assert_same_set(workdir, finished.workdir)


def test_experts_and_evaluation_alone(finished):
    status, text = commands.run_copy(
        "train_experts", *commands.TINY, f"--experts_dir={finished.experts}"
    )
    assert status == 0 and "2 experts, epochs 0 to 2" in text, text
    status, text = commands.run_copy(
        "evaluate",
        *commands.TINY,
        f"--distilled={finished.workdir / 'distilled.npz'}",
    )
    report = json.loads((finished.workdir / "report.json").read_text())
    assert status == 0, text
    # The test images enter model space through the file's own matrix: the same to rounding.
    assert f"{100 * report['accuracy']['runs'][0]:.2f}" in text, text
    accuracy = f"{100 * report['accuracy']['mean']:.2f} ± {100 * report['accuracy']['std']:.2f} %"
    assert f"stored when it was made: {accuracy} (2 networks)" in text, text


def test_a_sweep_is_of_ordinary_runs_and_survives_one_that_fails(finished, tmp_path):
    status, text = commands.run_copy(
        "sweep",
        *commands.TINY,
        "--config.guard.patience=6",
        "--over=distill.lr_img=0.02,1e6",
        f"--workdir={tmp_path}",
        f"--experts_dir={finished.experts}",
    )
    assert status == 2, text
    commands.refused(text, "1 of 2 runs could not be done", "lr_img=1000000", "the images moved")
    # The config's own learning rate: the run that was done alone, to the bit.
    assert_same_set(tmp_path / "lr_img=0.02" / "seed=0", finished.workdir)
    table = (tmp_path / "table.md").read_text()
    report = json.loads((finished.workdir / "report.json").read_text())
    assert f"| 0.02 | {100 * report['accuracy']['mean']:.2f} % | 1 |" in table, table
    assert "* lr_img=1000000, seed 0: stopped at step" in table
    assert (tmp_path / "plot.png").exists()
    assert (finished.workdir / "pruning.png").read_bytes()[:4] == b"\x89PNG"


TABLE = """
PAPER = "Nobody, Table 1"
NETWORKS = ("convnet", "mlp")
OVER = ({"config": ("digits_ipc1",), "method": ("random", "datm")},)
CLAIMED = {("digits_ipc1", "datm"): {"convnet": "91.0 ± 0.5", "mlp": "80.1"}}
"""


@pytest.mark.slow
def test_a_table_of_a_paper_is_one_command(finished, tmp_path):
    file = tmp_path / "nobody_table1.py"
    file.write_text(TABLE)
    work = tmp_path / "work"
    _, *values = commands.TINY
    arguments = [f"--sweep={file}", *values, f"--workdir={work}"]
    arguments.append(f"--experts_dir={finished.experts}")
    status, text = commands.run_copy("sweep", *arguments, "--dry_run")
    assert status == 0 and "2 runs, 2 of them missing" in text, text
    assert "config=digits_ipc1, method=datm, seed 0: missing" in text and not work.exists()

    status, text = commands.run_copy("sweep", *arguments)
    assert status == 0, text
    run = json.loads((work / "config=digits_ipc1,method=datm/seed=0/report.json").read_text())
    accuracy = f"{100 * run['accuracy']['mean']:.1f} ± {100 * run['accuracy']['std']:.1f} (2)"
    table = (work / "nobody_table1" / "networks.md").read_text()
    # The network of the config, trained once more in the same way.
    assert f"| digits_ipc1 | datm | {accuracy} | 91.0 ± 0.5 |" in table, table
    assert table in text and "claimed (Nobody, Table 1), %" in table
    rows = (work / "nobody_table1" / "networks.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 2 and rows[-1].endswith(",80.1"), rows

    results = work / "nobody_table1" / "networks" / "results.json"
    before = results.stat().st_mtime_ns
    status, text = commands.run_copy("sweep", *arguments)
    assert status == 0 and "2 runs, 0 of them missing" in text and table in text, text
    assert results.stat().st_mtime_ns == before, "no network was trained again"
