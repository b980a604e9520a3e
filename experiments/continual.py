"""Class-incremental learning from distilled memories, by DM's protocol (GDumb).

    python -m experiments.continual --config=configs/digits_ipc1.py:small --methods=random,mtt

The classes come in --steps equal steps, in --orders class orders (NumPy's permutations of seeds
0, 1, ...). For each step a memory is distilled from the training images of its classes alone:
an ordinary run with data.classes, in WORKDIR/<method>/order=<s>/step=<i>of<n>. After each step
--num_networks fresh networks are trained on the memory so far. WORKDIR gets table.md, table.csv,
curves.png and results.json. The same command continues an interrupted one; with more --orders or
--num_networks it extends it.

Memories of different steps are concatenated in one model space: that of the order's first step.
With data.preprocessing=per_channel and a given mean and std all steps have the same space, as in
DM's program. ZCA is fitted on the images of each step alone, so that no step knows of later ones;
a later memory goes to the first step's space by way of pixels, without rounding.

The networks are trained by --protocol=dm: learning rate 0.01, whatever step size was learned,
1001 epochs, batches of 256. Values given by --config.evaluate flags take precedence.
"""

import pathlib

from absl import flags

from dpd_jax.datasets.own import Description
from dpd_jax.errors import UserError
from dpd_jax.judging.continual import judge, memories
from dpd_jax.judging.continual import table as table_lib
from dpd_jax.judging.results import Results
from dpd_jax.presets import protocols
from dpd_jax.runs import completion, console, run_data
from dpd_jax.runs.experiment import Experiment
from dpd_jax.storage import locks
from dpd_jax.sweeps import grid as grid_lib

from . import _cli

STEPS = flags.DEFINE_integer("steps", 5, "Steps that the classes are divided into.", lower_bound=1)
ORDERS = flags.DEFINE_integer("orders", 5, "Class orders, seeds 0, 1, ...", lower_bound=1)
NUM_NETWORKS = flags.DEFINE_integer(
    "num_networks", 3, "Networks after each step of each class order.", lower_bound=1
)
METHODS = flags.DEFINE_list(
    "methods",
    None,
    "Methods that make the memories, e.g. random,herding,dpd (default: that of --config).",
)
PROTOCOL = flags.DEFINE_string(
    "protocol",
    "dm",
    f"How networks are trained on a memory: {', '.join(protocols.PROTOCOLS)}, or empty for the "
    "config's values.",
)


def main() -> None:
    known: dict[str, Description] = {}
    config = completion.complete(_cli.CONFIG.value, _cli.DATA_DIR.value, known)
    settings = _settings(known)
    judged = {method: _judged(experiment) for method, experiment in settings.items()}
    first = next(iter(judged.values()))
    folder = _cli.WORKDIR.value or pathlib.Path(f"{_cli.default_workdir(config)}-continual")
    orders = [
        {
            method: memories.plan(method, experiment, folder, steps=STEPS.value, order=order)
            for method, experiment in settings.items()
        }
        for order in range(ORDERS.value)
    ]
    count = len(settings) * ORDERS.value * STEPS.value
    console.say(
        f"{', '.join(settings)} on {first.config.data.name}: {count} memories and "
        f"{count * NUM_NETWORKS.value} networks -> {folder}"
    )
    with locks.alone(folder, "--workdir"):
        results = Results(folder / "results.json")
        dataset = run_data.read(first.config, _cli.DATA_DIR.value)
        folders = _cli.DATA_DIR.value, _cli.cache_dir(), _cli.EXPERTS_DIR.value
        earlier = folder / "experts"
        sources = memories.StepSources(*folders, memories.flat(orders), dataset, earlier)
        judges = {
            method: judge.Judge(experiment, dataset, results, NUM_NETWORKS.value)
            for method, experiment in judged.items()
        }
        title = f"{first.data_name}: class-incremental, {first.config.ipc} per class"
        for rows in judge.run(judges, orders, sources):
            table = table_lib.write(folder, rows, _caption(first), title)
    console.result(f"{table}\n    {_cli.line()}")
    console.say(f"{folder / 'table.md'}, table.csv, curves.png, results.json")


def _settings(known: dict[str, Description]) -> dict[str, Experiment]:
    """The experiments that make memories, by method."""
    base = _cli.sweep_base(known)
    for field, instead in (
        ("seed", "class order s has the seed s; --orders=5 says how many there are"),
        ("evaluate.num_networks", "--num_networks=3 says how many"),
    ):
        if field in base.overrides:
            raise UserError(f"--config.{field} has no effect here: {instead}.")
    methods: grid_lib.Product = {grid_lib.METHOD: tuple(METHODS.value)} if METHODS.value else {}
    experiments = [setting.experiment for setting in grid_lib.make(base, (methods,))]
    return {experiment.config.method: experiment for experiment in experiments}


def _judged(experiment: Experiment) -> Experiment:
    """The experiment with the protocol; flags take precedence."""
    if not PROTOCOL.value:
        return experiment
    config = protocols.apply(experiment.config, PROTOCOL.value)
    _, given = _cli.given_config()
    both = given.keys() & protocols.PROTOCOLS[PROTOCOL.value].keys()
    config.update_from_flattened_dict({name: given[name] for name in both})
    return Experiment.from_config(config)


def _caption(experiment: Experiment) -> str:
    """What the numbers are, and how they came about."""
    config, protocol, data = experiment.config, experiment.protocol, experiment.config.data
    fixed = data.preprocessing == "per_channel" and data.mean
    reduced = ", reduced" if config.scale == "small" else ""
    return (
        f"{experiment.data_name}{reduced}: test accuracy in % over "
        f"the classes seen so far; {STEPS.value} steps of {config.num_classes // STEPS.value} "
        f"classes, memory of {config.ipc} per class; mean ± population std over class orders and "
        f"networks (their number), last epoch. Protocol {PROTOCOL.value or 'of the config'}: "
        f"{protocol.epochs} epochs, batch {protocol.batch_size}, learning rate x "
        f"{protocol.decay_factor:g} from epoch {protocol.decay_epoch}, augmentation "
        f"{'+'.join(experiment.augmentation.families) or 'none'}, preprocessing "
        f"{data.preprocessing}{'' if fixed else ' of the first step of each order'}."
    )


if __name__ == "__main__":
    _cli.run(main, _cli.DATA_DIR, _cli.EXPERTS_DIR, _cli.WORKDIR)
