"""Mistakes of the user end in one message that says what to do, without a traceback."""

import shutil

import jax
import numpy as np
import pytest

from dpd_jax.storage import locks
from tests.end_to_end import commands


def distill(*arguments):
    return commands.run_copy("distill", *commands.TINY, *arguments)


@pytest.mark.parametrize(
    "argument, parts",
    [
        ("--config.data.name=cifar11", ["cifar11", "Did you mean", "cifar10", '"npz"']),
        ("--config.matching.pruning_rate=1.0", ["pruning_rate", "[0, 1)"]),
        ("--config.ipc=1000", ["ipc = 1000"]),
        ("--config.matching.prunning_rate=0.1", ["no such field", 'Did you mean "pruning_rate"']),
        ("--config.method=mtt", ["--config=configs/digits_ipc1.py:mtt"]),
        ("--config=configs/digits_ipc1.py:dmp", ["dmp", "dpd"]),
        ("--config=configs/digits_ipc7.py", ["digits_ipc7", "digits_ipc1"]),
        ("--config=configs/", ["configs is a folder", "digits_ipc1"]),
        ("--confg=1", ["confg"]),
        ("--lr_img=1", ["no flag --lr_img", "Did you mean --config.distill.lr_img?"]),
    ],
)
def test_an_impossible_value_or_flag(tmp_path, argument, parts):
    arguments = list(commands.TINY)
    if argument.startswith("--config="):
        arguments[0] = argument
    else:
        arguments.append(argument)
    if "data.name" in argument:
        arguments.append("--config.data.source=tfds")
    status, text = commands.run_copy("distill", *arguments, f"--workdir={tmp_path / 'run'}")
    assert status not in (0, None)
    commands.refused(text, *parts)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="there is an accelerator")
def test_a_platform_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    status, text = commands.run("distill", *commands.TINY, f"--workdir={tmp_path / 'run'}")
    assert status == 2
    commands.refused(text, "'cuda'", "JAX_PLATFORMS=cpu")


def test_an_empty_data_dir(tmp_path):
    status, text = commands.run_copy(
        "distill",
        "--config=configs/fashion_mnist_ipc1.py",
        f"--workdir={tmp_path / 'run'}",
        f"--data_dir={tmp_path}",
        "--config.data.name=mnist",
    )
    assert status == 2
    commands.refused(text, str(tmp_path), "mnist")


def test_a_damaged_expert_is_named_and_not_used(finished, tmp_path):
    experts = shutil.copytree(finished.store, tmp_path / "experts")
    files = [p for p in (experts / "expert_001").rglob("*") if p.is_file()]
    largest = max(files, key=lambda p: p.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 0xFF
    largest.write_bytes(data)
    status, text = distill(f"--workdir={tmp_path / 'run'}", f"--experts_dir={experts}")
    assert status == 2
    commands.refused(text, "expert_001")


def test_a_damaged_checkpoint_is_named(finished, tmp_path):
    workdir = shutil.copytree(finished.workdir, tmp_path / "run")
    (workdir / "report.json").unlink()
    newest = max((p for p in (workdir / "checkpoints").iterdir()), key=lambda p: int(p.name))
    for file in newest.rglob("d/*"):
        file.write_bytes(file.read_bytes()[:50])
    status, text = distill(f"--workdir={workdir}", f"--experts_dir={finished.experts}")
    assert status == 2
    commands.refused(text, str(newest), "Delete")


def test_a_workdir_of_another_config(finished, tmp_path):
    workdir = shutil.copytree(finished.workdir, tmp_path / "run")
    status, text = distill(
        f"--workdir={workdir}",
        f"--experts_dir={finished.experts}",
        "--config.matching.pruning_rate=0.2",
    )
    assert status == 2
    commands.refused(text, "matching.pruning_rate", "0.2", "--workdir")


def test_a_workdir_in_use_by_another_process(tmp_path):
    with locks.alone(tmp_path / "run", "--workdir"):
        status, text = distill(f"--workdir={tmp_path / 'run'}")
    assert status == 2
    commands.refused(text, "another process", "run", "--workdir")


def test_a_file_that_is_not_a_distilled_set(finished, tmp_path):
    fake = tmp_path / "fake.npz"
    fake.write_bytes(b"no archive")
    cut = tmp_path / "cut.npz"
    whole = (finished.workdir / "distilled.npz").read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    for path in (fake, cut):
        status, text = commands.run_copy("evaluate", *commands.TINY, f"--distilled={path}")
        assert status == 2
        commands.refused(text, str(path))


def test_a_run_without_progress_stops_with_its_last_good_set(finished, tmp_path):
    status, text = distill(
        f"--workdir={tmp_path / 'run'}",
        f"--experts_dir={finished.experts}",
        "--config.distill.lr_img=1e6",
        "--config.guard.patience=6",
    )
    assert status == 2
    commands.refused(
        text, "the images moved", "lower distill.lr_img", "steps in a row changed nothing"
    )
    with np.load(tmp_path / "run" / "distilled.npz") as stored:
        assert np.isfinite(stored["images"]).all()


def test_a_mistake_creates_no_workdir(finished, tmp_path):
    status, text = distill(f"--workdir={tmp_path / 'run'}", "--config.ipc=1000")
    assert status == 2
    assert not (tmp_path / "run").exists(), text
