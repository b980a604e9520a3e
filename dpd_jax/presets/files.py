"""Finds and reads config files."""

import pathlib
import runpy

from ml_collections import ConfigDict

from dpd_jax.errors import UserError

FOLDER = pathlib.Path("configs")


def load_config(name: str) -> ConfigDict:
    """Reads a config: complete and locked. Values can change, a misspelt field is an error.

    Args:
      name: the path of a config file. After a colon may follow a method, "small" or both, e.g.
        "configs/cifar10_ipc1.py:datm,small".

    Raises:
      UserError: the file is missing or cannot be read, or a name after the colon is unknown.
    """
    file, _, arg = name.partition(":")
    path = pathlib.Path(file).expanduser()
    if not path.is_file():
        raise UserError(f"there is no config file {path}. Known under configs/: {known_names()}.")
    if path.suffix != ".py":
        raise UserError(
            f"{path} is not a config file: a config file is a Python file, e.g. digits_ipc1.py."
        )
    try:
        module = runpy.run_path(str(path))
    except UserError:
        raise
    except Exception as error:  # A user's file may raise anything.
        raise UserError(f"the config file {path} cannot be read: {error!r}.") from error
    if "get_config" not in module:
        raise UserError(f"{path} is not a config file: it defines no get_config.")
    return module["get_config"](arg)


def known_names() -> str:
    """The names of all config files, for messages."""
    names = ", ".join(sorted(path.stem for path in FOLDER.glob("[a-z]*.py")))
    return names or f"none found under {FOLDER.resolve()}"
