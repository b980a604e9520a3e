"""Strictness for every test: fake devices, rank promotion, key reuse.

Warnings are errors through `pytest.ini`, where each exception says why.
"""

import os
import pathlib

# Tests compile far more than they compute: XLA's cheapest code is the quickest here. JAX hands
# this to XLA by name of its own, so that it means something, or nothing, to every version. In the
# environment, since tests start processes.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)
jax.config.update("jax_default_matmul_precision", "highest")

_REPOSITORY = pathlib.Path(__file__).parent.parent
_SHIPPED = _REPOSITORY / "tests" / "golden" / "data"


@pytest.fixture(scope="session")
def golden():
    """Loads golden numbers: `golden("pruned")` gives {name: array} of that file.

    `golden("pruned", "dpd")` also asks for a case, i.e. for arrays named "dpd/...". The full set
    is found through DPD_GOLDEN_DIR (default `../shared/parity`). The repository has a part of it:
    whole files, or whole cases of a file. A test whose file or case is missing is skipped.
    """
    full = pathlib.Path(os.environ.get("DPD_GOLDEN_DIR", _REPOSITORY.parent / "shared" / "parity"))

    def load(name: str, case: str = "") -> dict[str, np.ndarray]:
        for folder in (full, _SHIPPED):
            path = folder / f"{name}.npz"
            if path.is_file():
                with np.load(path) as arrays:
                    if not case or any(array.startswith(f"{case}/") for array in arrays):
                        return dict(arrays)
        wanted = f"{case} of {name}.npz" if case else f"{name}.npz"
        pytest.skip(f"the golden numbers {wanted} are not in {full} (set DPD_GOLDEN_DIR)")

    return load


@pytest.fixture(scope="session")
def real_data_dir() -> pathlib.Path:
    """The folder of prepared TFDS sets (DPD_DATA_DIR, default `../shared/tfds`), or a skip."""
    path = pathlib.Path(os.environ.get("DPD_DATA_DIR", _REPOSITORY.parent / "shared" / "tfds"))
    if not path.is_dir():
        pytest.skip(f"no prepared image data sets in {path} (set DPD_DATA_DIR)")
    return path
