"""The ImageNette config on made-up pictures: from a folder of JPEG files to a judged set."""

import numpy as np
import pytest
from PIL import Image

import dpd_jax

NAMES = [f"n{label:08d}" for label in range(10)]


def write_pictures(folder):
    """Ten classes of one colour each, in the sizes and the layout of fast.ai's archive."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 1)):
        for label, name in enumerate(NAMES):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                shape = ((213, 160, 3), (160, 240, 3), (160, 160, 3))[i]
                pixels = rng.integers(20 * label, 20 * label + 60, shape, np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{name}_{i}.JPEG")


@pytest.mark.slow
def test_a_reduced_run(tmp_path):
    write_pictures(tmp_path / "imagenette2-160")
    config = dpd_jax.load_config("configs/imagenette_ipc1.py:mtt")
    config.network.width = 4
    config.data.device_images = "bytes"  # As the whole data set would be.
    config.augment.families = ("flip",)
    config.experts.update(num_experts=1, batch_size=16)
    config.curriculum.update(expert_epochs=1, current_max_start_epoch=0, max_start_epoch=0)
    config.student.syn_steps = 2
    config.distill.iterations = 2
    config.evaluate.update(num_networks=1, epochs=2, test_batch=10)
    places = {name: tmp_path / name for name in ("experts_dir", "cache_dir")}
    run = dpd_jax.Run(config, tmp_path / "run", data_dir=tmp_path / "imagenette2-160", **places)
    made = run.distill()
    assert made.class_names == tuple(NAMES) and made.pictures.shape == (10, 128, 128, 3)
    assert len(made.mean) == 3, "a mean and a deviation per channel"
    assert (tmp_path / "run" / "distilled.npz").stat().st_size < 10e6
    assert 0 <= run.report()["accuracy"]["mean"] <= 1
    inside = (made.pictures > 0) & (made.pictures < 255)  # Others may be cut off.
    seen = made.to_model_space(made.pictures)
    np.testing.assert_allclose(seen[inside], made.images[inside], atol=0.01)
