"""Compares runs by their accuracy on validation images over time, experts included.

    python -m experiments.progress --runs=runs/digits_ipc1-dpd,runs/digits_ipc1-mtt

The runs are made with --config.data.validation_share and --config.evaluate.every, and may still be
going on. Writes progress.md and progress.png into --workdir.
"""

import pathlib

from absl import flags

from dpd_jax.errors import UserError, check_range
from dpd_jax.runs import console
from dpd_jax.sweeps import progress

from . import _cli

RUNS = flags.DEFINE_list("runs", None, "The folders of the runs.")
ACCURACIES = flags.DEFINE_list(
    "accuracies",
    [],
    "Whose minutes are in the table, e.g. 0.5,0.6 (default: 80, 90, 95 and 100 % of the accuracy "
    "that every run reaches).",
)


def main() -> None:
    if not RUNS.value:
        raise UserError("no --runs given. Name the folders of runs, --runs=runs/A,runs/B.")
    try:
        accuracies = [float(text) for text in ACCURACIES.value]
    except ValueError as error:
        raise UserError(f"--accuracies must be numbers such as 0.5,0.6: {error}.") from None
    for accuracy in accuracies:
        check_range("--accuracies", accuracy, "(0, 1]")
    folder = _cli.WORKDIR.value or pathlib.Path("runs/progress")
    runs = [progress.read(pathlib.Path(name).expanduser()) for name in RUNS.value]
    title = f"{runs[0].images['name']}: accuracy over time"
    console.result(progress.compare(runs, accuracies, folder, title).rstrip())
    console.say(f"{folder / 'progress.md'}, progress.png")


if __name__ == "__main__":
    _cli.run(main, _cli.WORKDIR, needs_config=False)
