"""What all commands share: folder names, flags and messages, without starting a process."""

import pathlib
import re
import shlex
import sys
import types

import pytest
from absl import flags

from configs import cifar10_ipc1, digits_ipc1
from dpd_jax.errors import UserError
from dpd_jax.presets import files
from dpd_jax.sweeps import sweep_file
from experiments import _arguments, _cli

REPOSITORY = pathlib.Path(__file__).parents[1]


def test_the_command_can_be_pasted_into_a_shell(monkeypatch):
    typed = ["--config.matching.masks=('depth', 'ratio')", "--over=data.train_split=train[:50%]"]
    monkeypatch.setattr(sys, "argv", ["/somewhere/experiments/sweep.py", *typed])
    assert shlex.split(_cli.line()) == ["python", "-m", "experiments.sweep", *typed]


@pytest.mark.parametrize(
    "file, overrides, name",
    [
        ("configs/digits_ipc1.py", {}, "digits_ipc1-dpd"),
        ("configs/digits_ipc1.py:small,mtt+", {}, "digits_ipc1-mtt+-small"),
        ("digits_ipc1.py", {"seed": 1}, "digits_ipc1-dpd-seed=1"),
        # Sorted by the full name; evaluate.learning_rate ends like the other.
        (
            "digits_ipc1.py",
            {"seed": 1, "matching.pruning_rate": 0.2, "experts.learning_rate": 1.0},
            "digits_ipc1-dpd-experts.learning_rate=1,pruning_rate=0.2,seed=1",
        ),
        ("c.py", {"matching.masks": ("depth", "ratio")}, "c-dpd-masks=depth+ratio"),
        (
            "c.py",
            {"data.source": "npz", "data.name": "/tmp/x7/own.npz"},
            "c-dpd-data.name=own.npz,source=npz",
        ),
        # A run may be continued with another value of these.
        ("digits_ipc1.py", {"evaluate.epochs": 7, "distill.iterations": 9}, "digits_ipc1-dpd"),
    ],
)
def test_a_default_folder_is_named_after_what_it_computes(file, overrides, name):
    config = digits_ipc1.get_config(file.partition(":")[2])
    config.update_from_flattened_dict(overrides)
    assert _cli.run_name(file, config, overrides) == name


def test_tables_of_papers_share_a_default_folder():
    config = cifar10_ipc1.get_config("small")
    values = {"network.width": 8, "evaluate.at_once": 2}
    assert _cli.tables_name(config, "datm,small", values) == "tables-datm-small-width=8"
    assert _cli.tables_name(config, "", {}) == "tables"


def test_a_flag_is_found_before_flags_are_parsed():
    assert _arguments.typed(["command", "--sweep=a:small", "--sweeps=b"], "sweep") == "a:small"
    assert _arguments.typed(["command", "-sweep", "a"], "sweep") == "a"
    assert _arguments.typed(["command", "--config.ipc=1"], "config") is None
    assert sweep_file.config_of("dpd_table4:small") == "cifar10_ipc1:small"
    assert sweep_file.config_of("methods:small") == "", "left to --config"


def test_a_default_folder_has_the_name_of_data_that_the_file_leaves_open():
    config, values = digits_ipc1.get_config(), {"ipc": 1}
    assert _cli.run_name("images.py", config, values, "v1.5") == "images-v1.5-dpd-ipc=1"


def test_a_config_is_found_by_its_name_or_its_path():
    for name in ("digits_ipc1", "configs/digits_ipc1", "configs/digits_ipc1.py"):
        assert files.find(f"{name}:mtt") == "configs/digits_ipc1.py:mtt"
    argv = ["distill", "--config.seed=1", "--config", "digits_ipc1:small", "--seeds=2"]
    assert _arguments.with_config(argv)[1:] == [
        "--config=configs/digits_ipc1.py:small",
        "--config.seed=1",
        "--seeds=2",
    ]
    for argument in ("--config=digits_ipc1", "digits_ipc1", "configs/digits_ipc1.py"):
        assert _arguments.with_config(["x", argument, "--config.seed=1"])[1:] == [
            "--config=configs/digits_ipc1.py",
            "--config.seed=1",
        ]


def test_a_config_of_the_current_folder_comes_before_that_of_the_package(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("digits_ipc1", "configs/digits_ipc1.py"):
        assert files.find(f"{name}:mtt") == f"{REPOSITORY}/configs/digits_ipc1.py:mtt"
    assert files.find_file("methods", "sweeps") == REPOSITORY / "configs" / "sweeps" / "methods.py"
    own = tmp_path / "configs" / "digits_ipc1.py"
    own.parent.mkdir()
    own.touch()
    for name in ("digits_ipc1", "configs/digits_ipc1.py"):
        assert files.find(name) == "configs/digits_ipc1.py"
    (own.parent / "mine.py").touch()
    assert {"mine", "cifar10_ipc1", "digits_ipc1"} < set(files.names())


@pytest.mark.parametrize(
    "name, expected",
    [
        ("configs", "configs is a folder"),
        ("digits_ipc2", "Did you mean digits_ipc1"),
        ("configs/sweeps/methods.py", "not a config"),
        ("README.md", "not a config"),
        ("", "a folder"),
    ],
)
def test_what_is_no_config_is_named(name, expected):
    with pytest.raises(UserError, match=expected):
        files.load_config(name)


def test_a_path_flag_knows_the_home_folder():
    assert _cli._PathParser().parse("~/sets") == pathlib.Path.home() / "sets"


def test_a_cache_folder_that_cannot_be_written_is_done_without(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "cache"
    monkeypatch.setattr(_cli, "CACHE_DIR", types.SimpleNamespace(value=folder))
    _cli.cache_dir.cache_clear()
    found = _cli.cache_dir()
    _cli.cache_dir.cache_clear()
    assert found.is_dir() and found != folder
    assert f"{folder} cannot be written" in capsys.readouterr().err


def test_names_that_no_folder_can_have_are_replaced_and_differ():
    config = digits_ipc1.get_config()
    splits = ["train[:50%]/../a", "train(:50%)/../a"]
    one, other = (_cli.run_name("my run.py", config, {"data.train_split": s}) for s in splits)
    assert one.startswith("my_run-dpd-train_split=train__50___.._a-")
    assert one != other and len(one) == len(other)


def test_long_names_are_cut_and_differ():
    config = cifar10_ipc1.get_config()
    splits = ["x" * 200 + end for end in "ab"]
    found = {_cli.run_name("c.py", config, {"data.train_split": split}) for split in splits}
    assert len(found) == 2 and all(len(name) == 100 for name in found)


@pytest.mark.parametrize(
    "overrides, instead", [({"method": "datm"}, ":datm"), ({"seed": 1, "scale": "small"}, ":small")]
)
def test_fields_that_only_report_are_refused(overrides, instead):
    with pytest.raises(UserError, match=f"--config=c.py{instead}"):
        _arguments.refuse_labels("c.py:mtt", overrides)
    _arguments.refuse_labels("c.py:mtt", {"seed": 1})


@pytest.mark.parametrize(
    "name, near, expected",
    [
        ("seed", ["seeds"], ["no flag --seed. Did you mean --seeds or --config.seed?"]),
        ("batch_size", [], ["--config.evaluate.batch_size or --config.experts.batch_size?"]),
        ("distill.lr_img", [], ["mean --config.distill.lr_img?"]),
        ("confg", ["config"], ["no flag --confg. Did you mean --config?"]),
        ("qwerty", [], ["no flag --qwerty. --help"]),
    ],
)
def test_an_unknown_flag_may_be_a_field_of_the_config(name, near, expected):
    error = flags.UnrecognizedFlagError(name, suggestions=near)
    message = _arguments.unknown_flag(error, digits_ipc1.get_config())
    for text in expected:
        assert text in message
    assert "config." not in _arguments.unknown_flag(error, None)


COMMANDS = [
    path for path in (REPOSITORY / "experiments").glob("*.py") if "_cli.run(" in path.read_text()
]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_help_shows_every_flag_that_a_command_reads(path):
    source = path.read_text(encoding="utf-8")
    read = set(re.findall(r"\b[a-z_]+\.[A-Z_]+(?=\.value)", source)) - {"_cli.CONFIG"}
    if "_cli.share_out" in source or "_cli.start_processes" in source:
        read.add("_cli.DEVICES")
    shown = re.search(r"_cli\.run\(\s*main(.*?)\)\n", source, re.DOTALL)[1]
    flags = {name for name in re.split(r",\s*", shown) if name and "=" not in name}
    if "needs_config=False" not in shown:
        flags.add("_cli.DATA_DIR")  # Always shown beside --config.
        read.add("_cli.DATA_DIR")
    assert flags - {"_cli.CONFIG"} == read
