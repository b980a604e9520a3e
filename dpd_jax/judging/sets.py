"""The distilled sets to judge: read, checked against a config, and named."""

import itertools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from dpd_jax.datasets import loading
from dpd_jax.datasets.loading import Dataset
from dpd_jax.errors import UserError
from dpd_jax.runs import identity, run_data
from dpd_jax.storage import distilled_set, provenance
from dpd_jax.storage.distilled_set import DistilledSet


def read(paths: Sequence[pathlib.Path], config: ConfigDict) -> dict[str, DistilledSet]:
    """Sets by name: that of the file's folder, or where two agree, what differs in the paths.

    Raises:
      UserError: if a file cannot be read, or its images or classes are not those of the config.
    """
    found = {}
    for path, name in zip(paths, _names(paths), strict=True):
        made = distilled_set.read(path)
        shape, classes = made.images.shape[1:], made.label_logits.shape[1]
        if (shape, classes) != (tuple(config.image_shape), config.num_classes):
            raise UserError(
                f"{path} holds images of shape {shape} for {classes} classes, but the config is "
                f"for {tuple(config.image_shape)} and {config.num_classes}. Give the config that "
                "the set was made with."
            )
        found[name] = made
    return found


def _names(paths: Sequence[pathlib.Path]) -> list[str]:
    """A short name for each path; equal paths have equal names."""
    short = [path.parent.name or path.stem for path in paths]
    if len(set(short)) == len(short):
        return short
    parts = [path.parts for path in paths]
    if len(set(map(len, parts))) > 1:
        return [str(path) for path in paths]
    differs = [len(set(places)) > 1 for places in zip(*parts, strict=True)]
    short = ["/".join(itertools.compress(own, differs)) for own in parts]
    return [name or str(path) for name, path in zip(short, paths, strict=True)]


def command(sets: Mapping[str, DistilledSet], config: ConfigDict, *asked: Any) -> str:
    """All that determines how some sets are judged, as text; `asked` are JSON values."""
    digests = {name: made.provenance["sha256"] for name, made in sets.items()}
    return json.dumps([*asked, config.to_json_best_effort(), digests])


def check_data(sets: Mapping[str, DistilledSet], dataset: Dataset, config: ConfigDict) -> list[str]:
    """A sentence for each set made from other training images than a run of the config would have.

    `dataset` still has the images that such a run holds out for validation.

    Raises:
      UserError: if a set's classes have other names.
    """
    for name, made in sets.items():
        if made.class_names != dataset.class_names:
            raise UserError(
                f"the classes of {name} are {_few(made.class_names)}; those of {dataset.name} are "
                f"{_few(dataset.class_names)}. Give the config that the set was made with."
            )
    kept = loading.fingerprint(run_data.hold_out(dataset, config)[0])
    return [
        f"{name} was made from other training images of {dataset.name} than the config asks for."
        for name, made in sets.items()
        if made.provenance.get("training_data") not in (None, kept)
    ]


def stored_accuracy(made: DistilledSet, config: ConfigDict) -> str:
    """The accuracy that the file of a set states, with what differed then; "" if it states none."""
    accuracy = made.provenance.get("accuracy")
    if accuracy is None:
        return ""
    mean, std, count = 100 * accuracy["mean"], 100 * accuracy["std"], len(accuracy["runs"])
    text = f"stored when it was made: {mean:.2f} ± {std:.2f} % ({count} networks)"
    then = made.provenance.get("config")
    if then is None:
        return text
    changed = list(provenance.differences(identity.of_accuracy(then), identity.of_accuracy(config)))
    return f"{text}, under other settings: {'; '.join(changed)}" if changed else text


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
