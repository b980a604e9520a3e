"""Trains the experts an experiment needs and lacks, and nothing else.

    python -m experiments.train_experts --config=configs/digits_ipc1.py --experts_dir=experts
"""

import pathlib

from dpd_jax.trajectories import spans
from experiments import build, command, problem, screen, teachers


def main() -> None:
    config = command.CONFIG.value
    plan = build.plan(config)
    loaded = problem.load(config, command.DATA_DIR.value, command.cache_dir())
    directory = pathlib.Path(command.EXPERTS_DIR.value or command.default_workdir() / "experts")
    store = teachers.open_store(plan, loaded, directory)
    used = teachers.provide(plan, loaded, store, plan.epochs_read)
    size = sum(p.stat().st_size for e in used for p in store.path(e).rglob("*") if p.is_file())
    params = store.read(used[0], [max(plan.epochs_read)])[0]
    right = teachers.logits(plan, params, loaded.test).argmax(-1) == loaded.dataset.test_labels
    screen.result(
        f"{len(used)} experts, epochs {spans(plan.epochs_read)}, {size / 1e6:.1f} MB in "
        f"{directory}\n"
        f"expert {used[0]} at its last epoch: test accuracy {100 * right.mean():.2f} %"
    )


if __name__ == "__main__":
    command.run(main, command.DATA_DIR, command.EXPERTS_DIR)
