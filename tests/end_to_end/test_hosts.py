"""Several processes, each with devices of its own, take the outer steps of one command."""

import signal
import socket
import time

import numpy as np
import pytest

from dpd_jax.runs.workdir import read_metrics
from tests.end_to_end import commands

STEPS = 40
SEGMENTS = ("--config.distill.segments=4", f"--config.distill.iterations={STEPS}")


def start(workdir, experts, *arguments):
    """The two processes of one command."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    return [
        commands.start(
            "distill",
            *commands.TINY,
            *SEGMENTS,
            *arguments,
            f"--workdir={workdir}",
            f"--experts_dir={experts}",
            f"--hosts={address},2,{number}",
        )
        for number in range(2)
    ]


def ended(processes):
    """The exit status of each process, and what it printed."""
    try:
        texts = ["".join(process.communicate(timeout=1200)) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], texts


def losses(workdir):
    return [line["loss"] for line in read_metrics(workdir)]


@pytest.mark.slow
def test_two_processes_do_the_run_of_one_and_stop_together(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "2")
    workdir = tmp_path / "two"
    processes = start(workdir, tmp_path / "experts", "--config.distill.devices=4")
    while all(process.poll() is None for process in processes):
        if losses(workdir)[5:]:
            break
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGINT)
    status, texts = ended(processes)
    assert status == [130, 130], texts
    assert "saved at step" in texts[0] and "stopping after this step" in texts[1], texts
    assert not any("Traceback" in text for text in texts), texts

    status, texts = ended(start(workdir, tmp_path / "experts", "--config.distill.devices=4"))
    assert status == [0, 0], texts
    assert "continuing from step" in texts[0] and "test accuracy" in texts[0], texts
    assert "test accuracy" not in texts[1].partition("takes part in")[2], texts

    one = tmp_path / "one"
    arguments = (f"--workdir={one}", f"--experts_dir={tmp_path / 'experts'}")
    status, text = commands.run("distill", *commands.TINY, *SEGMENTS, *arguments)
    assert status == 0, text
    assert len(losses(workdir)) == STEPS
    np.testing.assert_allclose(losses(workdir), losses(one), rtol=1e-5)


@pytest.mark.slow
def test_a_mistake_ends_all_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "2")
    status, texts = ended(start(tmp_path, tmp_path / "experts", "--config.distill.devices=2"))
    assert status == [2, 2], texts
    for text in texts:
        commands.refused(text, "have 4 devices together", "--config.distill.devices=4")
