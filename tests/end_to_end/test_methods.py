"""PAD, whose experts see images in order of difficulty, from the EL2N scores to the report."""

import json

import numpy as np

from tests.end_to_end import commands


def test_pad_from_the_scores_to_the_report(tmp_path):
    status, text = commands.run_copy(
        "distill",
        f"{commands.TINY[0]}:pad",
        *commands.TINY[1:],
        "--config.matching.depth_ratio=0.25",
        "--config.data_schedule.addition_end_epoch=1",
        "--config.data_schedule.score_networks=1",
        "--config.data_schedule.score_epochs=(1,)",
        "--config.synthetic.labels=experts",
        "--config.synthetic.label_epoch=4",
        f"--workdir={tmp_path / 'run'}",
        f"--experts_dir={tmp_path / 'experts'}",
    )
    assert status == 0, text
    assert "difficulty" in text
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["method"] == "pad" and report["steps"] == 24
    (store,) = (tmp_path / "experts").iterdir()
    kept = {path.name for path in store.iterdir()}
    assert kept == {".queue.lock", "difficulty", "expert_000", "expert_001", "runs.txt"}
    scored = {path.name for path in (store / "difficulty").iterdir()}
    assert scored == {".queue.lock", "network_000.npz"}
    about = json.loads((store / "expert_000" / "expert.json").read_text())
    with np.load(store / "difficulty" / "network_000.npz") as scored:
        seconds = float(scored["seconds"])
    total = report["expert_store"]["seconds"]
    assert about["seconds"] > 0 and seconds > 0 and total >= about["seconds"] + seconds
    assert about["facts"]["data_schedule"]["initial_ratio"] == 0.75
    assert list(about["checksums"]) == ["0", "1", "2", "4"], "what is matched, and what labels ask"
