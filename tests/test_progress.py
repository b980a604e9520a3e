"""Runs compared by accuracy over time, experts included."""

import json

import pytest

from configs import digits_ipc1
from dpd_jax.errors import UserError
from dpd_jax.sweeps import progress


def run(folder, accuracies, expert_seconds=60.0, **data):
    """A run with an evaluation a minute, and an ordinary line in between."""
    config = digits_ipc1.get_config()
    config.data.update({"validation_share": 0.1} | data)
    folder.mkdir()
    stored = {"config": json.loads(config.to_json_best_effort()), "versions": {}}
    if expert_seconds != 0:
        stored["experts"] = {"directory": "experts/a", "seconds": expert_seconds}
    (folder / "config.json").write_text(json.dumps(stored))
    lines = []
    for number, pair in enumerate(accuracies):
        line = {"step": 10 * number, "seconds": 60.0 * number}
        lines += [line | {"validation_accuracy": pair}, {"step": 1, "seconds": 60 * number + 1}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_minutes_to_an_accuracy_include_the_experts(tmp_path):
    slow = progress.read(run(tmp_path / "slow", [(0.2, 0.4), (0.5, 0.7), (0.7, 0.9)]))
    fast = progress.read(run(tmp_path / "fast", [(0.6, 0.6), (0.5, 0.5)], expert_seconds=0))
    assert slow.minutes.tolist() == [1, 2, 3] and fast.minutes.tolist() == [0, 1]
    assert slow.means.tolist() == pytest.approx([0.3, 0.6, 0.8])
    assert slow.stds.tolist() == pytest.approx([0.1, 0.1, 0.1]) and slow.networks == 2
    assert [slow.minutes_to(a) for a in (0.1, 0.55, 0.7, 0.81)] == [1, 2, 3, None]
    text = progress.compare([slow, fast], [0.5, 0.7], tmp_path / "out", "title")
    assert f"| {tmp_path / 'slow'} | 1.0 | 2.0 | 3.0 | 80.0 % | 3.0 |" in text
    assert f"| {tmp_path / 'fast'} | 0.0 | 0.0 | not reached | 60.0 % | 1.0 |" in text
    assert (tmp_path / "out" / "progress.md").read_text() == text
    assert (tmp_path / "out" / "progress.png").read_bytes()[:4] == b"\x89PNG"
    # Without a choice: shares of what both reach.
    assert "| 48.0 % | 54.0 % | 57.0 % | 60.0 % |" in progress.compare(
        [slow, fast], [], tmp_path / "out", "title"
    )


def test_what_cannot_be_compared_is_refused(tmp_path):
    one = progress.read(run(tmp_path / "one", [(0.5,)]))
    other = progress.read(run(tmp_path / "other", [(0.5,)], validation_share=0.2))
    with pytest.raises(UserError, match="validation_share: stored 0.2, asked 0.1"):
        progress.compare([one, other], [], tmp_path, "title")
    with pytest.raises(UserError, match="not the folder of a run"):
        progress.read(tmp_path)
    with pytest.raises(UserError, match="evaluate.every=100"):
        progress.read(run(tmp_path / "blind", []))
    with pytest.raises(UserError, match="experts of an older version"):
        progress.read(run(tmp_path / "old", [(0.5,)], expert_seconds=None))
