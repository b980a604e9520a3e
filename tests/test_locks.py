import contextlib
import multiprocessing
import pathlib
import time
import types

import pytest

from configs import digits_ipc1
from dpd_jax.errors import UserError
from dpd_jax.runs import console, expert_training, loop, report
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.sources import Sources
from dpd_jax.runs.workdir import Workdir
from dpd_jax.storage import locks


def hold(folder, held, release):
    with (
        locks.alone(folder, "--workdir"),
        locks.in_turn(folder, "--experts_dir", "at work", contextlib.nullcontext),
    ):
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
    with pytest.raises(locks.Busy, match="another process is at work in .*run.*with --workdir"):
        with locks.alone(tmp_path / "run", "--workdir"):
            pass
    with locks.alone(tmp_path / "elsewhere", "--workdir"):
        pass


def test_a_process_waits_for_a_folder_in_use_and_says_so(tmp_path, other, capsys, monkeypatch):
    acquired = locks._acquired

    def acquire(path, flag, blocking):
        if blocking:
            other()
        return acquired(path, flag, blocking)

    monkeypatch.setattr(locks, "_acquired", acquire)
    with locks.in_turn(tmp_path / "run", "--experts_dir", "training experts", console.note):
        said = capsys.readouterr().err
        assert said.startswith("waiting for another process, training experts in ")


def claim_first(folder, held):
    with locks.claimed(folder, "--experts_dir", [0, 1, 2], 1, "ours"):
        held.set()
        time.sleep(60)


def test_work_is_claimed_by_one_process_until_that_ends(tmp_path):
    def claimed(settings, most=3):
        return locks.claimed(tmp_path / "experts", "--experts_dir", [0, 1, 2], most, settings)

    context = multiprocessing.get_context("spawn")
    held = context.Event()
    other = context.Process(target=claim_first, args=(tmp_path / "experts", held))
    other.start()
    try:
        assert held.wait(60)
        with claimed("ours", most=1) as one, claimed("ours") as rest, claimed("ours") as nothing:
            assert (one, rest, nothing) == ([1], [2], [])
        with pytest.raises(locks.Busy, match="at work in .*experts with other settings"):
            with claimed("others"):
                pass
    finally:
        other.kill()
        other.join()
    with claimed("others") as everything:
        assert everything == [0, 1, 2]
    assert not (tmp_path / "experts").exists(), "nothing is left of the killed process"
    with locks.together(tmp_path / "experts", "--experts_dir", "ours"):
        with locks.together(tmp_path / "experts", "--experts_dir", "ours"), claimed("ours") as all:
            assert all == [0, 1, 2]
        with pytest.raises(locks.Busy), claimed("others"):
            pass
    assert not (tmp_path / "experts").exists()


def test_a_free_folder_needs_no_message_and_an_empty_one_is_removed(tmp_path, capsys):
    for _ in range(2):
        with locks.in_turn(
            tmp_path / "a" / "b", "--experts_dir", "training experts", contextlib.nullcontext
        ):
            pass
        assert not (tmp_path / "a" / "b").exists()
    with pytest.raises(ZeroDivisionError), locks.alone(tmp_path / "c", "--workdir"):
        (tmp_path / "c" / "work").touch()
        raise ZeroDivisionError
    assert (tmp_path / "c" / "work").exists()
    with locks.alone(tmp_path / "c", "--workdir"):
        pass
    assert capsys.readouterr().err == ""


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", pathlib.Path("/proc/nobody/run")):
        with pytest.raises(UserError, match=f"{folder} cannot be written or locked .*--workdir"):
            with locks.alone(folder, "--workdir"):
                pass


def test_a_folder_within_one_that_may_not_be_searched_is_an_error(tmp_path, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "mkdir", denied)
    monkeypatch.setattr(pathlib.Path, "is_dir", denied)
    with pytest.raises(UserError, match="Permission denied"), locks.alone(tmp_path, "--workdir"):
        pass


def test_a_folder_that_is_removed_while_it_is_made_is_made_again(tmp_path, monkeypatch):
    made, make = [], pathlib.Path.mkdir

    def mkdir(folder, *args, **options):
        made.append(folder)
        if len(made) == 1:
            raise FileExistsError(17, "File exists")
        make(folder, *args, **options)

    monkeypatch.setattr(pathlib.Path, "mkdir", mkdir)
    with locks.alone(tmp_path / "run", "--workdir"):
        assert (tmp_path / "run").is_dir() and len(made) > 1
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="File exists"), locks.alone(tmp_path / "link", "--workdir"):
        pass


def test_work_of_another_process_is_not_repeated(tmp_path, monkeypatch):
    experiment = Experiment.from_config(digits_ipc1.get_config())
    store = expert_training.TrajectoryStore(tmp_path / "experts", {}, "float32")
    looks = [[0, 1], []]  # Lacking before the turn came, there after.
    monkeypatch.setattr(expert_training, "missing", lambda experiment, store: looks.pop(0))
    data = types.SimpleNamespace(train=range(3), fingerprint="of three")
    used = expert_training.provide(experiment, data, store, experiment.epochs_read)
    assert used == list(range(6))
    assert looks == []

    monkeypatch.setattr(report, "complete", lambda workdir, config: True)
    sources = Sources(None, tmp_path, tmp_path / "experts")
    loop.run(experiment, Workdir(tmp_path / "run", experiment.config), sources)
    assert not (tmp_path / "run").exists(), "nothing was begun"
