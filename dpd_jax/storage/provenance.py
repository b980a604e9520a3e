"""Provenance: nested JSON values that determine a result, and how two of them differ."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

_WIDTH = 80  # characters of a value before it is cut


def as_json(value: Any) -> Any:
    """A value as a JSON file returns it: tuples are lists, keys are text."""
    return json.loads(json.dumps(value))


def differences(stored: Any, asked: Any, name: str = "") -> Iterator[str]:
    """One line such as "optimizer.rho: stored 0.01, asked 0.02" for each value that differs.

    Both are JSON values (see `as_json`) called `name`; a value that one lacks is "nothing".
    """
    if isinstance(stored, dict) and isinstance(asked, dict):
        for key in {**asked, **stored}:
            inner = f"{name}.{key}" if name else key
            yield from differences(stored.get(key), asked.get(key), inner)
    elif _is_nested(stored) and _is_nested(asked):
        for i, (one, other) in enumerate(itertools.zip_longest(stored, asked)):
            yield from differences(one, other, f"{name}[{i}]")
    elif stored != asked:
        yield f"{name}: stored {_short(stored)}, asked {_short(asked)}"


def _is_nested(value: Any) -> bool:
    """Whether a list contains lists or dictionaries; other lists are compared as one value."""
    return isinstance(value, list) and any(isinstance(part, (list, dict)) for part in value)


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."
