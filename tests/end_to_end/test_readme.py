"""The README's first command does what the README says."""

import json
import re

import numpy as np
from sklearn.linear_model import LogisticRegression

from dpd_jax import data
from tests.end_to_end import commands


def test_the_first_command_distils_the_digits(cache, tmp_path):
    readme = (commands.REPOSITORY / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"python -m experiments\.(\w+) (--config=configs/digits_ipc1\.py)$", readme, re.M)
    workdir = tmp_path / "run"
    status, text = commands.run(
        shown[1], shown[2], f"--workdir={workdir}", cache=cache, as_shipped=True
    )
    assert status == 0, text
    report = json.loads((workdir / "report.json").read_text())
    assert len(report["accuracy"]["runs"]) >= 5
    assert report["accuracy"]["mean"] >= 0.90
    assert report["accuracy"]["mean"] >= report["random_real"]["mean"] + 0.10

    # The README's snippet: numpy and scikit-learn alone.
    snippet = re.search(r"```python\n(import numpy.*?)```", readme, re.S)[1]
    names = {}
    exec(snippet.replace("runs/digits_ipc1-dpd", str(workdir)), names)
    digits = data.load(
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
