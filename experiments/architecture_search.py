"""Searches the best ConvNet of a space on distilled sets, and on the real data.

    python -m experiments.architecture_search --config=configs/digits_ipc10.py:small \\
        --distilled=runs/digits_ipc10-dpd-small/distilled.npz --space=small --seeds=3

Every architecture is trained on each set, on as many random real images, on the real data for as
many updates (early stopping), and on the whole training set, which is the reference.
`dpd_jax/judging/search_candidates.py` says which images each is tested on. table.md, table.csv,
architectures.csv, plot.png and results.json are written to --workdir. The same command continues
a stopped search; with more --seeds or other sets it trains only what is missing.
"""

import pathlib

from absl import flags

from dpd_jax.errors import UserError
from dpd_jax.judging import architectures, search_run
from dpd_jax.runs import console, run_data
from dpd_jax.runs.experiment import Experiment
from dpd_jax.storage import distilled_set
from dpd_jax.storage.distilled_set import DistilledSet

from . import _cli

DISTILLED = flags.DEFINE_list("distilled", None, "The distilled.npz files to search with.")
SPACE = flags.DEFINE_enum(
    "space", "small", list(architectures.SPACES), "The architectures to choose from."
)
SEEDS = flags.DEFINE_integer(
    "seeds", 3, "Networks of each architecture on each set.", lower_bound=1
)


def main() -> None:
    if not DISTILLED.value:
        raise UserError("no --distilled given: name one or more distilled.npz, with commas.")
    config = _cli.config()
    experiment = Experiment.from_config(config)
    sets = read_sets(experiment)
    data = run_data.load(config, _cli.DATA_DIR.value, _cli.cache_dir())
    default = f"{_cli.default_workdir(config)}-search-{SPACE.value}"
    folder = pathlib.Path(_cli.WORKDIR.value or default)
    text = search_run.run(experiment, data, sets, folder, space=SPACE.value, seeds=SEEDS.value)
    console.result(text.rstrip())
    console.say(f"{folder / 'table.md'}, table.csv, architectures.csv, plot.png, results.json")


def read_sets(experiment: Experiment) -> dict[str, DistilledSet]:
    """The sets by their names in tables; raises UserError if one does not fit the config."""
    config = experiment.config
    paths = [pathlib.Path(name).expanduser() for name in DISTILLED.value]
    short = [path.parent.name or path.stem for path in paths]
    sets = {}
    for path, name in zip(paths, short, strict=True):
        made = distilled_set.read(path)
        found = made.images.shape[1:], made.label_logits.shape[1]
        if found != (tuple(config.image_shape), config.num_classes):
            raise UserError(
                f"{path} holds images of shape {found[0]} for {found[1]} classes, but the config "
                f"is for {tuple(config.image_shape)} and {config.num_classes}."
            )
        sets[name if short.count(name) == 1 else str(path)] = made
    return sets


if __name__ == "__main__":
    _cli.run(main, _cli.DATA_DIR, _cli.WORKDIR)
