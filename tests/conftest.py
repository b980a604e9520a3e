"""Settings for every test: quick compilation, fake devices, rank promotion, key reuse.

Warnings are errors through `pytest.ini`, where each exception says why.
"""

import os
import pathlib
import shutil
import tempfile

# Tests compile far more than they compute, so XLA's cheapest code is the fastest here. These are
# environment variables because tests start processes. JAX itself hands the first one to XLA, so
# every version accepts it.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

# One folder for the whole test run. Test processes inherit the variable from the first one.
if "DPD_TEST_RUN" not in os.environ:
    os.environ["DPD_TEST_RUN"] = tempfile.mkdtemp(prefix="dpd-tests-")
SHARED = pathlib.Path(os.environ["DPD_TEST_RUN"])

# Compiled programs, which JAX finds by their code, options and XLA_FLAGS. Commands that tests start
# use the same folder: `--cache_dir` is SHARED.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(SHARED / "compiled")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

from dpd_jax import compilation  # noqa: E402

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)
jax.config.update("jax_default_matmul_precision", "highest")

# XLA's older loops compile in half the time. A name in XLA_FLAGS that XLA does not know ends a
# process. So the first process asks its XLA; the processes that run the tests inherit the flag.
if "PYTEST_XDIST_WORKER" not in os.environ and compilation.is_known(compilation.CPU_LOOPS[0]):
    ((name, value),) = compilation.CPU_LOOPS[0].items()
    if name not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --{name}={value}".strip()

_REPOSITORY = pathlib.Path(__file__).parent.parent
_SHIPPED = _REPOSITORY / "tests" / "golden" / "data"


def pytest_collection_modifyitems(items):
    # The longest tests first, so that the two test processes end at about the same time.
    items.sort(key=lambda item: "end_to_end" not in item.nodeid)


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):  # The first process, which ends last.
        shutil.rmtree(SHARED, ignore_errors=True)


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder that all processes of this test run share."""
    return SHARED


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
