"""The installed package: its configs and commands are there in any folder."""

import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

import experiments.__main__ as program

REPOSITORY = pathlib.Path(__file__).parents[1]
PARTS = ("configs", "experiments")

# In a process where `dpd_jax` is the installed one. It ends with status 2, for the last line.
IN_ANY_FOLDER = """
import sys
import dpd_jax
from dpd_jax.experiments import __main__, _cli

config = dpd_jax.load_config("digits_ipc10:datm,small")
assert (config.method, config.ipc, config.scale) == ("datm", 10, "small")
assert dpd_jax.load_config("configs/images.py").data.source == "images"
sys.argv = ["distill", "digits_ipc1:small"]
assert _cli.line() == "dpd distill digits_ipc1:small"
sys.argv = ["dpd", "sweep", "digits_ipc1:small", "--sweep=methods", "--over=seeds=1,2"]
__main__.main()
"""


def test_the_installed_package_needs_no_clone(tmp_path):
    """The layout that setup.py gives it; below, a wheel is built."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "dpd_jax", tmp_path / "site" / "dpd_jax", ignore=ignored)
    for part in PARTS:
        shutil.copytree(REPOSITORY / part, tmp_path / "site" / "dpd_jax" / part, ignore=ignored)
    works_in_any_folder(tmp_path)


@pytest.mark.slow
def test_a_wheel_holds_all_of_it(tmp_path):
    for name in ("dpd_jax", *PARTS):
        shutil.copytree(REPOSITORY / name, tmp_path / "source" / name)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, tmp_path / "source")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, "."]
    subprocess.run(command, cwd=tmp_path / "source", check=True)
    with zipfile.ZipFile(next(tmp_path.glob("dpd_jax-*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    entries = next(tmp_path.glob("site/*.dist-info/entry_points.txt")).read_text()
    assert "dpd = dpd_jax.experiments.__main__:main" in entries
    files = {path.relative_to(REPOSITORY) for path in (REPOSITORY / "dpd_jax").rglob("*.py")}
    for part in PARTS:
        found = (REPOSITORY / part).rglob("*.py")
        files |= {"dpd_jax" / path.relative_to(REPOSITORY) for path in found}
    assert {path for path in files if not (tmp_path / "site" / path).is_file()} == set()
    works_in_any_folder(tmp_path)


def works_in_any_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", IN_ANY_FOLDER],
        cwd=tmp_path / "empty",
        env={"PYTHONPATH": str(tmp_path / "site"), "JAX_PLATFORMS": "cpu", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert "error: " in done.stderr and "Traceback" not in done.stderr
    assert "seeds" in done.stderr, done.stderr


def test_the_program_lists_its_commands_and_names_the_nearest(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["dpd"])
    program.main()
    shown = capsys.readouterr().out
    for command in program.commands():
        assert re.search(rf"^    {command} +\w.*\.$", shown, re.M), command
    monkeypatch.setattr(sys, "argv", ["dpd", "distil", "digits_ipc1"])
    with pytest.raises(SystemExit) as end:
        program.main()
    assert end.value.code == 2
    assert "no command 'distil'. Did you mean distill?" in capsys.readouterr().err


def test_the_program_runs_a_command_that_finds_what_is_in_the_current_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["dpd", "distill", "digits_ipc1", "--workdir=x"])
    ran = []
    monkeypatch.setattr("runpy.run_module", lambda name, **options: ran.append(name))
    program.main()
    assert ran == ["experiments.distill"]
    assert sys.argv == ["distill", "digits_ipc1", "--workdir=x"]
    assert sys.path[-1] == str(tmp_path)


def test_the_docs_name_commands_that_exist():
    for path in (REPOSITORY / "docs").rglob("*.md"):
        named = re.findall(r"(?:^    |`)dpd ([a-z_]+)", path.read_text(encoding="utf-8"), re.M)
        assert set(named) <= set(program.commands()), path


def test_published_figures_are_those_of_the_configs():
    text = (REPOSITORY / "docs" / "published.md").read_text(encoding="utf-8")
    rows = "".join(line for line in text.splitlines() if line.startswith("| DPD |"))
    for path in (REPOSITORY / "configs").glob("*.py"):
        source = path.read_text(encoding="utf-8")
        for claimed in re.findall(r"Claimed by the paper: DPD ([\d.]+ ± [\d.]+)", source):
            assert claimed in rows, path
