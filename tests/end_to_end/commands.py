"""Runs the commands on a tiny experiment, each in a process of its own."""

import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile

REPOSITORY = pathlib.Path(__file__).parents[2]
# Not imported from tests/conftest.py: commands must not get the settings of the tests.
SHARED = pathlib.Path(os.environ["DPD_TEST_RUN"])

# The digits experiment, cut down until it takes seconds; its accuracy means nothing.
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

# Imports take most of the time of a short command. A server process does them once, before JAX
# starts a device, and every command is a copy of it. No module here may define a flag.
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["experiments._cli", "dpd_jax.runs.loop", "dpd_jax.runs.sources", "dpd_jax.sweeps.runner"]
)


def start(command: str, *arguments: object, as_shipped: bool = False) -> subprocess.Popen:
    """Starts `python -m experiments.<command>` at the repository's root.

    `as_shipped` compiles as for users, instead of quickly as for tests.
    """
    environment = dict(os.environ)
    if as_shipped:
        for name in ("JAX_DISABLE_MOST_OPTIMIZATIONS", "XLA_FLAGS"):
            environment.pop(name, None)
    return subprocess.Popen(
        [sys.executable, "-m", f"experiments.{command}", *_arguments(arguments)],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(command: str, *arguments: object, as_shipped: bool = False) -> tuple[int, str]:
    """Runs `python -m experiments.<command>` to its end: (exit status, what it printed)."""
    process = start(command, *arguments, as_shipped=as_shipped)
    out, err = process.communicate(timeout=400)
    return process.returncode, out + err


def run_copy(command: str, *arguments: object) -> tuple[int, str]:
    """Like `run`, in a copy of a process that has done the imports, which saves seconds."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "output"
        process = _SERVER.Process(target=_command, args=(command, _arguments(arguments), output))
        process.start()
        process.join(timeout=400)
        if process.exitcode is None:
            process.kill()
        return process.exitcode, output.read_text(encoding="utf-8")


def _arguments(arguments: tuple[object, ...]) -> list[str]:
    """With folders of the tests where none are given."""
    given = [*map(str, arguments), f"--cache_dir={SHARED}"]
    workdirs = [x.partition("=")[2] for x in given if x.startswith("--workdir=")]
    if workdirs and not any(argument.startswith("--experts_dir=") for argument in given):
        given.append(f"--experts_dir={workdirs[0]}/experts")
    return given


def _command(command: str, arguments: list[str], output: pathlib.Path) -> None:
    os.chdir(REPOSITORY)
    with output.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.argv = [command, *arguments]
    runpy.run_module(f"experiments.{command}", run_name="__main__", alter_sys=True)


def refused(text: str, *parts: str) -> None:
    """Asserts one message to the user, with these parts and without a traceback."""
    assert "Traceback" not in text, text
    assert "error:" in text or "FATAL" in text, text
    for part in parts:
        assert part in text, f"{part!r} is not in:\n{text}"
