"""Facts: nested JSON values that say what made a thing, and how two of them differ."""

import json
from collections.abc import Iterator
from typing import Any

_WIDTH = 80  # characters of a value before it is cut


def as_json(facts: Any) -> Any:
    """The facts as they come back from a file: tuples are lists, keys are text."""
    return json.loads(json.dumps(facts))


def differences(stored: Any, asked: Any, place: str = "") -> Iterator[str]:
    """One line such as "optimiser.rho: stored 0.01, asked 0.02" for each value that differs.

    Args:
      stored, asked: JSON values (see `as_json`); what one lacks is "nothing".
      place: the dotted name of the two, put before the names inside them.
    """
    if isinstance(stored, dict) and isinstance(asked, dict):
        for name in {**asked, **stored}:
            inner = f"{place}.{name}" if place else name
            yield from differences(stored.get(name), asked.get(name), inner)
    elif _is_nested(stored) and _is_nested(asked):
        for i in range(max(len(stored), len(asked))):
            pair = (value[i] if i < len(value) else None for value in (stored, asked))
            yield from differences(*pair, f"{place}[{i}]")
    elif stored != asked:
        yield f"{place}: stored {_told(stored)}, asked {_told(asked)}"


def _is_nested(value: Any) -> bool:
    """Whether it is a list of more than numbers and words; those are told as a whole."""
    return isinstance(value, list) and any(isinstance(part, (list, dict)) for part in value)


def _told(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."
