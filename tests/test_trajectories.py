import asyncio
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import types

import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from configs import cifar10_ipc1
from dpd_jax.errors import UserError
from dpd_jax.runs import expert_training
from dpd_jax.runs.experiment import Experiment
from dpd_jax.storage.trajectories import TrajectoryStore, spans

SHARED = pathlib.Path(
    os.environ.get("DPD_EXPERTS_DIR", pathlib.Path(__file__).parents[2] / "shared" / "experts")
).joinpath("cifar10_mtt_w128")
SIZE = 1000
PROVENANCE = {
    "network": {"leaves": {"block_0/conv/kernel": (3, 3, 3, 8), "classifier/bias": (10,)}},
    "optimizer": {"name": "gsam", "rho": 0.01, "adaptive": True},
    "seed": 0,
}


def snapshots(epochs=3, seed=0, size=SIZE):
    draws = np.random.default_rng(seed)
    start = draws.standard_normal(size).astype(np.float32)
    return {e: start + np.float32(0.1 * e) * draws.random(size, np.float32) for e in range(epochs)}


@pytest.fixture
def store(tmp_path):
    store = TrajectoryStore(tmp_path / "experts", PROVENANCE, "float32")
    for expert in range(2):
        store.write(expert, snapshots(seed=expert))
    return store


def again(store, provenance=PROVENANCE, storage="float32"):
    """A store on the same folder that remembers nothing."""
    return TrajectoryStore(store.directory, provenance, storage)


def data_file(store, expert=0):
    files = store.path(expert).glob("state/ocdbt.process_0/d/*")
    return max(files, key=lambda path: path.stat().st_size)


def test_what_is_written_is_read(store):
    assert again(store).experts() == [0, 1]
    assert again(store).epochs(1) == [0, 1, 2]
    read = again(store).read(1, [2, 0, 2])
    expected = snapshots(seed=1)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, np.stack([expected[2], expected[0], expected[2]]))


@pytest.mark.parametrize("storage", ["float32", "bfloat16"])
def test_an_expert_is_recognised_by_its_snapshots(tmp_path, storage):
    store = TrajectoryStore(tmp_path, PROVENANCE, storage)
    store.write(0, snapshots())
    assert again(store, storage=storage).holds(0, snapshots())
    assert not store.holds(0, snapshots(seed=1))
    assert not store.holds(0, snapshots(epochs=2))


def test_a_folder_that_is_not_there_has_no_experts(tmp_path):
    store = TrajectoryStore(tmp_path / "nowhere" / "yet", PROVENANCE, "float32")
    assert store.experts() == []
    assert not store.directory.exists()


def test_any_epochs_may_be_stored(store):
    some = {10: snapshots()[0], 3: snapshots()[1], 1000: snapshots()[2]}
    store.write(7, some)
    assert again(store).epochs(7) == [3, 10, 1000]
    np.testing.assert_array_equal(again(store).read(7, [1000])[0], some[1000])


@pytest.mark.parametrize(
    "storage, relative, smallest",
    [("float32", 0, 0), ("float16", 2**-11, 2**-24), ("bfloat16", 2**-8, 2**-24)],
)
def test_storage_types(tmp_path, storage, relative, smallest):
    """Rounding is half a unit in the last place; 16 bits take half the space."""
    expert = snapshots(size=320_010, epochs=7)
    store = TrajectoryStore(tmp_path, PROVENANCE, storage)
    store.write(0, expert)
    read = again(store, storage=storage).read(0, range(7))
    assert read.dtype == np.float32
    error = np.abs(read - np.stack(list(expert.values())))
    assert np.all(error <= relative * np.abs(read) + smallest)
    size = sum(path.stat().st_blocks * 512 for path in tmp_path.rglob("*"))
    assert size <= (4 if storage == "float32" else 2) * 7 * 320_010 + 100_000


def test_storage_is_part_of_the_provenance(store):
    with pytest.raises(UserError, match='storage: stored "float32", asked "float16"'):
        again(store, storage="float16").experts()


def test_another_provenance_is_refused_and_shown(store):
    other = {
        "network": {"leaves": {"block_0/conv/kernel": (3, 3, 3, 16)}},
        "optimizer": {"name": "gsam", "rho": 0.02, "adaptive": True},
        "data": "cifar10",
        "seed": 0,
    }
    with pytest.raises(UserError) as caught:
        again(store, other).read(1, [0])
    message = str(caught.value)
    assert str(store.path(1)) in message
    for line in (
        "optimizer.rho: stored 0.01, asked 0.02",
        "network.leaves.block_0/conv/kernel: stored [3, 3, 3, 8], asked [3, 3, 3, 16]",
        "network.leaves.classifier/bias: stored [10], asked nothing",
        'data: stored nothing, asked "cifar10"',
        "--experts_dir",
    ):
        assert line in message
    assert "seed" not in message and "adaptive" not in message
    with pytest.raises(UserError, match="expert_000"):
        again(store, other).experts()


def test_many_differences_are_cut_short(store):
    with pytest.raises(UserError, match="and 20 more"):
        again(store, {**PROVENANCE, **{f"part_{i}": i for i in range(32)}}).experts()


@pytest.mark.skipif(not os.path.exists("/proc/self/io"), reason="counts bytes through /proc")
def test_one_epoch_is_read_without_the_rest(tmp_path):
    size, epochs = 320_010, 20
    store = TrajectoryStore(tmp_path, PROVENANCE, "float32")
    for expert in range(2):
        store.write(expert, snapshots(epochs=epochs, size=size))

    def bytes_read():
        text = pathlib.Path("/proc/self/io").read_text()
        return int(re.search(r"rchar: (\d+)", text)[1])

    store.read(0, [1])  # Modules that load late are read now.
    before = bytes_read()
    again(store).read(1, [13])
    one = bytes_read() - before
    assert 0.8 * 4 * size < one < 1.1 * 4 * size  # Compressed, random mantissas hardly shrink.


def _truncate(store):
    path = data_file(store)
    os.truncate(path, path.stat().st_size // 2)


def _flip_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _flip(store):
    shutil.rmtree(store.path(0))
    store.write(0, {1: snapshots()[1]})  # The middle of the file belongs to this epoch.
    _flip_bit(data_file(store))


def _lose(name):
    return lambda store: (store.path(0) / name).unlink()


def _scribble(text):
    return lambda store: (store.path(0) / "expert.json").write_text(text)


def _flip_manifest(store):
    _flip_bit(store.path(0) / "state" / "manifest.ocdbt")


DAMAGES = {
    "truncated": _truncate,
    "flipped bit": _flip,
    "flipped bit of the manifest": _flip_manifest,
    "no metadata": _lose("expert.json"),
    "no Orbax metadata": _lose("_CHECKPOINT_METADATA"),
    "no manifest": _lose("state/manifest.ocdbt"),
    "half the metadata": _scribble('{"facts": {"seed'),
    "other metadata": _scribble('{"facts": 3, "checksums": [1]}'),
    "empty folder": lambda store: [shutil.rmtree(store.path(0)), store.path(0).mkdir()],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_expert_is_named_and_never_read(store, damage, caplog):
    damage(store)
    for reader in (store, again(store)):
        with pytest.raises(UserError) as caught:
            reader.read(0, [1])
        message = str(caught.value)
        assert str(store.path(0)) in message and "Delete this folder" in message
        assert "\n" not in message
    assert not caplog.records  # One message, not Orbax's as well.
    np.testing.assert_array_equal(again(store).read(1, [0])[0], snapshots(seed=1)[0])
    # The advice of the message works.
    shutil.rmtree(store.path(0))
    store.write(0, snapshots())
    np.testing.assert_array_equal(store.read(0, [2])[0], snapshots()[2])


def test_a_leaf_that_reads_but_differs_is_refused(store, monkeypatch):
    load = ocp.load

    def wrong(path, tree):
        leaves = load(path, tree)
        if "epoch_001" in leaves:
            leaves["epoch_001"].view(np.uint8)[17] ^= 4
        return leaves

    monkeypatch.setattr(ocp, "load", wrong)
    with pytest.raises(UserError, match="the checksum of epoch 1 does not match"):
        store.read(0, [0, 1])
    assert store.read(0, [0]).shape == (1, SIZE)


def test_experts_and_epochs_that_are_not_there(store):
    with pytest.raises(UserError, match="no expert 5 in .*; it has 0 to 1"):
        store.epochs(5)
    with pytest.raises(UserError, match="holds the epochs 0 to 2, but 3, 9 is needed"):
        store.read(0, [1, 9, 3])


def test_an_expert_is_not_replaced(store):
    with pytest.raises(UserError, match="Expert 1 cannot be written"):
        store.write(1, snapshots(seed=9))
    np.testing.assert_array_equal(again(store).read(1, [1])[0], snapshots(seed=1)[1])
    assert len(list(store.directory.iterdir())) == 2


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"there are no experts in {SHARED}")
def test_experts_of_an_older_version_are_read():
    """Their expert.json calls the provenance "facts"."""
    experiment = Experiment.from_config(cifar10_ipc1.get_config("mtt"))
    data = types.SimpleNamespace(train=range(50_000), fingerprint="ed993ffa4a7a6789")
    store = expert_training.open_store(experiment, data, SHARED)
    assert store.experts() == [0, 1, 2, 3]
    assert store.read(3, [0, 4]).shape == (2, 320_010)


def test_leftovers_are_not_experts_and_are_cleaned(store, caplog):
    for name in ("expert_002.new.orbax-checkpoint-tmp", "expert_002.new", "expert_002.old"):
        shutil.copytree(store.path(1), store.directory / name)
    (store.directory / "notes.txt").write_text("mine")
    assert again(store).experts() == [0, 1]
    store.write(2, snapshots(seed=2))
    names = sorted(path.name for path in store.directory.iterdir())
    assert names == ["expert_000", "expert_001", "expert_002", "notes.txt"]
    assert not caplog.records


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_write_leaves_no_expert(store):
    program = f"""
        import numpy as np
        from dpd_jax.storage.trajectories import TrajectoryStore
        store = TrajectoryStore({str(store.directory)!r}, {PROVENANCE!r}, "float32")
        draws = np.random.default_rng(0)
        store.write(2, {{e: draws.standard_normal(1_000_000, np.float32) for e in range(40)}})
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)])
    try:
        while not any(p.stat().st_size > 4096 for p in store.directory.glob("expert_002.*/**/d/*")):
            assert child.poll() is None, "the write ended before it was seen"
            time.sleep(0.001)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == -signal.SIGKILL
    assert list(store.directory.glob("expert_002.*"))  # It really was under way.
    assert again(store).experts() == [0, 1]
    again(store).write(2, snapshots(seed=2))
    assert again(store).experts() == [0, 1, 2]
    assert len(list(store.directory.iterdir())) == 3


class _Usage:
    free = 1234


def test_a_full_disk_is_noticed_before_writing(store, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: _Usage)
    message = (
        r"Expert 2 cannot be written .*: it needs 77,536 bytes, but 1,234 are free.*\(2\) are kept"
    )
    with pytest.raises(UserError, match=message):
        store.write(2, snapshots())
    monkeypatch.undo()
    assert again(store).experts() == [0, 1]
    assert len(list(store.directory.iterdir())) == 2


def test_a_disk_that_fills_while_writing(store, monkeypatch):
    def fail(path, *args, **kwargs):
        pathlib.Path(f"{path}.orbax-checkpoint-tmp").mkdir()
        raise ValueError("RESOURCE_EXHAUSTED: No space left on device")

    monkeypatch.setattr(ocp, "save", fail)
    with pytest.raises(UserError, match=r"No space left .* experts there \(2\) are kept"):
        store.write(2, snapshots(seed=8))
    assert len(list(store.directory.iterdir())) == 2


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        TrajectoryStore(tmp_path / "file", PROVENANCE, "float32")
    store = TrajectoryStore(tmp_path / "file" / "experts", PROVENANCE, "float32")
    with pytest.raises(UserError, match="cannot be written"):
        store.write(0, snapshots())


@pytest.mark.parametrize(
    "value, storage, message",
    [
        (np.nan, "float32", "diverged: after epoch 1"),
        (np.inf, "bfloat16", "diverged: after epoch 1"),
        (7e4, "float16", "does not fit experts.storage = 'float16'"),
    ],
)
def test_weights_that_cannot_be_stored(tmp_path, value, storage, message):
    expert = snapshots()
    expert[1][5] = value
    store = TrajectoryStore(tmp_path, PROVENANCE, storage)
    with pytest.raises(UserError, match=message):
        store.write(0, expert)
    assert store.experts() == []


def test_unknown_storage(tmp_path):
    with pytest.raises(UserError, match="'int8'.*float32, float16, bfloat16"):
        TrajectoryStore(tmp_path, PROVENANCE, "int8")


def test_works_where_an_event_loop_runs(store):
    """As in a notebook."""

    async def read():
        store.write(2, snapshots(seed=2))
        return again(store).read(2, [1])[0]

    np.testing.assert_array_equal(asyncio.run(read()), snapshots(seed=2)[1])


def test_numbers_as_ranges():
    assert spans([3, 0, 1, 2, 9, 7, 8, 20]) == "0 to 3, 7 to 9, 20"
