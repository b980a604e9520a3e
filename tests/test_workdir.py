"""The folder of a run, as far as the tests of whole runs do not show it."""

import re

from configs import digits_ipc1
from dpd_jax.runs.workdir import Workdir


def test_a_run_begun_by_other_versions_says_so(tmp_path, capsys):
    config = digits_ipc1.get_config()
    Workdir(tmp_path, config).begin()
    assert "begun with" not in capsys.readouterr().err
    file = tmp_path / "config.json"
    file.write_text(re.sub('"jax": ".*"', '"jax": "0.9.0"', file.read_text()))
    Workdir(tmp_path, config).begin()
    assert "was begun with jax 0.9.0 (now " in capsys.readouterr().err
