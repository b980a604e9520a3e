"""The training loop of docs/from_pytorch.md, run in PyTorch on a set that was distilled here."""

import pathlib
import re

import numpy as np
import pytest

import dpd_jax

REPOSITORY = pathlib.Path(__file__).parents[1]


def test_networks_of_pytorch_reach_the_accuracy_of_the_report(tmp_path, shared, capsys):
    torch = pytest.importorskip("torch")
    config = dpd_jax.load_config(f"{REPOSITORY}/configs/digits_ipc1.py:small")
    run = dpd_jax.Run(config, tmp_path / "run", experts_dir=tmp_path / "experts", cache_dir=shared)
    run.distill()
    page = (REPOSITORY / "docs" / "from_pytorch.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.S))
    assert "runs/digits_ipc1-dpd" in code
    torch.manual_seed(0)
    torch.set_num_threads(1)  # The maps are tiny, and other tests use the other cores.
    names: dict = {}
    exec(code.replace("runs/digits_ipc1-dpd", str(tmp_path / "run")), names)
    theirs, ours = np.array(names["accuracies"]), run.report()["accuracy"]
    assert len(theirs) == len(ours["runs"]) and ours["mean"] > 0.8
    error = np.sqrt((theirs.var() + ours["std"] ** 2) / (len(theirs) - 1))
    assert abs(theirs.mean() - ours["mean"]) < 3 * error
    assert f"{100 * theirs.mean():.1f} ± " in capsys.readouterr().out
