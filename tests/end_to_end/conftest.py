"""One tiny finished run that the tests of this folder share, and one cache for all."""

import types

import pytest

from tests.end_to_end import commands


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def finished(tmp_path_factory, cache):
    """A finished tiny run: its workdir, its experts, what it printed."""
    workdir = tmp_path_factory.mktemp("runs") / "tiny"
    experts = workdir.parent / "experts"
    status, text = commands.run(
        "distill",
        *commands.TINY,
        f"--workdir={workdir}",
        f"--experts_dir={experts}",
        cache=cache,
    )
    assert status == 0, text
    return types.SimpleNamespace(workdir=workdir, experts=experts, text=text)
