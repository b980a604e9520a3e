"""Checkpoints of a run: restored to the bit, the last two kept, damage noticed."""

import os
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from configs import digits_ipc1
from dpd_jax import distill
from dpd_jax.errors import UserError
from dpd_jax.runs.experiment import Experiment
from dpd_jax.storage.checkpoints import Checkpoints
from dpd_jax.synthetic import SyntheticSet


def state(seed):
    """A run's state with random numbers in all its arrays, and its seconds."""
    outer = Experiment.from_config(digits_ipc1.get_config()).outer
    made = SyntheticSet(jnp.zeros((10, 8, 8, 1)), jnp.zeros((10, 10)), jnp.float32(0.01))
    draws = np.random.default_rng(seed)
    random = lambda x: jnp.asarray(100 * draws.random(np.shape(x)), x.dtype)  # noqa: E731
    return jax.tree.map(random, (distill.init(made, outer), np.float32(0)))


@pytest.fixture
def path(tmp_path):
    """A folder of checkpoints at the steps 1, 2 and 3."""
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step in (1, 2, 3):
        checkpoints.save(step, state(step))
    checkpoints.finish()
    return tmp_path / "checkpoints"


def test_the_last_two_are_kept_and_restored_to_the_bit(path):
    assert sorted(folder.name for folder in path.iterdir()) == ["2", "3"]
    checkpoints = Checkpoints(path)
    assert checkpoints.latest() == 3 and Checkpoints(path / "nowhere").latest() is None
    for step in (2, 3):
        restored, expected = checkpoints.load(step, state(0)), state(step)
        chex.assert_trees_all_equal(restored, expected)
        chex.assert_trees_all_equal_shapes_and_dtypes(restored, expected)


def test_orbax_sees_named_arrays(path):
    arrays = ocp.training.Checkpointer(path).metadata(3).metadata
    assert arrays["0.synthetic.images"].shape == (10, 8, 8, 1)
    assert arrays["0.optimizer.inner_states.images.inner_state.0.mu.images"].shape == (10, 8, 8, 1)


def test_a_saved_state_may_change_while_it_is_written(tmp_path):
    checkpoints, array = Checkpoints(tmp_path), np.zeros(1_000_000, np.float32)
    checkpoints.save(1, {"array": array})
    array += 1
    checkpoints.finish()
    assert not np.any(checkpoints.load(1, {"array": array})["array"])


def _truncate(folder):
    for file in folder.rglob("d/*"):
        os.truncate(file, file.stat().st_size // 2)


def _flip_bits(folder):
    for file in folder.rglob("d/*"):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)


DAMAGES = {
    "truncated": _truncate,
    "flipped bits": _flip_bits,
    "no arrays": lambda folder: [shutil.rmtree(d) for d in list(folder.rglob("d"))],
    "no manifest": lambda folder: (folder / "state" / "manifest.ocdbt").unlink(),
    "no structure": lambda folder: (folder / "state" / "_METADATA").unlink(),
    "no metadata": lambda folder: (folder / "_CHECKPOINT_METADATA").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_checkpoint_is_named_in_one_line(path, damage, caplog, capfd):
    damage(path / "3")
    with pytest.raises(UserError) as caught:
        Checkpoints(path).load(3, state(0))
    assert f"{path / '3'} is damaged. Delete that folder" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not caplog.records and capfd.readouterr().err == ""
    Checkpoints(path).load(2, state(0))  # The one before is still good.


def test_arrays_that_read_but_differ_are_refused(path, monkeypatch):
    load = ocp.load

    def wrong(path, tree):
        arrays = load(path, tree)
        if "0.synthetic.images" in arrays:
            arrays["0.synthetic.images"][3, 1, 1, 0] += 1
        return arrays

    monkeypatch.setattr(ocp, "load", wrong)
    with pytest.raises(UserError, match="is damaged"):
        Checkpoints(path).load(3, state(0))


def test_another_shape_is_refused(path):
    other = jax.tree.map(lambda x: jnp.zeros((2, *x.shape), x.dtype), state(0))
    with pytest.raises(UserError, match="is damaged"):
        Checkpoints(path).load(3, other)


def test_a_checkpoint_of_an_older_version_is_refused(tmp_path):
    with ocp.training.Checkpointer(tmp_path) as checkpointer:
        packed = {"state": np.zeros(100, np.uint8)}
        checkpointer.save(4, packed, custom_metadata={"crc32": 7})
    with pytest.raises(UserError, match=r"version 0\.2\.0.*delete that folder"):
        Checkpoints(tmp_path).load(4, state(0))
