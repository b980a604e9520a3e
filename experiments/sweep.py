"""Runs an experiment for every setting of a grid and every seed; one table, one plot.

    python -m experiments.sweep --config=configs/digits_ipc1.py \\
        --over=matching.metric=absolute,relative --over=matching.pruning_rate=0,0.1 --seeds=3
    python -m experiments.sweep --config=configs/digits_ipc1.py \\
        --sweep=configs/sweeps/methods.py --seeds=3
    python -m experiments.sweep --sweep=configs/sweeps/dpd_table5.py:small

Each setting and seed is an ordinary run in WORKDIR/<setting>/seed=<n>. The same command
continues a stopped sweep, and several processes of it share the runs; --devices=all starts one a
visible device. Settings with the same expert training share their experts. After every run
table.csv, table.md and plot.png are written anew: to WORKDIR, or, for a sweep file, to
WORKDIR/<file>, so that files whose settings are the same share their runs.

A sweep file of configs/sweeps/ may be a table of a paper: it names its configs, so that --config
is not needed, and the paper's figures, which are printed beside ours as claimed. Some judge the
finished sets on several networks (networks.md) or by architecture search (search.md). A method or
a scale ("small") may follow a colon. With --config the settings of the file are run on that config
alone.
"""

import pathlib

from absl import flags

from dpd_jax.datasets.own import Description
from dpd_jax.errors import UserError
from dpd_jax.runs import completion, console, loop, run_data, sources
from dpd_jax.sweeps import grid as grid_lib
from dpd_jax.sweeps import judged, runner, sweep_file
from dpd_jax.sweeps.runner import Run
from dpd_jax.sweeps.sweep_file import SweepFile

from . import _arguments, _cli

OVER = flags.DEFINE_multi_string(
    "over",
    [],
    "A field and its values, e.g. matching.pruning_rate=0,0.1 or method=dpd,datm. Several flags "
    "give all combinations.",
)
SWEEP = flags.DEFINE_string(
    "sweep",
    None,
    "A file of fields and values, see configs/sweeps/; if it names its configs, with a method and "
    "a scale ('small') after a colon if wanted.",
)
SEEDS = flags.DEFINE_integer("seeds", 1, "Runs per setting, with seeds 0, 1, ...", lower_bound=1)
NETWORKS = flags.DEFINE_list(
    "networks",
    None,
    "Networks on which finished sets are judged, e.g. convnet,mlp (default: those of the sweep "
    "file).",
)
DRY_RUN = flags.DEFINE_bool("dry_run", False, "Only list the runs that are missing.")


def main() -> None:
    file = _file()
    known: dict[str, Description] = {}
    grid = grid_lib.make(_cli.sweep_base(known), file.over)
    judged.check([setting.experiment for setting in grid], file.networks)
    folder = _cli.WORKDIR.value or _default_folder(known)
    runs = runner.plan_runs(grid, SEEDS.value, folder)
    missing = sum(not run.finished for run in runs)
    console.say(
        f"{len(grid)} settings x {SEEDS.value} seeds = {len(runs)} runs, {missing} of them "
        f"missing -> {folder}"
    )
    if file.networks:
        console.say(f"each finished set is then judged on {', '.join(file.networks)}")
    if file.search:
        console.say("an architecture search with the finished sets follows")
    if DRY_RUN.value:
        console.result(runner.missing(runs))
        return
    table = folder / file.name
    if _cli.DEVICES.value:
        share_out(runs, file, table)
        return
    shared = sources.Sources(
        _cli.DATA_DIR.value,
        _cli.cache_dir(),
        _cli.EXPERTS_DIR.value,
        [setting.experiment for setting in grid],
        earlier=folder / "experts",
    )

    def judge(finished: list[Run]) -> dict[str, str]:
        failures: dict[str, str] = {}
        if file.networks:
            failures |= judged.on_networks(
                finished,
                file,
                table,
                read=lambda config: run_data.read(config, _cli.DATA_DIR.value),
                cache=_cli.cache_dir() / "judging",
                line=_cli.line(),
            )
        if file.search:
            failures |= judged.by_search(finished, file, table, read=shared.data)
        return failures

    runner.go(runs, table, shared, loop.run, _cli.line(), file, judge)


def share_out(runs: list[Run], file: SweepFile, table: pathlib.Path) -> None:
    """Does in processes of this command what is missing, and prints the tables."""
    judging = bool(file.networks or file.search)  # One more piece of work, for the last process.
    failure = None
    try:
        _cli.start_processes(lambda: sum(not run.finished for run in runs) + judging)
    except UserError as error:
        failure = error
    names = ["table.md", *["networks.md"] * bool(file.networks), *["search.md"] * bool(file.search)]
    for path in filter(pathlib.Path.is_file, [table / name for name in names]):
        console.result(path.read_text(encoding="utf-8").rstrip())
        console.say(str(path))
    if failure:
        raise failure


def _file() -> SweepFile:
    """The sweep file with the --over flags."""
    file = SweepFile("", ())
    if SWEEP.value:
        path, colon, _ = SWEEP.value.partition(":")
        file = sweep_file.read(path)
        if _cli.config_is_given():
            config, _ = _cli.given_config()
            file = file.of_config(sweep_file.config_name(config))
            if colon:
                raise UserError(
                    f"--sweep={SWEEP.value}: with --config, a method and a scale follow its colon: "
                    f"--config={config.partition(':')[0]}:..."
                )
    if OVER.value or not file.over:
        file = file._replace(over=grid_lib.combine(file.over, grid_lib.parse(OVER.value)))
    if NETWORKS.value is not None:
        file = file._replace(networks=tuple(NETWORKS.value))
    return file


def _default_folder(known: dict[str, Description]) -> pathlib.Path:
    """runs/tables-<method and scale>-<values set by flags> if the sweep file names the configs."""
    if _cli.config_is_given():
        config = completion.complete(_cli.CONFIG.value, _cli.DATA_DIR.value, known)
        return pathlib.Path(f"{_cli.default_workdir(config)}-sweep")
    file, overrides = _cli.given_config()
    arg = file.partition(":")[2]
    return pathlib.Path("runs") / _cli.tables_name(_cli.CONFIG.value, arg, overrides)


def _config_of_file(argv: list[str]) -> str:
    """The config that a sweep file gives; "" if there is none."""
    value = _arguments.typed(argv, "sweep")
    return sweep_file.config_of(value) if value else ""


if __name__ == "__main__":
    _cli.run(
        main,
        _cli.DATA_DIR,
        _cli.EXPERTS_DIR,
        _cli.WORKDIR,
        _cli.DEVICES,
        config_of=_config_of_file,
    )
