"""The golden numbers that the repository has are those of the full set, case by case."""

import os
import pathlib

import numpy as np
import pytest

SHIPPED = pathlib.Path(__file__).parent / "data"
FULL = pathlib.Path(os.environ.get("DPD_GOLDEN_DIR", SHIPPED.parents[3] / "shared" / "parity"))


@pytest.mark.parametrize(
    "name, arrays",
    [
        ("pruned", ("dpd/mask", "dpd/loss", "dpd/grad_images")),
        ("gsam", ("rho2_alpha0.4/params",)),
        ("tesla_n3", ("tesla/grad_images", "datm_tesla/grad_images", "exact_soft/grad_images")),
    ],
)
def test_a_clone_has_the_numbers_of_each_part_of_the_method(name, arrays):
    with np.load(SHIPPED / f"{name}.npz") as numbers:
        assert set(arrays) <= set(numbers)


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.npz")), ids=lambda path: path.stem)
def test_shipped_numbers_are_those_of_the_full_set(path):
    if not (FULL / path.name).is_file():
        pytest.skip(f"the golden numbers are not in {FULL} (set DPD_GOLDEN_DIR)")
    with np.load(path) as ours, np.load(FULL / path.name) as full:
        for name in ours:
            np.testing.assert_array_equal(ours[name], full[name], err_msg=name)
