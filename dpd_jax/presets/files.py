"""Finds and reads config files."""

import difflib
import pathlib
import runpy
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from dpd_jax.errors import UserError
from dpd_jax.presets import base, fields

FOLDER = pathlib.Path("configs")
_EXAMPLE = "a config file is a Python file that defines get_config, e.g. configs/digits_ipc1.py"


def load_config(name: str) -> ConfigDict:
    """Reads a config: complete and locked. Values can change, a misspelt field is an error.

    Args:
      name: the path of a config file, or the name of one in configs/. After a colon may follow a
        method, "small" or both, e.g. "configs/cifar10_ipc1.py:datm,small" or "digits_ipc1:small".

    Raises:
      UserError: the file is missing or cannot be read, or a name after the colon is unknown.
    """
    path, _, arg = find(name).partition(":")
    try:
        module = runpy.run_path(path)
    except UserError:
        raise
    except Exception as error:  # A user's file may raise anything.
        raise UserError(f"the config file {path} cannot be read: {error!r}.") from error
    if "get_config" not in module:
        raise UserError(f"{path} is not a config: {_EXAMPLE}.")
    return module["get_config"](arg)


def find(name: str) -> str:
    """The path of a config file, given by its path or its name; the text after a colon stays.

    Raises UserError if there is none.
    """
    file, colon, arg = name.partition(":")
    path = pathlib.Path(file).expanduser()
    for found in (path, path.parent / f"{path.name}.py", FOLDER / f"{file}.py"):
        if found.suffix == ".py" and found.is_file():
            return f"{found}{colon}{arg}"
    if path.exists():
        what = "a folder" if path.is_dir() else "not a config"
        raise UserError(f"{path} is {what}: {_EXAMPLE}.")
    known = _known()
    near = difflib.get_close_matches(path.stem, known, n=1, cutoff=0.6)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise UserError(f"there is no config {path}. {hint}Known are {known_names()}.")


def flags_of(config: Mapping[str, Any]) -> list[str]:
    """The flags that give a stored config: the nearest file of configs/, and what differs from it.

    The config is complete and from JSON. [] if no file there has its method.
    """
    wanted = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in fields.flat(base.upgrade(dict(config))).items()
    }
    arg = f"{wanted['method']},small" if wanted["reduced"] else wanted["method"]
    found: list[list[str]] = []
    for path in sorted(FOLDER.glob("*_ipc*.py")):
        try:
            near = fields.flat(load_config(f"{path}:{arg}"))
        except UserError:  # A method of the user's own.
            continue
        changes = [
            f"--config.{name}={value}" for name, value in wanted.items() if near.get(name) != value
        ]
        found.append([f"--config={path}:{arg}", *changes])
    return min(found, key=len, default=[])


def known_names() -> str:
    """The names of all config files, for messages."""
    return ", ".join(_known()) or f"none, because {FOLDER.resolve()} has no config"


def _known() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))
