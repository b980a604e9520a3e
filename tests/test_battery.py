"""The battery: parts in their order, under limits, kept after each; and the kernels of a plan."""

import json
import pathlib
import subprocess
import sys

import pytest

from dpd_jax.benchmarks import battery, kernels, parts, plan
from dpd_jax.benchmarks.battery import Part
from dpd_jax.errors import UserError
from experiments import benchmark

ABOUT = {"device": "a GPU", "versions": {"jax": "1"}}


def part(kind, name, program, minutes=1.0, **others):
    return Part(kind, name, ("-c", program), minutes, **others)


def test_what_has_finished_is_not_done_again(tmp_path):
    path, row = tmp_path / "battery.json", tmp_path / "row.json"
    count = tmp_path / "count"
    counted = f"open({str(count)!r}, 'a').write('x')"
    written = json.dumps([{"what": "distill_step", "seconds": 0.5, "steps": 20}])
    fails = part("experts", "fails", "raise SystemExit('error: too little memory')")
    chosen = [
        part("tests", "passes", f"{counted}; print('32 passed')"),
        part("steps", "measures", f"open({str(row)!r}, 'w').write({written!r})", file=row),
        part("steps", "lacks", counted, needs="no_such_package"),
        fails,
        part("runs", "takes long", "import time; time.sleep(60)", minutes=0.5 / 60),
    ]
    first = battery.run(chosen, path, ABOUT, 0.0)
    assert [each["status"] for each in first] == ["done", "done", "skipped", "failed", "stopped"]
    assert first[3]["output"] == ["error: too little memory"]
    assert json.loads(path.read_text()) == {"about": ABOUT, "parts": first}

    done = fails._replace(command=("-c", counted))
    second = battery.run([*chosen[:3], done], path, ABOUT, 0.0)
    assert [each["status"] for each in second] == ["done", "done", "skipped", "done"]
    assert second[:2] == first[:2] and count.read_text() == "xx"

    table = battery.markdown(second)
    assert len({line.count("|") for line in table.splitlines()}) == 1
    assert "| passes | 32 passed | done |" in table
    assert "| measures | distill_step | done | 20 |  | 0.5 |" in table
    with pytest.raises(UserError, match="results of device a GPU, and here it is another"):
        battery.run(chosen, path, ABOUT | {"device": "another"}, 0.0)


def test_parts_for_which_no_time_is_left_are_not_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(battery, "SHARES", {"tests": 0.01, "runs": 0.99})
    sleeps = "import time; time.sleep(30)"
    chosen = [part("tests", "first", sleeps), part("tests", "second", sleeps)]
    chosen.append(part("runs", "last", "print('in its own time')"))
    found = battery.run(chosen, tmp_path / "battery.json", ABOUT, 1.0)
    assert [each["status"] for each in found] == ["stopped", "not begun", "done"]


def settings(folder, **changes):
    repository = pathlib.Path(benchmark.__file__).parents[1]
    return parts.Settings(
        package="experiments",
        folder=folder,
        tests=repository / "tests",
        config="configs/cifar10_ipc1.py",
        reduction="",
        cases=parts.CASES,
        gradients="exact,tesla",
        with_torch=True,
        flags=["--cache_dir=cache"],
        run_flags=["--experts_dir=experts"],
    )._replace(**changes)


def test_the_battery_of_the_papers(tmp_path):
    made = parts.make(settings(tmp_path))
    kinds = [each.kind for each in made]
    assert kinds == sorted(kinds, key=list(battery.SHARES).index)
    assert len({each.name for each in made}) == len(made)
    assert len({each.file for each in made}) == len(made)  # The tests write none.
    files = [each for each in made[0].command if "tests" in each]
    assert files and all(pathlib.Path(file).exists() for file in files)
    without = parts.make(settings(tmp_path, tests=tmp_path / "none", reduction="small"))
    assert without[0].command[1:3] == (
        "experiments.check_gradient",
        "--config=configs/cifar10_ipc1.py:small",
    )
    assert without[-1].command[2] == "--config=configs/cifar10_ipc1.py:dpd,small"


# As XLA writes it: a loop of 40, in it a branch, products and convolutions; copies around it.
PROGRAM = """HloModule jit_step, is_scheduled=true

%fused_dot (a: f32[8,8]) -> f32[8,8] {
  %a = f32[8,8]{1,0} parameter(0)
  ROOT %dot = f32[8,8]{1,0} dot(%a, %a), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

%fused_add (a: f32[8,8]) -> f32[8,8] {
  %a = f32[8,8]{1,0} parameter(0)
  ROOT %add = f32[8,8]{1,0} add(%a, %a)
}

%left (a: f32[8,8]) -> f32[8,8] {
  %a = f32[8,8]{1,0} parameter(0)
  %one = f32[8,8]{1,0} fusion(%a), kind=kLoop, calls=%fused_add
  ROOT %two = f32[8,8]{1,0} fusion(%one), kind=kLoop, calls=%fused_add
}

%right (a: f32[8,8]) -> f32[8,8] {
  ROOT %a = f32[8,8]{1,0} parameter(0)
}

%body (t: (s32[], f32[8,8])) -> (s32[], f32[8,8]) {
  %t = (s32[], f32[8,8]{1,0}) parameter(0)
  %x = f32[8,8]{1,0} get-tuple-element(%t), index=1
  %b = f32[8,8]{1,0} conditional(%i, %x, %x), branch_computations={%left, %right}
  %p = f32[8,8]{1,0} fusion(%b), kind=kCustom, calls=%fused_dot
  %q = (f32[8,8]{1,0}, s8[0]{0}) custom-call(%p, %p), custom_call_target="__cublas$lt$matmul"
  %c = (f32[8,8]{1,0}, u8[0]{0}) custom-call(%q), custom_call_target="__cudnn$convForward"
  %d = (f32[8,8], u8[0]) custom-call(%c), batch_group_count=4, \
custom_call_target="__cudnn$convBackwardFilter"
  ROOT %r = (s32[], f32[8,8]{1,0}) tuple(%i, %d)
}

ENTRY %main (x: f32[8,8]) -> f32[8,8] {
  %x = f32[8,8]{1,0} parameter(0)
  %s = ((f32[8,8]), f32[8,8], u32[]) fusion-start(%x), kind=kLoop, calls=%fused_add
  %e = f32[8,8]{1,0} fusion-done(%s)
  %copy.1 = f32[8,8]{1,0} copy(%e)
  %w = (s32[], f32[8,8]) while(%t), body=%body, backend_config={"known_trip_count":{"n":"40"}}
  ROOT %y = f32[8,8]{1,0} get-tuple-element(%w), index=1
}
"""


def test_kernels_of_loops_and_branches():
    counts = kernels.count(PROGRAM)
    assert counts.kinds == {"fusion": 40 * 1 + 1, "product": 80, "convolution": 80, "copy": 1}
    assert counts.convolutions == {"Forward": 40, "BackwardFilter": 40, "grouped": 40}
    assert (counts.conditionals, counts.in_loops, counts.endless) == (40, 200, 0)
    assert counts.kernels == 202
    unknown = kernels.count(PROGRAM.replace("known_trip_count", "something"))
    assert (unknown.kernels, unknown.endless) == (7, 1)


def test_a_plan_needs_a_known_gpu_and_the_plugin(monkeypatch):
    from configs import digits_ipc1

    with pytest.raises(UserError, match="h100"):
        plan.outer_step(digits_ipc1.get_config(), "h101")
    monkeypatch.setattr(plan, "_PLUGINS", ("no_such_plugin.xla",))
    with pytest.raises(UserError, match="pip install"):
        plan.outer_step(digits_ipc1.get_config(), "h100")


def test_a_plan_of_digits(tmp_path):
    """In a process of its own, because steps are cached. Skipped without JAX's plugin for CUDA."""
    if not any(map(plan._is_installed, plan._PLUGINS)):
        pytest.skip("JAX's plugin for CUDA is not installed")
    file = tmp_path / "plan.json"
    config = ["--config=digits_ipc1:datm", "--config.network.depth=1", "--config.network.width=8"]
    command = ["-m", "experiments.benchmark", *config, "--plan=h100", f"--json={file}"]
    subprocess.run([sys.executable, *command], check=True)
    (row,) = json.loads(file.read_text())
    assert row["conditionals"] == row["endless_loops"] == 0
    assert (row["augment"], row["unroll"]) == ("ahead", 2)
    assert row["steps"] * row["step_kernels"] <= row["kernels"] < 20 * 100
    assert set(row["convolutions"]) <= {"Forward", "BackwardInput", "BackwardFilter"}
