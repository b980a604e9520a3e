"""A command in several processes of a Ray cluster of this machine."""

import pytest

from tests.end_to_end import commands


def test_only_commands_are_started():
    status, text = commands.run_copy("on_ray", "--command=ls -l")
    assert status == 2, text
    commands.refused(text, "--command='ls -l' must begin with one of", "train_experts")


@pytest.mark.slow
def test_two_workers_train_the_experts_of_one_folder(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    words = ["train_experts", *commands.TINY, f"--experts_dir={tmp_path / 'experts'}"]
    words.append(f"--cache_dir={commands.SHARED}")
    arguments = ["--workers=2", "--gpus=0"]
    status, text = commands.run("on_ray", *arguments, f"--command={' '.join(words)}")
    assert status == 0, text
    assert "worker 0: expert 0 at its last epoch" in text and "worker 1: expert 0" in text, text
    (store,) = (tmp_path / "experts").glob("gsam-*")
    assert sorted(path.name for path in store.glob("expert_*")) == ["expert_000", "expert_001"]
    status, text = commands.run("on_ray", *arguments, "--command=train_experts --config=nothing")
    assert status == 2, text
    commands.refused(text, "nothing")
