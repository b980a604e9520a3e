"""What rounding the experts' weights changes."""

import numpy as np
import pytest

from dpd_jax.trajectories import TrajectoryStore
from experiments import check_storage
from experiments.check_storage import Rounded


@pytest.mark.parametrize("form", ["float16", "bfloat16"])
def test_rounding_is_what_a_store_of_that_form_gives_back(tmp_path, form):
    weights = np.random.default_rng(0).standard_normal((2, 50), np.float32)
    stores = {}
    for name in ("float32", form):
        stores[name] = TrajectoryStore(tmp_path / name, {}, name)
        stores[name].write(0, dict(enumerate(weights)))
    rounded = Rounded(stores["float32"], form).read(0, [1, 0])
    np.testing.assert_array_equal(rounded, stores[form].read(0, [1, 0]))
    assert 0 < check_storage.distance(weights[::-1], rounded) < 2.0**-8
