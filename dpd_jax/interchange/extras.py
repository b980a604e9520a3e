"""Packages that only an exchange of files needs."""

import importlib
from typing import Any

from dpd_jax.errors import UserError


def package(name: str, extra: str) -> Any:
    """Imports a package, or a module of one, that the optional `extra` of setup.py installs.

    Raises:
      UserError: if it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"this needs the package {name.partition('.')[0]}, which cannot be imported here "
            f"({error}). Install it: pip install -e '.[{extra}]'."
        ) from error
