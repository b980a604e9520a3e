"""The folder of a run: which runs it may be continued by, and its metrics."""

import json
import re

import pytest

from configs import digits_ipc1
from dpd_jax.errors import UserError
from dpd_jax.presets import base, fields
from dpd_jax.runs import identity
from dpd_jax.runs.workdir import Workdir


def changed(**values):
    config = digits_ipc1.get_config()
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in values.items()})
    return config


@pytest.fixture
def folder(tmp_path):
    """The folder of a run of the config as it is."""
    Workdir(tmp_path, changed()).begin()
    return tmp_path


def test_a_run_begun_by_other_versions_says_so(folder, capsys):
    assert "begun with" not in capsys.readouterr().err
    file = folder / "config.json"
    file.write_text(re.sub('"jax": ".*"', '"jax": "0.9.0"', file.read_text()))
    Workdir(folder, changed()).begin()
    assert "was begun with jax 0.9.0 (now " in capsys.readouterr().err


def test_another_run_is_refused_and_the_fields_are_named(folder):
    with pytest.raises(UserError, match="another config") as caught:
        Workdir(folder, changed(student__syn_steps=7, data__test_images=9, seed=1))
    stored = changed().student.syn_steps
    for line in (f"student.syn_steps: stored {stored}, asked 7", "seed: stored 0, asked 1"):
        assert f"\n  {line}\n" in str(caught.value)


def test_fields_that_change_no_result_may_change(folder):
    defaults = fields.flat(base.get_config())
    numbers = [name for name in identity._NO_RESULT if not isinstance(defaults[name], str)]
    others = {name.replace(".", "__"): 7 for name in numbers}
    others = {name: float(x) if "gigabytes" in name else x for name, x in others.items()}
    Workdir(folder, changed(**others, distill__iterations=9, evaluate__epochs=2))


def test_a_field_that_an_older_version_lacked_has_its_default(folder):
    file = folder / "config.json"
    stored = json.loads(file.read_text())
    del stored["config"]["matching"]["metric"], stored["config"]["guard"]
    file.write_text(json.dumps(stored))
    Workdir(folder, changed()).begin()
    for field in ("matching.metric", "guard.patience"):
        other = {"matching.metric": "relative", "guard.patience": 7}[field]
        with pytest.raises(UserError, match=f"{field}: stored .*, asked .*{other}"):
            Workdir(folder, changed(**{field.replace(".", "__"): other}))


def test_an_evaluation_is_the_same_if_only_its_speed_differs():
    once, fast = changed(), changed(evaluate__at_once=2, evaluate__test_batch=9, seed=5)
    assert identity.of_evaluation(once) == identity.of_evaluation(fast)
    for other in (changed(evaluate__epochs=7), changed(distill__iterations=7)):
        assert identity.of_evaluation(once) != identity.of_evaluation(other)


def test_data_are_the_same_whatever_is_done_with_them():
    assert identity.of_data(changed()) == identity.of_data(changed(ipc=2, seed=1))
    assert identity.of_data(changed()) != identity.of_data(changed(data__train_per_class=5))


@pytest.mark.parametrize("text", ["{", '{"config": 3}', '{"versions": {}}'])
def test_a_damaged_config_is_named(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config.json is damaged .* --workdir"):
        Workdir(folder, changed())


def test_metrics_after_a_kill(folder):
    workdir = Workdir(folder, changed())
    for step in (1, 2, 3):
        workdir.log(step, {"loss": 0.1 * step, "scale": None})
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    assert [line["step"] for line in workdir.metrics()] == [1, 2, 3]
    before = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    workdir.begin_metrics(2)
    assert (folder / "metrics.jsonl").read_text() == "".join(before[:2])
