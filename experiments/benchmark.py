"""Measures the speed and the memory of the work of a config on this machine.

    python -m experiments.benchmark --config=configs/cifar10_ipc1.py --json=FILE
    python -m experiments.benchmark --config=configs/cifar10_ipc1.py \\
        --what=distill_step --gradient=exact --steps=10 --json=FILE

Needs no data: shapes come from the config, images and weights are random. It times
the compiled functions of a run:

    distill_step     the outer step, for each of --gradient x --steps x --batch,
                     with the augmentation off and on
    expert_training  training steps of experts
    evaluation       training epochs of the networks of an evaluation, without their test
    store_read       reading the segments of an outer step from disk, without our cache

Each has a row in the table and an object in FILE, with at least

    what, gradient, steps, batch, width
    augmentation     whether it was on
    seconds          median of `repetitions`; of all `steps`, `segments` or `networks` together
    flops            its operations, counted as in `dpd_jax/flops.py`
    temp_bytes       temporary memory, as counted by XLA
    matmul_flops_per_second   rate of the float32 matrix product, measured in between
    fraction_of_matmul        flops / seconds / that rate
    compile_seconds  without the cache on disk that runs use
    host_share       host_seconds / seconds: reading the segments of a step from disk, which a run
                     does during the step before; host_share_cached: from memory
    noise            the range of the middle four fifths of the product's rates, over their median
    error            the reason if there are no seconds

    python -m experiments.benchmark --config=configs/cifar10_ipc1.py:datm --plan=h100

shows what XLA makes of the outer step on a GPU that need not be there (docs/devices.md).

    python -m experiments.benchmark --battery --json=FILE --minutes=60 --data_dir=FOLDER

shows what this device can do: tests of the numbers, outer steps of CIFAR-10 and CIFAR-100 (beside
PyTorch's, if it is installed), experts, and whole runs of CIFAR-10 with one image per class. The
same command goes on with what has not finished. FILE without its ending is the folder of the runs.
With --config it is all about that config.
"""

import pathlib
import sys

import jax
from absl import flags

from dpd_jax.benchmarks import battery, device, parts, plan, timing
from dpd_jax.benchmarks import table as table_lib
from dpd_jax.benchmarks.cases import WORKS, Sweep
from dpd_jax.errors import UserError, check_choice
from dpd_jax.runs import console
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.workdir import versions, write_json
from dpd_jax.student import GRADIENTS

from . import _arguments, _cli

WHAT = flags.DEFINE_list("what", list(WORKS), "The works to time.")
GRADIENT = flags.DEFINE_list("gradient", list(GRADIENTS), "distill_step: the gradient modes.")
STEPS = flags.DEFINE_list(
    "steps", None, "distill_step: student steps N (default: 10 and 20, or the config's if fewer)."
)
BATCH = flags.DEFINE_list(
    "batch", None, "distill_step: synthetic images a student step (default: the config's)."
)
JSON = _cli.define_path(
    "json", None, "The file for the figures (--battery: runs/battery.json if none is named)."
)
PLAN = flags.DEFINE_string(
    "plan",
    None,
    "Times nothing, but compiles the config's outer step for this GPU (h100), without having one, "
    "and counts its kernels.",
)
BATTERY = flags.DEFINE_bool("battery", False, "Does all that shows what this device can do.")
MINUTES = flags.DEFINE_float(
    "minutes", 0.0, "--battery: the time for all of it; 0 = that of its parts.", lower_bound=0.0
)
PARTS = flags.DEFINE_list("parts", list(battery.SHARES), "--battery: what it does.")


def main() -> None:
    if BATTERY.value:
        _battery()
        return
    experiment = Experiment.from_config(_cli.config())
    choices = sweep(experiment)
    path = _json_file()
    jax.config.update("jax_enable_compilation_cache", False)  # Compilation is timed too.
    if PLAN.value:
        with console.note(f"compiling an outer step for {PLAN.value}"):
            planned = plan.outer_step(experiment.config, PLAN.value)
        if path:
            write_json(path, [planned])
        console.result(f"{_cli.line()}\n{plan.text(planned)}")
        return
    product = device.float32_product()
    rows = []
    for what in dict.fromkeys(WHAT.value):
        for group in WORKS[what](experiment, choices):
            for row in timing.measure(group, product):
                rows.append(_finished(row))
                console.say(table_lib.sentence(row))
            for row in rows:
                row["noise"] = product.spread
            if path:  # After each group, so that an interrupted benchmark keeps its rows.
                write_json(path, rows)
    table = table_lib.text(rows)
    console.result(f"{_cli.line()}\n{device.name()}\n{product}\n\n{table}")


def _leave_devices_alone() -> None:
    """The battery runs on the CPU: the memory of devices is for its parts."""
    if BATTERY.value:
        jax.config.update("jax_platforms", "cpu")


def _battery() -> None:
    """Runs the battery."""
    for name in PARTS.value:
        check_choice("--parts", name, battery.SHARES)
    for name in GRADIENT.value:
        check_choice("--gradient", name, GRADIENTS)
    config, (given, _) = _cli.config(), _cli.given_config()
    file, typed = given.partition(":")[0], _cli.config_is_given()
    own = [parts.Case(pathlib.Path(file).stem, given, config.student.syn_steps)]
    path = _json_file() or pathlib.Path("runs/battery.json")
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    shared = [f"--cache_dir={_cli.cache_dir()}"]
    shared += [f"--data_dir={_cli.DATA_DIR.value}"] if _cli.DATA_DIR.value else []
    settings = parts.Settings(
        package=str(__package__),
        folder=folder,
        tests=pathlib.Path(__file__).parents[1] / "tests",
        config=file,
        reduction=config.scale if config.scale != "paper" else "",
        cases=own if typed else parts.CASES,
        gradients=",".join(GRADIENT.value),
        with_torch=not typed,
        flags=[each for each in sys.argv[1:] if each.startswith("--config.")] + shared,
        run_flags=[f"--experts_dir={_cli.EXPERTS_DIR.value}"],
    )
    chosen = [part for part in parts.make(settings) if part.kind in PARTS.value]
    about = {"device": device.name_elsewhere(), "versions": versions(), "command": _cli.line()}
    console.say(f"{about['device']}: {len(chosen)} parts -> {path}, {folder}")
    results = battery.run(chosen, path, about, MINUTES.value)
    console.result(f"{_cli.line()}\n{about['device']}\n\n{battery.markdown(results)}")


def _json_file() -> pathlib.Path | None:
    """The file of --json, checked before anything is measured."""
    if path := JSON.value:
        if path.is_dir():
            raise UserError(f"--json={path} is a folder; name a file for the figures.")
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


def sweep(experiment: Experiment) -> Sweep:
    """The sweep of the flags; the config gives the default."""
    for flag, known in ((WHAT, WORKS), (GRADIENT, GRADIENTS)):
        for name in flag.value or [""]:
            check_choice(f"--{flag.name}", name, known)
    for flag in (STEPS, BATCH):
        if not all(text.isdecimal() and int(text) > 0 for text in flag.value or ()):
            raise UserError(f"--{flag.name} must be whole numbers above 0.")
    usual = {min(steps, experiment.student.syn_steps) for steps in (10, 20)}
    return Sweep(
        gradients=tuple(dict.fromkeys(GRADIENT.value)),
        steps=tuple(map(int, STEPS.value or sorted(usual))),
        batches=tuple(
            map(int, BATCH.value or [min(experiment.student.batch_syn, experiment.num_images)])
        ),
    )


def _finished(row: dict) -> dict:
    row["device"] = device.name()
    for kind in ("", "_cached"):
        if row["seconds"] and f"host_seconds{kind}" in row:
            row[f"host_share{kind}"] = row[f"host_seconds{kind}"] / row["seconds"]
    return row


def _config_of(argv: list[str]) -> str:
    """The battery's config."""
    return "" if _arguments.typed(argv, "battery") is None else "cifar10_ipc1"


if __name__ == "__main__":
    _cli.run(main, _cli.EXPERTS_DIR, config_of=_config_of, prepare=_leave_devices_alone)
