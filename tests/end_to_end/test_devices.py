"""Commands in several processes: they share the work, and leave the files of one."""

import os
import time

import pytest

from tests.end_to_end import commands

NETWORKS = ("--networks=mlp,convnet", "--config.evaluate.num_networks=3")


def work(finished, folder, *arguments):
    """The arguments of an evaluation."""
    path = finished.workdir / "distilled.npz"
    return "evaluate", *commands.TINY, *NETWORKS, f"--distilled={path}", f"--workdir={folder}"


def test_where_devices_are_not_shared_is_said(finished):
    set_file = f"--distilled={finished.workdir / 'distilled.npz'}"
    for command, arguments, message in (
        ("distill", (), "this command has no --devices"),
        ("evaluate", (set_file,), "Add --networks=convnet, or --scores"),
        ("sweep", ("--over=ipc=1", "--devices=0"), "--devices=0 must be a number from 1, or all"),
    ):
        status, text = commands.run_copy(command, *commands.TINY, "--devices=2", *arguments)
        assert status == 2
        commands.refused(text, message)


@pytest.mark.slow
def test_processes_share_an_evaluation_and_take_over_what_a_killed_one_left(finished, tmp_path):
    status, text = commands.run(*work(finished, tmp_path / "one"))
    assert status == 0, text

    def table(text):
        return [line for line in text.splitlines() if line.startswith("|")]

    def claims(folder):
        return len(list(folder.glob(".claim-*")))

    # Each process has two: that of its command, and that of its network.
    killed = commands.start(*work(finished, tmp_path / "two"))
    while claims(tmp_path / "two") < 2:
        assert killed.poll() is None
        time.sleep(0.01)
    other = commands.start(*work(finished, tmp_path / "two"))
    while claims(tmp_path / "two") < 3 and killed.poll() is None:
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    out, err = other.communicate(timeout=400)
    assert other.returncode == 0 and len(table(out)) == 4 and table(out) == table(text), err
    files = [(tmp_path / name / "results.json").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="two processes need two cores")
def test_two_devices_do_what_one_does(finished, tmp_path):
    sweep = ("sweep", *commands.TINY, *NETWORKS, "--over=matching.pruning_rate=0,0.1")
    for run, names in (
        (lambda folder, *more: (*work(finished, folder), *more), ["results.json", "table.md"]),
        (
            lambda folder, *more: (*sweep, f"--workdir={folder}", *more),
            ["networks/results.json", "networks.csv"],
        ),
    ):
        found = []
        for devices in ("1", "2"):
            folder = tmp_path / names[0].replace("/", "-") / devices
            status, text = commands.run(*run(folder, *["--devices=2"][: int(devices) - 1]))
            assert status == 0, text
            assert ("all devices: 100%" in text) == (devices == "2")
            found.append([(folder / name).read_text(encoding="utf-8") for name in names])
        assert found[0] == found[1]
