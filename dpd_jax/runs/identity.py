"""Decides whether two configs describe the same run, the same evaluation or the same data.

A config.json of an older version is brought into today's form first; fields that it
lacks have the defaults of `dpd_jax/presets/base.py`.
"""

import functools
import json
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from dpd_jax.presets import base, fields
from dpd_jax.storage.provenance import as_json

# Fields that change speed, memory or logging, but no result.
_NO_RESULT = (
    "data.device_images",
    "distill.log_every",
    "distill.checkpoint_every",
    "distill.cache_gigabytes",
    "distill.memory_gigabytes",
    "matching.ranking",
    "student.augment",
    "student.unroll",
    "experts.at_once",
    "evaluate.at_once",
    "evaluate.every",
    "evaluate.every_networks",
    "evaluate.test_batch",
)


def of_run(config: ConfigDict | dict) -> dict[str, Any]:
    """The fields that must stay the same when a run is continued, {"group.field": JSON value}.

    More iterations extend a run, and a finished run can be evaluated and judged in another way.
    The config may be that of a config.json.
    """
    return _select(config, lambda name: not _of_evaluation(name) and not _only_judges(name))


def of_evaluation(config: ConfigDict | dict) -> dict[str, Any]:
    """The fields that only the final evaluation of a run depends on, as `of_run`."""
    return _select(config, _of_evaluation)


def of_data(config: ConfigDict) -> str:
    """The fields that the data of a run depend on, as one text."""
    others = ("image_shape", "num_classes")
    return json.dumps(
        _select(config, lambda name: name.startswith("data.") or name in others), sort_keys=True
    )


def of_accuracy(config: ConfigDict | dict) -> dict[str, Any]:
    """The fields that the accuracy of a given set depends on, as `of_run`."""
    groups, others = ("network.", "augment.", "evaluate."), ("seed", "data.test_images")
    return _select(config, lambda name: name in others or name.startswith(groups))


def _of_evaluation(name: str) -> bool:
    return name == "distill.iterations" or name.startswith("evaluate.")


def _only_judges(name: str) -> bool:
    """Whether only commands that judge finished sets read the field."""
    return name.startswith(("judging.", "search."))


@functools.cache
def _defaults() -> dict[str, Any]:
    return fields.flat(base.get_config())


def _select(config: ConfigDict | dict, chosen: Callable[[str], bool]) -> dict[str, Any]:
    complete = as_json(_defaults() | fields.flat(base.upgrade(config)))
    return {name: complete[name] for name in complete if chosen(name) and name not in _NO_RESULT}
