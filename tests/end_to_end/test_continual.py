"""Class-incremental learning as a command."""

import pytest

from tests.end_to_end import commands

TINY = (
    *(argument for argument in commands.TINY if "num_networks" not in argument),
    "--config.distill.iterations=2",
    "--config.evaluate.epochs=2",
    "--orders=1",
    "--num_networks=1",
)


@pytest.mark.slow
def test_two_methods_share_experts_and_the_same_command_again_does_nothing(tmp_path):
    arguments = (*TINY, "--steps=2", "--methods=dpd,datm", f"--workdir={tmp_path}")
    status, text = commands.run_copy("continual", *arguments)
    assert status == 0, text
    for part in (
        "dpd: 2 memories to make",
        "datm: 2 networks",
        "[memories left: 1",
        "2 steps of 5 classes, memory of 1 per class",
        "Protocol dm: 2 epochs, batch 256",
        "| memory | learning rate | 5 classes | 10 classes |",
        "| dpd | 0.01 | ",
        "python -m experiments.continual --config=configs/digits_ipc1.py",
    ):
        assert part in text, part
    assert len(list((tmp_path / "experts").glob("*/"))) == 2, "a store for each step"
    for name in ("table.csv", "curves.png", "results.json"):
        assert (tmp_path / name).is_file()
    table = (tmp_path / "table.md").read_text()
    status, text = commands.run_copy("continual", *arguments)
    assert status == 0 and "in all 0.0 s" in text and "memories left" not in text
    assert (tmp_path / "table.md").read_text() == table


def test_what_does_not_go_together_is_refused(tmp_path):
    for argument, *parts in (
        ("--steps=3", "3 steps do not divide 10 classes", "1, 2, 5"),
        ("--methods=dpd,dmp", "'dmp'", "Did you mean"),
        ("--config.seed=1", "class order s has the seed s"),
        ("--config.evaluate.num_networks=1", "--num_networks=3"),
        ("--protocol=dn", "protocol 'dn' is unknown", "dm"),
    ):
        status, text = commands.run_copy("continual", *TINY, argument, f"--workdir={tmp_path}")
        assert status == 2
        commands.refused(text, *parts)
    assert not list(tmp_path.iterdir())
