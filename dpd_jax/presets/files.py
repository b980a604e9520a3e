"""Config files: finding and reading them."""

import importlib.util
import pathlib

from ml_collections import ConfigDict

from dpd_jax.errors import UserError

FOLDER = pathlib.Path("configs")


def load_config(name: str) -> ConfigDict:
    """Reads a config.

    Args:
      name: the path of a config file, after a colon maybe a method, "small" or both, e.g.
        "configs/cifar10_ipc1.py:datm,small".

    Returns:
      The config, complete and locked: values can be changed, a misspelt field is an error.

    Raises:
      UserError: if there is no such file, it cannot be read, or a word is unknown.
    """
    file, _, words = name.partition(":")
    path = pathlib.Path(file).expanduser()
    if not path.is_file():
        raise UserError(f"there is no config file {path}. Known under configs/: {known_names()}.")
    if path.suffix != ".py":
        raise UserError(f"{path} is no config file: those are Python files, e.g. digits_ipc1.py.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:  # Whatever a person's own file may raise.
        raise UserError(f"the config file {path} cannot be read: {error!r}.") from error
    if not hasattr(module, "get_config"):
        raise UserError(f"{path} is no config file: it defines no get_config.")
    return module.get_config(words)


def known_names() -> str:
    """The names of the config files there are, for messages."""
    names = sorted(path.stem for path in FOLDER.glob("*_ipc*.py"))
    return ", ".join(names) if names else f"none found under {FOLDER.resolve()}"
