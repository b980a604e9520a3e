"""What the battery does: its commands, from the cases of the papers or of one config."""

import importlib.util
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from dpd_jax.benchmarks.battery import Part

_METHODS = ("mtt", "datm", "dpd")  # of the whole runs
# Tests of the numbers and of the gradients; those of layout, files and messages are no device's.
_TESTS = ("golden", "test_student.py", "test_matching.py", "test_augment.py", "test_networks.py")
# Precisions and convolutions; the first is the default of GPUs.
_VARIANTS = (("float32", "lax"), ("float32", "patches"), ("tf32", "lax"), ("tf32", "patches"))
_STEP_MINUTES, _OTHER_MINUTES, _RUN_MINUTES = 15.0, 20.0, 240.0  # limits of a part


class Case(NamedTuple):
    """The outer step of a config, with so many student steps."""

    name: str
    config: str
    steps: int


CASES = (
    Case("R", "cifar10_ipc1:datm", 10),
    *(
        Case(config, f"{config}:datm", 80)
        for config in (
            "cifar10_ipc1",
            "cifar10_ipc10",
            "cifar10_ipc50",
            "cifar100_ipc10",
            "cifar100_ipc50",
        )
    ),
)
# Of the loop in PyTorch, which has CIFAR-10's shapes: name, student steps, batch.
_TORCH = (("R", 10, 10), ("cifar10_ipc1", 80, 10), ("cifar10_ipc10", 80, 100))


class Settings(NamedTuple):
    """What the commands of the battery have in common.

    Attributes:
      package: of the commands.
      folder: of their files.
      tests: the folder of the tests; it may be missing.
      config: of experts and of whole runs, without a method.
      reduction: "small", or "" for the config as it is.
      cases: of the outer steps.
      gradients: modes of the outer steps, joined by commas.
      with_torch: whether the cases are those of the loop in PyTorch.
      flags: of all commands that have a config.
      run_flags: of whole runs.
    """

    package: str
    folder: pathlib.Path
    tests: pathlib.Path
    config: str
    reduction: str
    cases: Sequence[Case]
    gradients: str
    with_torch: bool
    flags: Sequence[str]
    run_flags: Sequence[str]


def make(settings: Settings) -> list[Part]:
    """The parts of the battery, in their order; of steps, the default variant comes first."""
    parts = [_tests(settings)]
    for variant in _VARIANTS:
        parts += [_step(settings, case, *variant) for case in settings.cases]
        if variant == _VARIANTS[0] and settings.with_torch:
            parts += [_torch(settings, *shape) for shape in _TORCH]
    parts.append(_experts(settings))
    return parts + [_whole_run(settings, method) for method in _METHODS]


def _tests(settings: Settings) -> Part:
    name = "golden numbers and gradients"
    if settings.tests.is_dir() and importlib.util.find_spec("pytest"):
        files = (str(settings.tests / each) for each in _TESTS)
        # In one process: two would share the memory of the device.
        command = ("-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", *files)
        return Part("tests", name, command, _OTHER_MINUTES)
    config = f"--config={settings.config}{settings.reduction and f':{settings.reduction}'}"
    command = (*_module(settings, "check_gradient"), config, *settings.flags)
    return Part("tests", name, command, _OTHER_MINUTES)


def _step(settings: Settings, case: Case, precision: str, convolution: str) -> Part:
    file = settings.folder / f"{case.name}-{precision}-{convolution}.json"
    command = (
        *_module(settings, "benchmark"),
        f"--config={case.config}",
        *settings.flags,
        "--what=distill_step",
        f"--gradient={settings.gradients}",
        f"--steps={case.steps}",
        f"--config.network.precision={precision}",
        f"--config.network.convolution={convolution}",
        f"--json={file}",
    )
    return Part("steps", f"{case.name}, {precision}, {convolution}", command, _STEP_MINUTES, file)


def _torch(settings: Settings, name: str, steps: int, batch: int) -> Part:
    file = settings.folder / f"{name}-torch.json"
    shape = f"--steps={steps}", f"--batch={batch}"
    command = (*_module(settings, "benchmark_torch"), *shape, f"--json={file}")
    return Part("steps", f"{name}, PyTorch", command, _STEP_MINUTES, file, needs="torch")


def _experts(settings: Settings) -> Part:
    file = settings.folder / "experts.json"
    command = (
        *_module(settings, "benchmark"),
        f"--config={settings.config}{settings.reduction and f':{settings.reduction}'}",
        *settings.flags,
        "--what=expert_training",
        f"--json={file}",
    )
    return Part("experts", "experts alone and side by side", command, _OTHER_MINUTES, file)


def _whole_run(settings: Settings, method: str) -> Part:
    workdir = settings.folder / method
    arguments = ",".join(filter(None, [method, settings.reduction]))
    command = (
        *_module(settings, "distill"),
        f"--config={settings.config}:{arguments}",
        *settings.flags,
        *settings.run_flags,
        f"--workdir={workdir}",
    )
    name = f"{pathlib.Path(settings.config).stem}, {method}, whole run"
    return Part("runs", name, command, _RUN_MINUTES, workdir / "report.json")


def _module(settings: Settings, command: str) -> tuple[str, str]:
    return "-m", f"{settings.package}.{command}"
