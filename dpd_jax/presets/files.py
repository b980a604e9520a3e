"""Finds and reads config files and sweep files."""

import difflib
import pathlib
import runpy
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from dpd_jax.errors import UserError
from dpd_jax.presets import base, fields

# A folder of the user's own comes first, so that in a clone its files are read.
HERE = pathlib.Path("configs")
# Those that come with the package: in it when it is installed from a wheel, beside it in a clone.
_PACKAGE = pathlib.Path(__file__).parents[1]
SHIPPED = next(
    (path for path in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if path.is_dir()), HERE
)
_EXAMPLE = "a config file is a Python file that defines get_config, e.g. configs/digits_ipc1.py"


def load_config(name: str) -> ConfigDict:
    """Reads a config: complete and locked. Values can change, a misspelt field is an error.

    Args:
      name: the path of a config file, or the name of one in configs/ of the current folder or of
        those that come with the package. After a colon may follow a method, a scale or both, e.g.
        "configs/cifar10_ipc1.py:datm,small" or "digits_ipc1:small".

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
    if found := find_file(file):
        return f"{found}{colon}{arg}"
    path = pathlib.Path(file).expanduser()
    if path.exists():
        what = "a folder" if path.is_dir() else "not a config"
        raise UserError(f"{path} is {what}: {_EXAMPLE}.")
    near = difflib.get_close_matches(path.stem, names(), n=1, cutoff=0.6)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise UserError(f"there is no config {path}. {hint}Known are {', '.join(names())}.")


def find_file(name: str, folder: str = "") -> pathlib.Path | None:
    """A Python file by its path, or by its name in `folder` of a folder of configs; None if none.

    ".py" may be left out. What begins with configs/ is also looked for in the package.
    """
    path = pathlib.Path(name).expanduser()
    inner = path.relative_to(HERE) if path.is_relative_to(HERE) else folder / path
    for found in (path, HERE / folder / path, SHIPPED / inner):
        for file in (found, found.parent / f"{found.name}.py"):
            if file.suffix == ".py" and file.is_file():
                return file
    return None


def names(folder: str = "") -> list[str]:
    """The names of all files in `folder` of the folders of configs."""
    found = (path for root in (HERE, SHIPPED) for path in (root / folder).glob("[a-z]*.py"))
    return sorted({path.stem for path in found})


def flags_of(config: Mapping[str, Any]) -> list[str]:
    """The flags that give a stored config: the nearest config file, and what differs from it.

    The config is complete and from JSON. [] if no file has its method.
    """
    wanted = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in fields.flat(base.upgrade(dict(config))).items()
    }
    scale = wanted["scale"]
    arg = wanted["method"] if scale == "paper" else f"{wanted['method']},{scale}"
    found: list[list[str]] = []
    for name in names():
        if "_ipc" not in name:  # That of own images is completed from the data.
            continue
        try:
            near = fields.flat(load_config(f"{name}:{arg}"))
        except UserError:  # A method of the user's own.
            continue
        changes = [
            f"--config.{field}={value}"
            for field, value in wanted.items()
            if near.get(field) != value
        ]
        found.append([f"--config={name}:{arg}", *changes])
    return min(found, key=len, default=[])
