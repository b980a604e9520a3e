"""Runs an experiment for every point of a grid and every seed; one table, one plot.

    python -m experiments.sweep --config=configs/digits_ipc1.py \\
        --over=matching.metric=absolute,relative --over=matching.pruning_rate=0,0.1 --seeds=3
    python -m experiments.sweep --config=configs/digits_ipc1.py \\
        --sweep=configs/sweeps/methods.py --seeds=3

Each point and seed is an ordinary run in WORKDIR/<point>/seed=<n>. The same
command again goes on where it was stopped, and knows what is finished; several
of it at once (one a GPU, by CUDA_VISIBLE_DEVICES) share the runs out among
themselves. Points whose experts are made in the same way share them. What is
left besides:

    table.csv  table.md  plot.png    of all that is finished, new after every run
"""

import pathlib

from absl import flags
from ml_collections import config_flags

from dpd_jax.runs import console, loop, sources
from dpd_jax.sweeps import grid as grid_lib
from dpd_jax.sweeps import runner
from experiments import _cli

OVER = flags.DEFINE_multi_string(
    "over",
    [],
    "A field and its values, e.g. matching.pruning_rate=0,0.1; or method=dpd,datm. Several of "
    "these flags are multiplied.",
)
SWEEP = flags.DEFINE_string("sweep", None, "A file of configs/sweeps/: fields and their values.")
SEEDS = flags.DEFINE_integer("seeds", 1, "Runs of each point, with seeds 0, 1, ...", lower_bound=1)


def main() -> None:
    products = grid_lib.read(SWEEP.value) if SWEEP.value else ()
    if OVER.value or not products:
        products = grid_lib.combine(products, grid_lib.parse(OVER.value))
    grid = grid_lib.make(_base(), products)
    folder = pathlib.Path(_cli.WORKDIR.value or f"{_cli.default_workdir()}-sweep")
    runs = runner.plan_runs(grid, SEEDS.value, folder)
    shared = sources.SharedSources(
        _cli.DATA_DIR.value,
        _cli.cache_dir(),
        pathlib.Path(_cli.EXPERTS_DIR.value or folder / "experts"),
        [setting.experiment for setting in grid],
    )
    console.say(f"{len(grid)} points x {SEEDS.value} seeds = {len(runs)} runs -> {folder}")
    runner.go(runs, folder, shared, loop.run, _cli.line())


def _base() -> grid_lib.Base:
    flag = flags.FLAGS["config"]
    path, _, words = config_flags.get_config_filename(flag).partition(":")
    overrides = config_flags.get_override_values(flag)
    return grid_lib.Base(words, overrides, lambda words: flag.parser.parse(f"{path}:{words}"))


if __name__ == "__main__":
    _cli.run(main, _cli.DATA_DIR, _cli.EXPERTS_DIR, _cli.WORKDIR)
