"""Mistakes in an architecture search are found before anything is trained."""

from tests.end_to_end import commands


def test_a_set_of_other_images(finished):
    status, text = commands.run_copy(
        "architecture_search",
        "--config=configs/cifar10_ipc1.py",
        f"--distilled={finished.workdir / 'distilled.npz'}",
    )
    assert status == 2
    commands.refused(text, "distilled.npz holds images of shape (8, 8, 1)", "(32, 32, 3)")
