"""Exported sets, read again by what reads such files."""

import csv
import io
import json
import re
import shlex

import numpy as np
import pytest
from PIL import Image

from dpd_jax import load_config
from dpd_jax.errors import UserError
from dpd_jax.interchange import (
    data_card,
    parquet_dataset,
    picture_folder,
    pytorch_sets,
    safetensors_file,
)
from dpd_jax.presets import files
from dpd_jax.storage import distilled_set
from dpd_jax.synthetic import hard_labels
from tests.test_distilled_set import NAMES, made


def quiet(share):
    assert 0 <= share <= 1


def equal(array, other):
    np.testing.assert_array_equal(array, other)
    assert np.asarray(array).dtype == np.asarray(other).dtype


@pytest.mark.parametrize("hard", [True, False])
def test_pytorch(tmp_path, hard):
    torch = pytest.importorskip("torch")
    ours = made("zca")
    if hard:
        ours = ours._replace(label_logits=np.asarray(hard_labels(ours.labels, 4)))
    pytorch_sets.write(tmp_path, ours, quiet)
    paths = [tmp_path / f"{name}_best.pt" for name in ("images", "labels", "lr")]
    labels = torch.load(paths[1], weights_only=True)
    assert labels.dtype == (torch.int64 if hard else torch.float32)
    synthetic, classes = pytorch_sets.read(
        *paths, image_shape=(4, 4, 3), num_classes=4, step_size=9.0
    )
    equal(np.asarray(synthetic.images), ours.images)
    equal(np.asarray(synthetic.labels), ours.label_logits)
    equal(classes, ours.labels)
    assert float(synthetic.step_size) == np.float32(ours.step_size)


def test_images(tmp_path):
    ours = made()
    picture_folder.write(tmp_path, ours, quiet)
    with (tmp_path / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(list(tmp_path.glob("*.png"))) == len(rows) == 8
    for i, row in enumerate(rows):
        equal(np.asarray(Image.open(tmp_path / row["file"])), ours.pictures[i])
        assert int(row["label"]) == ours.labels[i] and row["class_name"] == NAMES[ours.labels[i]]
        equal(np.array([row[f"logit_{k}"] for k in range(4)], np.float32), ours.label_logits[i])


def test_grey_images_and_channels_that_no_picture_has():
    (grey,) = picture_folder.png_files(np.full((1, 2, 3, 1), 7, np.uint8))
    equal(np.asarray(Image.open(io.BytesIO(grey))), np.full((2, 3), 7, np.uint8))
    with pytest.raises(UserError, match="2 channels, but PNG pictures are grey"):
        next(picture_folder.png_files(np.zeros((1, 2, 3, 2), np.uint8)))


def test_safetensors(tmp_path):
    safetensors = pytest.importorskip("safetensors")
    ours = made("zca")
    safetensors_file.write(tmp_path, ours, quiet)
    with safetensors.safe_open(tmp_path / "distilled.safetensors", "numpy") as file:
        texts = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert json.loads(texts["provenance"]) == ours.provenance
    assert tuple(json.loads(texts["class_names"])) == NAMES
    assert arrays.pop("step_size") == np.float32(ours.step_size)
    assert len(arrays) == 6
    for name, array in arrays.items():
        equal(array, getattr(ours, name))


def test_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    ours = made("zca")
    parquet_dataset.write(tmp_path, ours, quiet)
    rows = parquet.read_table(tmp_path / "data" / "train.parquet").to_pylist()
    pictures = [np.asarray(Image.open(io.BytesIO(row["image"]["bytes"]))) for row in rows]
    equal(np.stack(pictures), ours.pictures)
    values = np.array([row["values"] for row in rows], np.float32)
    equal(values.reshape(ours.images.shape), ours.images)
    equal(np.array([row["label_logits"] for row in rows], np.float32), ours.label_logits)
    assert [row["label"] for row in rows] == ours.labels.tolist()
    assert json.loads((tmp_path / "provenance.json").read_text()) == ours.provenance


@pytest.mark.parametrize("large", [False, True])
def test_the_snippet_of_the_card_reads_the_set_with_datasets(large, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    ours, folder = made("zca"), tmp_path / "set"
    monkeypatch.setattr(distilled_set, "_INSIDE_BYTES", 0 if large else 40e6)
    parquet_dataset.write(folder, ours, quiet)
    assert len(list(folder.glob("whitening-*.npy"))) == large
    assert ((folder / "preprocessing.npz").stat().st_size < ours.matrix.nbytes) == large
    snippet = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)[1]
    names: dict = {}
    exec(snippet.replace("FOLDER", str(folder)), names)
    equal(names["images"], ours.images)
    assert names["p"]["step_size"] == np.float32(ours.step_size)
    np.testing.assert_allclose(
        names["to_model"](ours.pictures), ours.to_model_space(ours.pictures), rtol=1e-4, atol=1e-5
    )
    d = names["d"]
    assert d.features["label"].names == list(NAMES)
    equal(np.stack([np.asarray(row["image"]) for row in d]), ours.pictures)


def card(config, **others):
    stored = json.loads(config.to_json_best_effort())
    return data_card.text(made()._replace(provenance={"config": stored} | others))


def test_the_card_has_the_command_of_the_config():
    config = load_config("configs/digits_ipc1.py:mtt+,small")
    config.matching.pruning_rate = 0.125
    config.augment.families = ("color", "crop")
    stored = json.loads(config.to_json_best_effort())
    assert files.flags_of(stored) == [
        "--config=digits_ipc1:mtt+,small",
        "--config.augment.families=('color', 'crop')",
        "--config.matching.pruning_rate=0.125",
    ]
    text = card(config, accuracy={"mean": 0.5, "std": 0.01, "runs": [0.49, 0.51]})
    line = f"`dpd distill {shlex.join(files.flags_of(stored))}`"
    for part in (
        f"| command | {line} |",
        "| method | mtt+ |",
        "| test accuracy | 50.00 ± 1.00 % (2 fresh networks, last epoch) |",
        "license: cc-by-4.0",
        "| learning rate 0.02, 100 epochs, batch ",
        "augmentation: color, crop; convnet, width 16, ",
        "mean and standard deviation of each channel",
    ):
        assert part in text
    stored["method"] = "own"
    assert files.flags_of(stored) == []


def test_the_card_says_what_is_not_known():
    text = data_card.text(made())
    assert "| method | unknown |" in text and "| test accuracy | not measured |" in text
    config = load_config("configs/digits_ipc1.py")
    text = card(config, imported={"images": {"file": "images_best.pt"}})
    assert "| method | unknown: imported from the PyTorch files images_best.pt |" in text
    assert "| command | unknown |" in text
