import multiprocessing
import pathlib

import pytest

from configs import digits_ipc1
from dpd_jax.errors import UserError
from experiments import build, distill, lock, report, teachers
from experiments.sources import Sources
from experiments.workdir import Workdir


def hold(folder, held, release):
    with lock.alone(folder, "--workdir"), lock.in_turn(folder, "--experts_dir", "at work"):
        held.set()
        release.wait(60)


@pytest.fixture
def other(tmp_path):
    """Another process that holds tmp_path/run; a call ends it."""
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path / "run", held, release))
    process.start()
    assert held.wait(60)
    yield release.set
    release.set()
    process.join()


def test_a_folder_in_use_is_refused_until_its_holder_ends(tmp_path, other):
    with pytest.raises(lock.Busy, match="another process is at work in .*run.*with --workdir"):
        with lock.alone(tmp_path / "run", "--workdir"):
            pass
    with lock.alone(tmp_path / "elsewhere", "--workdir"):
        pass


def test_a_folder_in_use_is_waited_for_and_that_is_said(tmp_path, other, capsys, monkeypatch):
    acquired = lock._acquired

    def acquire(path, flag, blocking):
        if blocking:
            other()
        return acquired(path, flag, blocking)

    monkeypatch.setattr(lock, "_acquired", acquire)
    with lock.in_turn(tmp_path / "run", "--experts_dir", "training experts"):
        said = capsys.readouterr().err
        assert said.startswith("waiting for another process, training experts in ")


def test_nothing_is_said_and_nothing_left_where_nobody_waits(tmp_path, capsys):
    for _ in range(2):
        with lock.in_turn(tmp_path / "a" / "b", "--experts_dir", "training experts"):
            pass
        assert not (tmp_path / "a" / "b").exists()
    with pytest.raises(ZeroDivisionError), lock.alone(tmp_path / "c", "--workdir"):
        (tmp_path / "c" / "work").touch()
        raise ZeroDivisionError
    assert (tmp_path / "c" / "work").exists()
    with lock.alone(tmp_path / "c", "--workdir"):
        pass
    assert capsys.readouterr().err == ""


def test_a_folder_that_cannot_be_is_told(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", pathlib.Path("/proc/nobody/run")):
        with pytest.raises(UserError, match=f"{folder} cannot be written or locked .*--workdir"):
            with lock.alone(folder, "--workdir"):
                pass


def test_what_another_process_did_meanwhile_is_not_done_again(tmp_path, monkeypatch):
    plan = build.plan(digits_ipc1.get_config())
    store = teachers.TrajectoryStore(tmp_path / "experts", {}, "float32")
    looks = [[0, 1], []]  # Lacking before the turn came, there after.
    monkeypatch.setattr(teachers, "missing", lambda plan, store: looks.pop(0))
    assert teachers.provide(plan, None, store, plan.epochs_read) == list(range(6))
    assert looks == []

    monkeypatch.setattr(report, "finished", lambda workdir, config: True)
    sources = Sources(None, tmp_path, tmp_path / "experts")
    distill.run(plan, Workdir(tmp_path / "run", plan.config), sources)
    assert not (tmp_path / "run").exists(), "nothing was begun"
