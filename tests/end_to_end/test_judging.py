"""The evaluation of distilled sets on several networks, as a person runs it."""

import ast
import json

import dpd_jax
from tests.end_to_end import commands

NETWORKS = "--networks=mlp,convnet"
QUICK = ("--config.augment.families=('flip',)", "--config.judging.learning_rates=(0.01,)")


def evaluate(finished, *arguments):
    path = finished.workdir / "distilled.npz"
    return commands.run_copy("evaluate", *commands.TINY, *QUICK, f"--distilled={path}", *arguments)


def config(given, *values):
    """The config of some flags."""
    made = dpd_jax.load_config(given.removeprefix("--config="))
    for name, text in (value.removeprefix("--config.").split("=", 1) for value in values):
        try:
            value = ast.literal_eval(text)
        except ValueError:
            value = text
        made.update_from_flattened_dict({name: value})
    return made


def test_networks_and_scores_of_a_set(finished, tmp_path):
    file = tmp_path / "numbers.json"
    status, text = evaluate(finished, NETWORKS, f"--workdir={tmp_path}", f"--json={file}")
    assert status == 0, text
    assert "forecast" in text and "in all" in text and "| trained on |" in text, text
    numbers = json.loads(file.read_text())
    assert [x["network"] for x in numbers] == ["mlp", "convnet"] * 2
    assert {name.name for name in tmp_path.iterdir()} >= {"table.md", "table.csv", "plot.png"}

    # From Python the same comparison: nothing is left to be trained.
    before = (tmp_path / "results.json").read_bytes()
    rows = dpd_jax.judge(
        config(*commands.TINY, *QUICK),
        [finished.workdir / "distilled.npz"],
        tmp_path,
        networks=("mlp", "convnet"),
        cache_dir=tmp_path / "cache",
    )
    assert [row.accuracies for row in rows] == [x["accuracies"] for x in numbers]
    assert (tmp_path / "results.json").read_bytes() == before

    status, text = evaluate(
        finished, "--networks=mlp", "--scores", f"--workdir={tmp_path}", f"--json={file}"
    )
    assert status == 0 and "| HLR | IOR | LRS | ARS |" in text, text
    assert 0 <= json.loads(file.read_text())[0]["label_robust"] <= 1


def test_mistakes_are_told_before_anything_is_trained(finished, tmp_path):
    for arguments, parts in (
        (["--networks=mlp,vgg11"], ["'vgg11' needs images of at least 32x32", "8x8"]),
        (["--networks=resnet"], ["'resnet' is unknown", "Did you mean resnet18"]),
        (["--protocol=mmt"], ["'mmt' is unknown", "Did you mean mtt"]),
        (["--config.judging.validation_share=1.0"], ["judging.validation_share = 1.0 must lie"]),
    ):
        status, text = evaluate(finished, *arguments, f"--workdir={tmp_path / 'run'}")
        assert status == 2
        commands.refused(text, *parts)
        assert not (tmp_path / "run").exists()
