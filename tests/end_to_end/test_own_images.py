"""From a folder of pictures to a judged set, without code."""

import json

import numpy as np
from PIL import Image

from dpd_jax.storage import distilled_set
from tests.end_to_end import commands

# commands.TINY without what is about the digits.
TINY = tuple(x for x in commands.TINY if "--config=" not in x and ".data." not in x)


def test_from_a_folder_to_a_judged_set(tmp_path):
    rng = np.random.default_rng(0)
    for shade, name in enumerate(["dark", "grey", "light"]):
        (tmp_path / "shades" / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(80 * shade, 80 * shade + 90, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "shades" / name / f"{i}.png")
    arguments = (
        "--config=configs/images.py",
        f"--data_dir={tmp_path / 'shades'}",
        f"--workdir={tmp_path / 'run'}",
        *TINY,
    )
    status, text = commands.run_copy("distill", *arguments)
    assert status == 0, text
    assert (
        "shades: 3 classes, 24 training images (8 a class), 6 test images, 8x8x3; depth 2" in text
    )
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert (config["num_classes"], config["image_shape"]) == (3, [8, 8, 3])
    assert config["network"]["depth"] == 2 and config["data"]["name"] == "shades"
    made = distilled_set.read(tmp_path / "run" / "distilled.npz")
    assert made.class_names == ("dark", "grey", "light") and made.pictures.shape == (3, 8, 8, 3)

    status, text = commands.run_copy("distill", *arguments)
    assert status == 0 and "this run is finished" in text, text
    status, text = commands.run_copy(
        "evaluate", *arguments[:2], *TINY, f"--distilled={tmp_path / 'run' / 'distilled.npz'}"
    )
    assert status == 0 and "test accuracy" in text, text

    # Another class since then: another run.
    (tmp_path / "shades" / "white").mkdir()
    for i in range(3):
        Image.new("RGB", (8, 8), "white").save(tmp_path / "shades" / "white" / f"{i}.png")
    status, text = commands.run_copy("distill", *arguments)
    assert status == 2
    commands.refused(text, "num_classes: stored 3, asked 4")
