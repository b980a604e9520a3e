"""One tiny finished run that all tests of this folder share. Tests do not change it."""

import types

import filelock
import pytest

from tests.end_to_end import commands


@pytest.fixture(scope="session")
def finished(shared):
    """A finished tiny run: its workdir, its experts and their store, what it printed."""
    workdir, experts = shared / "finished" / "tiny", shared / "finished" / "experts"
    printed = shared / "finished.txt"
    with filelock.FileLock(shared / "finished.lock"):  # The first process makes the run.
        if not printed.exists():
            status, text = commands.run(
                "distill", *commands.TINY, f"--workdir={workdir}", f"--experts_dir={experts}"
            )
            assert status == 0, text
            printed.write_text(text, encoding="utf-8")
    (store,) = experts.glob("gsam-*")
    return types.SimpleNamespace(
        workdir=workdir, experts=experts, store=store, text=printed.read_text(encoding="utf-8")
    )
