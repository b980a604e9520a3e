"""Names and values of config fields, for messages, tables and folder names."""

import ast
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

_LONGEST = 100  # characters of a folder's name


def flat(config: Mapping) -> dict[str, Any]:
    """The fields of a config, or of a nested dictionary, as {"group.field": value}."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, dict | ConfigDict):
            found |= {f"{name}.{inner}": part for inner, part in flat(value).items()}
        else:
            found[name] = value
    return found


def alike(field: str, config: ConfigDict) -> list[str]:
    """The fields of a config that end like `field`, e.g. evaluate.epochs for "epochs"."""
    last = field.rpartition(".")[2]
    return [name for name in flat(config) if name.rpartition(".")[2] == last]


def short(field: str, config: ConfigDict) -> str:
    """The last part of a field's name if no other field ends with it, else the full name."""
    return field if len(alike(field, config)) > 1 else field.rpartition(".")[2]


def text(value: Any) -> str:
    """A value as it can be typed in --over."""
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, tuple):
        return "+".join(map(text, value)) or "none"
    return str(value)


def literal(text: str) -> Any:
    """The value of a Python literal; any other text is itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def summary(values: Mapping[str, Any], config: ConfigDict) -> str:
    """Short names of fields with their values, in the order given: "pruning_rate=0.1,seed=2"."""
    return ",".join(f"{short(field, config)}={text(value)}" for field, value in values.items())


def folder_name(name: str) -> str:
    """A name that a folder can have; a hash is added if characters had to be replaced or cut."""
    safe = re.sub(r"[^\w.+=,-]", "_", name)
    if safe == name and len(safe) <= _LONGEST:
        return safe
    return f"{safe[: _LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
