"""What every command shares: what it says of itself and of flags, without starting one."""

import shlex
import sys

from experiments import command


def test_the_command_can_be_pasted_into_a_shell(monkeypatch):
    typed = ["--config.matching.masks=('loss', 'ratio')", "--over=data.train_split=train[:50%]"]
    monkeypatch.setattr(sys, "argv", ["/somewhere/experiments/sweep.py", *typed])
    assert shlex.split(command.line()) == ["python", "-m", "experiments.sweep", *typed]
