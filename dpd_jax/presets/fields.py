"""Names and values of config fields, as people type them and as folders are called."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

# Fields, or whole groups, that change how a run is watched or spread, not what it computes: the
# same folder may be continued with another value. More iterations extend a run.
_FREE = (
    "distill.iterations",
    "distill.log_every",
    "distill.checkpoint_every",
    "distill.cache_gigabytes",
    "matching.ranking",
    "distill.memory_gigabytes",
    "experts.at_once",
    "evaluate",
)
_LONGEST = 100  # characters of a folder's name


def is_free(field: str) -> bool:
    """Whether a run may be continued with another value of a field."""
    return any(field == free or field.startswith(free + ".") for free in _FREE)


def names(config: ConfigDict) -> list[str]:
    """All fields of a config, "group.field" each."""
    found = []
    for name, value in config.items():
        inner = isinstance(value, ConfigDict)
        found += [f"{name}.{part}" for part in value] if inner else [name]
    return found


def alike(field: str, config: ConfigDict) -> list[str]:
    """The fields whose last part is that of `field`, which need not be one."""
    last = field.rpartition(".")[2]
    return [name for name in names(config) if name.rpartition(".")[2] == last]


def short(field: str, config: ConfigDict) -> str:
    """The last part of a field's name where no other field ends the same, else all of it."""
    return field if len(alike(field, config)) > 1 else field.rpartition(".")[2]


def text(value: Any) -> str:
    """A value as it can be typed in --over."""
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, tuple):
        return "+".join(map(text, value)) or "none"
    return str(value)


def told(values: Mapping[str, Any], config: ConfigDict) -> str:
    """Fields and their values in short, e.g. "pruning_rate=0.1,seed=2", in the order given."""
    return ",".join(f"{short(field, config)}={text(value)}" for field, value in values.items())


def folder(name: str) -> str:
    """A name as a folder can have it; where it is not the same, a hash keeps it apart."""
    safe = re.sub(r"[^\w.+=,-]", "_", name)
    if safe == name and len(safe) <= _LONGEST:
        return safe
    return f"{safe[: _LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
