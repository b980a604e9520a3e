"""Work that several processes share, and the processes of a command."""

import os
import sys
import threading

import pytest

from dpd_jax.errors import UserError
from dpd_jax.runs import shared_work, workers


def test_each_piece_of_work_is_done_once(tmp_path, monkeypatch):
    """By two threads, whose locks exclude each other as those of processes do."""
    monkeypatch.setattr(shared_work, "_WAIT", 0.01)
    done, waited, errors = [], [], []
    both = threading.Barrier(2, timeout=30)

    def work():
        def do(own):
            if not done:
                both.wait()  # Both have claimed their first piece.
            assert len(own) == 1
            done.extend(own)

        try:
            shared_work.share(
                lambda: [i for i in range(7) if i not in done],
                do,
                waited.append,
                folder=tmp_path / "experts",
                flag="--experts_dir",
                at_once=1,
                settings="",
            )
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors and sorted(done) == list(range(7))
    assert not (tmp_path / "experts").exists(), "no lock is left"


def test_processes_share_the_cores_and_a_failure_is_told_at_the_end(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(workers, "_present", lambda: ("cpu", 1))
    monkeypatch.setattr(workers, "_WAIT", 0.01)
    polls = []

    def run(program, devices):
        assert not workers.run([sys.executable, "-c", program], devices, lambda: polls.append(1))

    run(f"open('{tmp_path}/alone', 'x')", "all")
    assert (tmp_path / "alone").exists() and polls
    if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1:
        with pytest.raises(UserError) as failure:
            run("import os, time\ntime.sleep(1)\nprint(os.sched_getaffinity(0))\n1 / 0", "2")
        assert "ended with status 1:" in str(failure.value) and "Zero" in str(failure.value)
        assert f"{{{min(os.sched_getaffinity(0))}}}" in str(failure.value)
        with pytest.raises(UserError, match="^of a person$"):
            run(
                "import os, sys, time\n"
                f"try: os.mkdir('{tmp_path}/a')\n"
                f"except FileExistsError: time.sleep(1), os.mkdir('{tmp_path}/b'), sys.exit()\n"
                "sys.exit('\\nerror: of a person')",
                "2",
            )
        assert (tmp_path / "b").exists()
        killed = (
            "import os, signal\n"
            f"try: os.mkdir('{tmp_path}/d'), os.kill(os.getpid(), signal.SIGKILL)\n"
            "except FileExistsError: pass"
        )
        note = workers.run([sys.executable, "-c", killed], "2", lambda: None)
        assert "status -9" in note and note.endswith("have done its work.")
    with pytest.raises(KeyboardInterrupt):
        run(
            "import os, signal, time\n"
            "os.kill(os.getppid(), signal.SIGTERM)\n"
            f"time.sleep(5), os.mkdir('{tmp_path}/c')",
            "1",
        )
    assert not (tmp_path / "c").exists(), "the process has been ended"
    for devices, message in (("0", "from 1, or all"), ("x", "from 1"), ("999", "there are ")):
        with pytest.raises(UserError, match=message):
            run("", devices)
    assert capfd.readouterr().err == ""


def test_each_process_sees_one_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_present", lambda: ("gpu", 2))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    program = f"import os; open(f'{tmp_path}/' + os.environ['CUDA_VISIBLE_DEVICES'], 'x')"
    workers.run([sys.executable, "-c", program], "all", lambda: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["5", "7"]
