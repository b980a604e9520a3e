"""Runs an experiment for every setting of a grid and every seed; one table, one plot.

    python -m experiments.sweep --config=configs/digits_ipc1.py \\
        --over=matching.metric=absolute,relative --over=matching.pruning_rate=0,0.1 --seeds=3
    python -m experiments.sweep --config=configs/digits_ipc1.py \\
        --sweep=configs/sweeps/methods.py --seeds=3

Each setting and seed is an ordinary run in WORKDIR/<setting>/seed=<n>. The same command
continues a stopped sweep. Several processes can share it, e.g. one per GPU by
CUDA_VISIBLE_DEVICES. Settings with the same expert training share their experts. After
every run WORKDIR gets new versions of table.csv, table.md and plot.png.
"""

import pathlib

from absl import flags

from dpd_jax.datasets.own import Description
from dpd_jax.runs import completion, console, loop, sources
from dpd_jax.sweeps import grid as grid_lib
from dpd_jax.sweeps import runner
from experiments import _cli

OVER = flags.DEFINE_multi_string(
    "over",
    [],
    "A field and its values, e.g. matching.pruning_rate=0,0.1 or method=dpd,datm. Several flags "
    "give all combinations.",
)
SWEEP = flags.DEFINE_string("sweep", None, "A file of fields and values, see configs/sweeps/.")
SEEDS = flags.DEFINE_integer("seeds", 1, "Runs per setting, with seeds 0, 1, ...", lower_bound=1)


def main() -> None:
    products = grid_lib.read(SWEEP.value) if SWEEP.value else ()
    if OVER.value or not products:
        products = grid_lib.combine(products, grid_lib.parse(OVER.value))
    known: dict[str, Description] = {}
    config = completion.complete(_cli.CONFIG.value, _cli.DATA_DIR.value, known)
    grid = grid_lib.make(_cli.sweep_base(known), products)
    folder = _cli.WORKDIR.value or pathlib.Path(f"{_cli.default_workdir(config)}-sweep")
    runs = runner.plan_runs(grid, SEEDS.value, folder)
    shared = sources.Sources(
        _cli.DATA_DIR.value,
        _cli.cache_dir(),
        _cli.EXPERTS_DIR.value,
        [setting.experiment for setting in grid],
        earlier=folder / "experts",
    )
    console.say(f"{len(grid)} settings x {SEEDS.value} seeds = {len(runs)} runs -> {folder}")
    runner.go(runs, folder, shared, loop.run, _cli.line())


if __name__ == "__main__":
    _cli.run(main, _cli.DATA_DIR, _cli.EXPERTS_DIR, _cli.WORKDIR)
