"""An architecture search, from a config to its tables."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence
from typing import Any

import jax

from dpd_jax.judging import sets as sets_lib
from dpd_jax.judging.search import candidates as candidates_lib
from dpd_jax.judging.search import forecast as forecast_lib
from dpd_jax.judging.search import space as space_lib
from dpd_jax.judging.search import table, training
from dpd_jax.judging.search.candidates import Candidate
from dpd_jax.judging.search.results import SearchResults
from dpd_jax.runs import console, keys, shared_work
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.runs.shared_work import ShareOut
from dpd_jax.storage import atomic, locks
from dpd_jax.storage.distilled_set import DistilledSet


def run(
    experiment: Experiment,
    data: RunData,
    sets: dict[str, DistilledSet],
    folder: pathlib.Path,
    *,
    space: str,
    seeds: int,
    share_out: ShareOut = shared_work.alone,
) -> str:
    """Trains what is missing, and writes the results; returns the table as text.

    Several processes may do the same: each network is trained by one of them. With `share_out`
    this process does the work that others leave.

    Args:
      experiment: gives `search`, the training protocol, the augmentation and the seed.
      data: the real data, in the model space of the config.
      sets: name in the table -> distilled set.
      folder: of the files.
      space: a name in `space_lib.SPACES`.
      seeds: networks of each architecture on each set.
      share_out: counts networks side by side as one piece of work.

    Raises:
      UserError: if the folder holds another search or is in use by one, or as
        `candidates_lib.candidates`.
    """
    command = sets_lib.command(sets, experiment.config, space, seeds)
    with locks.together(folder, "--workdir", command):
        return _run(experiment, data, sets, folder, space, seeds, command, share_out)


def _run(experiment, data, sets, folder, space, seeds, command: str, share_out: ShareOut) -> str:
    config = experiment.config
    stem_padding, shape = config.network.stem_padding, tuple(config.image_shape)
    every = space_lib.space(space)
    fitting = [one for one in every if space_lib.fits(one, shape, stem_padding)]
    if len(fitting) < len(every):
        console.say(
            f"{len(every) - len(fitting)} of {len(every)} architectures are left out: images of "
            f"{shape[0]}x{shape[1]} do not allow so many poolings."
        )
    pool, candidates = candidates_lib.candidates(sets, data, experiment, seeds)
    results = SearchResults(folder / "results.json", _settings(experiment, data, candidates, space))
    families = space_lib.families(
        fitting,
        image_shape=shape,
        num_classes=config.num_classes,
        stem_padding=stem_padding,
        method=config.network.convolution,
        precision=config.network.precision,
    )
    work = training.groups(families, candidates, config.search.at_once)
    share_out(lambda: len(training.missing(work, results)))
    if left := training.missing(work, results):
        images, label_logits = pool()
        trainer = training.Trainer(
            images,
            label_logits,
            experiment.augmentation,
            jax.random.fold_in(jax.random.key(config.seed), keys.ARCHITECTURE_SEARCH),
            config.evaluate.test_batch,
        )
        seconds = forecast_lib.forecast(trainer, list(left.values()))
        by_place = dict(zip(left, seconds, strict=True))
        training.search(trainer, work, by_place, results, folder, command)
    names = [one.name for one in fitting]
    searches = f"{space}; mean ± std over {seeds} searches, of one network per architecture each"
    return _write(experiment, searches, names, candidates, results, folder)


def _settings(
    experiment: Experiment, data: RunData, candidates: Sequence[Candidate], space: str
) -> dict[str, Any]:
    """All that determines an accuracy beside the candidate, the architecture and its number."""
    config = experiment.config
    rates = ("learning_rate", "real_learning_rate", "validation_share")
    return {
        "space": space,
        "seed": config.seed,
        "data": data.fingerprint,
        "test_images": len(data.dataset.test_labels),
        "preprocessing": hashlib.sha256(
            data.preprocessing.mean.tobytes() + data.preprocessing.matrix.tobytes()
        ).hexdigest()[:16],
        "search": {name: config.search[name] for name in rates},
        "reference": dataclasses.asdict(candidates[0].protocol),
        "sets": dataclasses.asdict(candidates[1].protocol),
        "augmentation": dataclasses.asdict(experiment.augmentation),
        "stem_padding": config.network.stem_padding,
    }


def _write(experiment, searches: str, names, candidates, results, folder) -> str:
    """Writes table.md, table.csv, architectures.csv and plot.png; returns the first."""
    from dpd_jax.plots import scatter  # Matplotlib takes a second to import.

    arrays = [results.array(each.identity, names, each.networks) for each in candidates]
    real = arrays[0].mean(0)
    rankings = [
        table.Ranking(each.name, array, results.seconds(each.identity))
        for each, array in zip(candidates[1:], arrays[1:], strict=True)
    ]
    text = table.markdown(
        rankings, real, names, _caption(experiment, searches, len(names), results)
    )
    atomic.write_text(folder / "table.md", text)
    atomic.write_text(folder / "table.csv", table.csv_lines(rankings, real))
    lines = table.architecture_lines(rankings, real, names)
    atomic.write_text(folder / "architectures.csv", lines)
    panels = {ranking.candidate: ranking.proxy.mean(0) for ranking in rankings}
    title = f"{experiment.data_name}: {len(names)} ConvNets"
    scatter.save(folder / "plot.png", panels, real, title=title)
    return text


def _caption(experiment: Experiment, searches: str, count: int, results: SearchResults) -> str:
    """How the networks were trained and tested, in one paragraph."""
    config = experiment.config.search
    seconds = results.seconds(candidates_lib.REFERENCE)
    return (
        f"{experiment.data_name}, {count} ConvNets of the space {searches}. Real accuracy: "
        f"trained on the whole training set for {config.real_epochs} epochs ({seconds:.0f} "
        f"seconds), on test images. Searches: {config.epochs} epochs, ranked by accuracy on "
        f"{100 * config.validation_share:g} % of the training images, which random real and early "
        "stopping do not train on; a distilled set was made of all. Equal accuracies share their "
        "mean rank. Seconds include compilation, most of it in the first line."
    )
