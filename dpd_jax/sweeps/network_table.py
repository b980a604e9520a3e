"""The sets of a sweep on networks, as Markdown and CSV: a line a setting, beside the claims."""

import csv
import io
from collections.abc import Sequence

from dpd_jax.judging import tables
from dpd_jax.judging.results import Row
from dpd_jax.presets import fields
from dpd_jax.sweeps.grid import Setting
from dpd_jax.sweeps.runner import Run
from dpd_jax.sweeps.sweep_file import SweepFile
from dpd_jax.sweeps.table import CLAIMS, REDUCED, failed, line_of

Judged = Sequence[tuple[Run, list[Row]]]  # the rows of a run's set, one a network


def markdown(judged: Judged, file: SweepFile, failures: dict[str, str], line: str) -> str:
    """The table for people: accuracies, the paper's figures, what failed, and the command."""
    by_setting = _by_setting(judged)
    settings = [setting for setting, _ in by_setting]
    claimed = any(file.figures(setting) for setting in settings)
    names = _columns(settings)
    heads = [fields.short(name, settings[0].experiment.config) for name in names]
    for network in file.networks:
        heads += [network, f"claimed ({file.paper}), %"] if claimed else [network]
    lines = [line_of(heads), line_of(["---"] * len(heads))]
    for setting, rows in by_setting:
        cells = _values(setting, names)
        for network in file.networks:
            found = [x for row in rows if row.network == network for x in row.accuracies]
            cells.append(tables.percent(found) if found else "-")
            cells += [file.figures(setting).get(network, "")] if claimed else []
        lines.append(line_of(cells))
    notes = [
        "Test accuracy in % of new networks trained on each frozen set, at their last epoch: mean "
        "± population standard deviation over the networks of all seeds (their number).",
        *([CLAIMS] if claimed else []),
        *([REDUCED] if settings[0].experiment.config.scale == "small" else []),
    ]
    return "\n".join([*lines, "", *notes, "", f"    {line}", "", *failed(failures)])


def csv_lines(judged: Judged, file: SweepFile) -> str:
    """One line per setting, seed and network; accuracies in [0, 1]."""
    text = io.StringIO(newline="")
    names = _columns([run.setting for run, _ in judged])
    writer = csv.writer(text)
    columns = ("seed", "network", "mean", "std", "networks", "accuracies", "claimed")
    writer.writerow([*names, *columns])
    for run, rows in judged:
        claims = file.figures(run.setting)
        for row in rows:
            accuracies = ";".join(map(repr, row.accuracies))
            figures = (row.mean, row.std, len(row.accuracies), accuracies)
            own = (run.seed, row.network, *figures, claims.get(row.network, ""))
            writer.writerow([*_values(run.setting, names), *own])
    return text.getvalue()


def claims(settings: Sequence[Setting], file: SweepFile) -> list[str]:
    """Lines with the paper's figures alone, where ours stand in tables of another form."""
    figures = {x.label: own for x in settings if (own := file.figures(x))}
    columns = list(dict.fromkeys(name for own in figures.values() for name in own))
    if not columns:
        return []
    heads = [f"claimed ({file.paper})", *columns]
    lines = [line_of(heads), line_of(["---"] * len(heads))]
    for label, own in figures.items():
        lines.append(line_of([label, *(own.get(name, "") for name in columns)]))
    reduced = settings[0].experiment.config.scale == "small"
    return [*lines, "", CLAIMS, *([REDUCED] if reduced else []), ""]


def _by_setting(judged: Judged) -> list[tuple[Setting, list[Row]]]:
    found: dict[str, tuple[Setting, list[Row]]] = {}
    for run, rows in judged:
        found.setdefault(run.setting.name, (run.setting, []))[1].extend(rows)
    return list(found.values())


def _columns(settings: Sequence[Setting]) -> list[str]:
    return list(dict.fromkeys(name for setting in settings for name in setting.values))


def _values(setting: Setting, names: Sequence[str]) -> list[str]:
    return [fields.text(setting.values[x]) if x in setting.values else "" for x in names]
