"""Runs the commands as a person does, in a process of their own, on a tiny experiment."""

import os
import pathlib
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).parents[2]

# The digits experiment, cut down until it takes seconds; nothing in it is about quality.
TINY = (
    "--config=configs/digits_ipc1.py",
    "--config.network.width=4",
    "--config.data.train_per_class=20",
    "--config.data.test_images=50",
    "--config.synthetic.init=real",
    "--config.experts.num_experts=2",
    "--config.curriculum.current_max_start_epoch=1",
    "--config.curriculum.max_start_epoch=1",
    "--config.student.syn_steps=3",
    "--config.distill.iterations=24",
    "--config.distill.checkpoint_every=4",
    "--config.distill.log_every=1",
    "--config.evaluate.num_networks=2",
    "--config.evaluate.epochs=3",
)


def start(
    command: str, *arguments: object, cache: pathlib.Path, as_shipped: bool = False
) -> subprocess.Popen:
    """Starts `python -m experiments.<command>` at the repository's root.

    `as_shipped` compiles as for users: the tests compile quickly and compute slowly.
    """
    environment = dict(os.environ)
    if as_shipped:
        environment.pop("JAX_DISABLE_MOST_OPTIMIZATIONS", None)
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            f"experiments.{command}",
            *map(str, arguments),
            f"--cache_dir={cache}",
        ],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(
    command: str, *arguments: object, cache: pathlib.Path, as_shipped: bool = False
) -> tuple[int, str]:
    """Runs to the end: (exit status, what it printed)."""
    process = start(command, *arguments, cache=cache, as_shipped=as_shipped)
    out, err = process.communicate(timeout=400)
    return process.returncode, out + err


def refused(text: str, *words: str) -> None:
    """Asserts a message for people: these words, and no traceback."""
    assert "Traceback" not in text, text
    assert "error:" in text or "FATAL" in text, text
    for word in words:
        assert word in text, f"{word!r} is not in:\n{text}"
