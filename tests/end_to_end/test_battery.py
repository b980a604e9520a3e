"""The battery on a small config: whole runs, and nothing twice."""

import json

import pytest

from tests.end_to_end import commands


@pytest.mark.slow
def test_whole_runs_of_the_battery_are_kept(tmp_path):
    file = tmp_path / "battery.json"
    arguments = (
        "benchmark",
        "--battery",
        *commands.TINY,
        "--parts=runs",
        f"--json={file}",
        f"--experts_dir={tmp_path / 'experts'}",
    )
    status, output = commands.run(*arguments)
    assert status == 0, output
    parts = json.loads(file.read_text())["parts"]
    assert [part["status"] for part in parts] == ["done"] * 3
    assert all(0 <= row["accuracy"] <= 1 for part in parts for row in part["rows"])
    assert "| digits_ipc1, datm, whole run | distill | done |" in output
    status, output = commands.run(*arguments)
    assert status == 0 and json.loads(file.read_text())["parts"] == parts
