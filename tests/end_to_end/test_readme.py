"""The commands and snippets of the README do what the README says."""

import json
import re

import numpy as np
from sklearn.linear_model import LogisticRegression

from dpd_jax.datasets import loading
from dpd_jax.runs import run
from tests.end_to_end import commands

README = (commands.REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_the_first_command_distils_the_digits(tmp_path):
    shown = re.search(
        r"python -m experiments\.(\w+) (--config=configs/digits_ipc1\.py)$", README, re.M
    )
    workdir = tmp_path / "run"
    status, text = commands.run(shown[1], shown[2], f"--workdir={workdir}", as_shipped=True)
    assert status == 0, text
    report = json.loads((workdir / "report.json").read_text())
    assert len(report["accuracy"]["runs"]) >= 5
    assert report["accuracy"]["mean"] >= 0.90
    assert report["accuracy"]["mean"] >= report["random_real"]["mean"] + 0.10

    # The README's snippet: numpy and scikit-learn alone.
    snippet = re.search(r"## Using a set\n.*?```python\n(.*?)```", README, re.S)[1]
    names = {}
    exec(snippet.replace("runs/digits_ipc1-dpd", str(workdir)), names)
    digits = loading.load(
        "digits",
        source="digits",
        train_split="train",
        test_split="test",
        image_key="image",
        label_key="label",
        data_dir=None,
    )
    assert isinstance(names["model"], LogisticRegression)
    score = names["model"].score(names["to_model"](digits.test_images), digits.test_labels)
    assert score > 0.5 and np.isfinite(names["d"]["images"]).all()


def test_the_notebook_snippets_run(shared, tmp_path, monkeypatch):
    whole, pure = re.search(r"## In a notebook\n(.*?)\n## ", README, re.S)[1].split("```python\n")[
        1:
    ]
    line = "config.matching.pruning_rate = 0.2\n"
    assert line in whole
    less = "".join(
        f"config.{field}\n"
        for field in (
            "network.width = 4",
            "data.train_per_class = 20",
            "data.test_images = 50",
            "experts.num_experts = 1",
            "synthetic.init = 'real'",
            "student.syn_steps = 2",
            "distill.iterations = 2",
            "evaluate.num_networks = 1",
            "evaluate.epochs = 2",
        )
    )
    whole = whole.partition("```")[0].replace(line, line + less).replace("runs/", f"{tmp_path}/")
    monkeypatch.setattr(run, "EXPERTS_DIR", tmp_path / "experts")  # Not into the repository.
    # Not into the user's own cache.
    whole = whole.replace("compilation_cache()", f"compilation_cache({str(shared / 'compiled')!r})")
    assert str(shared) in whole
    exec(whole, {})
    report = json.loads((tmp_path / "notebook" / "report.json").read_text())
    assert report["steps"] == 2

    names = {}
    exec(pure.partition("```")[0], names)
    assert 0 < names["loss"] < 10
