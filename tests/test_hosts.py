"""What --hosts accepts, and how the processes of a group tell each other how they end."""

import threading

import jax
import numpy as np
import pytest

from dpd_jax.errors import UserError
from dpd_jax.runs import hosts


@pytest.mark.parametrize("text", ["a", "a:1,2", "a,2,0", "a:1,2,0,0", "a:1,x,0", "a:1,2,"])
def test_other_texts_are_refused(text):
    with pytest.raises(UserError, match="must be auto"):
        hosts.join(text)


def test_processes_are_numbered_from_0():
    with pytest.raises(UserError, match="numbered from 0 to 1"):
        hosts.join("a:1,2,2")


@pytest.fixture
def together(monkeypatch):
    """Runs a function in each of three threads, which take the place of processes."""
    here, barrier, parts = threading.local(), threading.Barrier(3, timeout=30), {}
    left = []

    def gather(array):
        barrier.wait()
        parts[here.number] = array
        barrier.wait()
        return np.stack([parts[number] for number in range(3)])

    monkeypatch.setattr(jax, "process_count", lambda: 3)
    monkeypatch.setattr(jax, "process_index", lambda: here.number)
    monkeypatch.setattr(hosts.multihost_utils, "process_allgather", gather)
    monkeypatch.setattr(jax.distributed, "shutdown", lambda: left.append(here.number))

    def run(*functions):
        ended: list = [None] * 3

        def work(number):
            here.number = number
            try:
                with hosts.group() as group:
                    ended[number] = functions[number](group)
            except BaseException as error:
                ended[number] = error

        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(left) == [0, 1, 2], "all have left the group"
        return ended

    return run


def listening(group, asked=()):
    heard = []
    while "end" not in (message := group.hear(asked=len(heard) in asked)):
        heard.append(message)
    return heard, message["end"]


def test_the_first_process_is_heard_by_all_until_it_ends(together):
    def lead(group):
        return [group.tell({"step": step}) for step in range(3)]

    first, *others = together(lead, listening, lambda group: listening(group, asked=(1,)))
    assert first == [False, True, False]
    assert others == [([{"step": step} for step in range(3)], "finished")] * 2


def test_a_failure_of_the_first_process_ends_all(together):
    def lead(group):
        group.tell({"step": 0})
        raise UserError("of the first")

    first, *others = together(lead, listening, listening)
    assert str(first) == "of the first" and others == [([{"step": 0}], "failed")] * 2


def test_a_failure_of_another_process_is_told_by_the_first(together):
    def lead(group):
        while True:
            group.tell({"step": 0})

    def fail(group):
        group.hear()
        raise UserError("of another")

    ended = together(lead, listening, fail)
    assert "process 2 of --hosts has failed: of another" in str(ended[0]) == str(ended[1])
    assert str(ended[2]) == "of another"
