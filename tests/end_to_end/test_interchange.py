"""Experts and sets go out to PyTorch's files, and come back through the commands."""

import json
import re

import numpy as np
import pytest

from dpd_jax.networks import layout
from dpd_jax.storage import distilled_set
from dpd_jax.storage.trajectories import TrajectoryStore
from tests import toys
from tests.end_to_end import commands
from tests.end_to_end.test_run import assert_same_set


def test_imported_experts_distil_what_own_ones_do(finished, tmp_path):
    torch = pytest.importorskip("torch")
    network = toys.convnet(width=4, depth=2, image_shape=(8, 8, 1), num_classes=10)
    facts = json.loads((finished.store / "expert_000" / "expert.json").read_text())["facts"]
    own = TrajectoryStore(finished.store, facts, "float32")
    places = layout.places_in_pytorch(network.parameters)
    shapes = [layout.shape_in_pytorch(p) for p in layout.in_order_of_pytorch(network.parameters)]
    for expert in own.experts():
        snapshots = []
        for weights in own.read(expert, own.epochs(expert)):
            theirs = np.empty_like(weights)
            theirs[places] = weights
            pieces = np.split(theirs, np.cumsum([np.prod(shape) for shape in shapes])[:-1])
            snapshots.append(
                [torch.tensor(x.reshape(shape)) for x, shape in zip(pieces, shapes, strict=True)]
            )
        torch.save([snapshots], tmp_path / f"replay_buffer_{expert}.pt")
    experts = f"--experts_dir={tmp_path / 'experts'}"
    status, text = commands.run_copy(
        "import_pytorch", *commands.TINY, f"--buffers={tmp_path}/replay_buffer_*.pt", experts
    )
    assert status == 0 and "2 experts, epochs 0 to 2" in text, text
    use = re.search(r"--config\.experts\.imported=True --config\.experts\.num_experts=2", text)[0]
    workdir = tmp_path / "run"
    arguments = (*commands.TINY, experts, f"--workdir={workdir}")
    alone = f"--workdir={tmp_path / 'alone'}"
    status, text = commands.run_copy("distill", *arguments[:-1], alone)
    assert status == 0 and "fit; new ones go into" in text, text
    assert "experts.imported: stored true, asked nothing" in text
    status, text = commands.run_copy("distill", *arguments, *use.split())
    assert status == 0 and "to train" not in text, text
    assert_same_set(workdir, finished.workdir)


def test_a_set_goes_to_pytorch_and_back_to_its_accuracy(finished, tmp_path):
    pytest.importorskip("torch")
    original = finished.workdir / "distilled.npz"
    status, text = commands.run_copy(
        "export", f"--distilled={original}", "--to=pytorch", f"--out={tmp_path / 'theirs'}"
    )
    assert status == 0, text
    back = tmp_path / "back.npz"
    files = [f"--{name}={tmp_path}/theirs/{name}_best.pt" for name in ("images", "labels", "lr")]
    status, text = commands.run_copy(
        "import_pytorch", *commands.TINY, *files, f"--out={back}", "--evaluate"
    )
    assert status == 0, text
    ours, theirs = (distilled_set.read(path) for path in (original, back))
    for name in set(ours._fields) - {"provenance"}:
        np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name), err_msg=name)
    accuracy = json.loads((finished.workdir / "report.json").read_text())["accuracy"]
    assert theirs.provenance["accuracy"] == accuracy
    assert "method" not in theirs.provenance["config"]
    assert theirs.provenance["imported"]["lr"]["file"] == "lr_best.pt"
    assert f"test accuracy {100 * accuracy['mean']:.2f} ± " in text


def test_a_set_is_exported_without_a_config(finished, tmp_path):
    given = (f"--distilled={finished.workdir / 'distilled.npz'}", f"--out={tmp_path / 'pictures'}")
    status, text = commands.run_copy("export", *given, "--to=images")
    assert status == 0 and "labels.csv" in text, text
    assert len(list((tmp_path / "pictures").iterdir())) == 11
    commands.refused(commands.run_copy("export", *given, "--to=images")[1], "is no empty folder")
    commands.refused(commands.run_copy("export", *given, "--to=jpeg")[1], "--to", "huggingface")
    commands.refused(commands.run_copy("export", *given)[1], "no --to given")
    commands.refused(commands.run_copy("import_pytorch", *commands.TINY)[1], "--buffers", "--out")
