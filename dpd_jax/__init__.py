"""Dataset distillation by matching training trajectories: DPD and related methods in JAX.

    config = dpd_jax.load_config("digits_ipc1:small")
    run = dpd_jax.Run(config, "runs/digits")
    run.distill()
    print(run.summary())

`Run` does everything from a config to a report; `judge` compares sets on other networks. Modules
such as `distill` and `matching` are pure functions of arrays. Importing the package changes no
setting of JAX, and opens no device or file.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dpd_jax.compilation import use_compilation_cache
    from dpd_jax.errors import UserError
    from dpd_jax.judging.judge import judge
    from dpd_jax.presets.files import load_config
    from dpd_jax.runs.run import Run
    from dpd_jax.storage.distilled_set import DistilledSet

# Imported at first use, so that a message about a flag does not wait for the import of JAX.
_MODULES = {
    "DistilledSet": "dpd_jax.storage.distilled_set",
    "Run": "dpd_jax.runs.run",
    "UserError": "dpd_jax.errors",
    "judge": "dpd_jax.judging.judge",
    "load_config": "dpd_jax.presets.files",
    "use_compilation_cache": "dpd_jax.compilation",
}
__all__ = ["DistilledSet", "Run", "UserError", "judge", "load_config", "use_compilation_cache"]


def __getattr__(name: str):
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
