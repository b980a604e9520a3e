import multiprocessing

import pytest

from dpd_jax.errors import UserError
from experiments import lock


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
    with pytest.raises(UserError, match="file cannot be written or locked .*with --workdir"):
        with lock.alone(tmp_path / "file", "--workdir"):
            pass
