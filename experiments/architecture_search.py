"""Searches the best ConvNet of a space on distilled sets, and on the real data.

    python -m experiments.architecture_search --config=configs/digits_ipc10.py:small \\
        --distilled=runs/digits_ipc10-dpd-small/distilled.npz --space=small --seeds=3

Every architecture is trained on each set, on as many random real images, on the real data for as
many updates (early stopping), and on the whole training set, which is the reference.
`dpd_jax/judging/search/candidates.py` says which images each is tested on. table.md, table.csv,
architectures.csv, plot.png and results.json are written to --workdir. The same command continues
a stopped search; with more --seeds or other sets it trains only what is missing. Several processes
of it share the networks; --devices=all starts one a visible device.
"""

import pathlib

from absl import flags

from dpd_jax.errors import UserError
from dpd_jax.judging import sets
from dpd_jax.judging.search import run as run_lib
from dpd_jax.judging.search import space as space_lib
from dpd_jax.runs import console, run_data
from dpd_jax.runs.experiment import Experiment

from . import _cli

DISTILLED = flags.DEFINE_list("distilled", None, "The distilled.npz files to search with.")
SPACE = flags.DEFINE_enum(
    "space", "small", list(space_lib.SPACES), "The architectures to choose from."
)
SEEDS = flags.DEFINE_integer(
    "seeds", 3, "Networks of each architecture on each set.", lower_bound=1
)


def main() -> None:
    if not DISTILLED.value:
        raise UserError("no --distilled given: name one or more distilled.npz, with commas.")
    config = _cli.config()
    experiment = Experiment.from_config(config)
    made = sets.read([pathlib.Path(name).expanduser() for name in DISTILLED.value], config)
    data = run_data.load(config, _cli.DATA_DIR.value, _cli.cache_dir())
    default = f"{_cli.default_workdir(config)}-search-{SPACE.value}"
    folder = pathlib.Path(_cli.WORKDIR.value or default)
    text = run_lib.run(
        experiment,
        data,
        made,
        folder,
        space=SPACE.value,
        seeds=SEEDS.value,
        share_out=_cli.share_out,
    )
    console.result(text.rstrip())
    console.say(f"{folder / 'table.md'}, table.csv, architectures.csv, plot.png, results.json")


if __name__ == "__main__":
    _cli.run(main, _cli.DATA_DIR, _cli.WORKDIR, _cli.DEVICES)
