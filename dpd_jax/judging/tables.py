"""Rows of an evaluation as Markdown, CSV and JSON."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from dpd_jax.judging.results import Row
from dpd_jax.runs.experiment import Experiment

_HEAD = ("trained on", "learning rate", "labels", "preprocessing")


def caption(experiment: Experiment, protocol_name: str | None) -> str:
    """What the numbers are and how the networks were trained, in one line."""
    protocol, families = experiment.protocol, experiment.augmentation.families
    name = f"protocol {protocol_name}: " if protocol_name else ""
    decay = ""
    if protocol.decay_epoch < protocol.epochs:
        decay = f"learning rate x {protocol.decay_factor:g} from epoch {protocol.decay_epoch}, "
    text = (
        f"{experiment.data_name}, test accuracy in %, last epoch, mean ± std (networks); {name}"
        f"{protocol.epochs} epochs, batch {protocol.batch_size}, {decay}augmentation "
        f"{'+'.join(families) or 'none'}."
    )
    if protocol.test_every:
        text += (
            f" best: the best of tests every {protocol.test_every} epochs; the test images choose "
            "it, so it is too high."
        )
    return text


def markdown(rows: Sequence[Row], caption: str) -> str:
    """A line a candidate, a column a network; the caption says how they were trained.

    Where networks were tested in training, a second column of each network has the best test.
    """
    tested = bool(rows[0].settings["protocol"]["test_every"])
    names = list(dict.fromkeys(row.network for row in rows))
    columns = [(name, best) for name in names for best in ((False, True) if tested else (False,))]
    head = [*_HEAD, *(f"{name}, best" if best else name for name, best in columns)]
    lines = [caption, "", line(head), "| --- " * len(head) + "|"]
    for candidate in dict.fromkeys(row.candidate for row in rows):
        own = {row.network: row for row in rows if row.candidate == candidate}
        how = next(iter(own.values())).settings
        cells = [
            percent(own[name].best if best else own[name].accuracies) for name, best in columns
        ]
        rate = f"{how['learning_rate']:.4g}"
        lines.append(line([candidate, rate, how["labels"], how["preprocessing"], *cells]))
    return "\n".join(lines) + "\n"


def csv_lines(rows: Sequence[Row]) -> str:
    """One line per candidate and network."""
    records = [record(row) for row in rows]
    text = io.StringIO()
    columns = [name for name in records[0] if name not in ("accuracies", "best_accuracies")]
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def record(row: Row) -> dict[str, Any]:
    """A row with all that was printed with it, accuracies as fractions."""
    settings, protocol = row.settings, row.settings["protocol"]
    found: dict[str, Any] = {
        "trained_on": row.candidate,
        "network": row.network,
        "mean": row.mean,
        "std": row.std,
        "networks": len(row.accuracies),
    }
    if protocol["test_every"]:
        found |= {"best_mean": float(np.mean(row.best)), "best_std": float(np.std(row.best))}
    found |= {
        name: settings[name] for name in ("learning_rate", "labels", "preprocessing", "images")
    }
    found |= {name: protocol[name] for name in protocol}
    found |= {
        "augmentation": "+".join(settings["augmentation"]["families"]) or "none",
        "tested_on": settings["tested_on"],
        "seed": settings["seed"],
        "accuracies": row.accuracies,
    }
    return found | ({"best_accuracies": row.best} if protocol["test_every"] else {})


def line(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def percent(accuracies: Sequence[float]) -> str:
    """Accuracies as "91.6 ± 1.1 (5)"."""
    mean, std = 100 * np.mean(accuracies), 100 * np.std(accuracies)
    return f"{mean:.1f} ± {std:.1f} ({len(accuracies)})"
