"""Reads real data sets in part, small unusual ones in full, and invalid ones."""

import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
import sklearn.datasets
import tensorflow_datasets as tfds
from absl import flags
from ml_collections import config_flags

from configs import digits_ipc1
from dpd_jax.datasets import loading, prepared
from dpd_jax.datasets.loading import Dataset
from dpd_jax.errors import UserError
from dpd_jax.runs import completion, expert_training, run_data
from dpd_jax.runs.experiment import Experiment


def load(name, data_dir, **changes):
    arguments = dict(
        source="tfds",
        train_split="train",
        test_split="test",
        image_key="image",
        label_key="label",
    )
    return loading.load(name, data_dir=data_dir, **(arguments | changes))


class Toy(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A set of whatever features and examples a test gives it."""

    VERSION = tfds.core.Version("1.2.0")
    code_path = None
    features: dict
    splits: dict[str, list[dict]]

    def _info(self):
        features = tfds.features.FeaturesDict(self.features)
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(rows) for split, rows in self.splits.items()}

    def _generate_examples(self, rows):
        yield from enumerate(rows)


IMAGE = tfds.features.Tensor(shape=(4, 4, 3), dtype=np.uint8)
LABEL = tfds.features.ClassLabel(names=["cat", "dog"])
ROWS = [{"image": np.full((4, 4, 3), i, np.uint8), "label": i % 2} for i in range(6)]


def prepare(data_dir, image=IMAGE, label=LABEL, rows=ROWS, version="1.2.0"):
    class This(Toy, skip_registration=True):
        name = "toy"
        VERSION = tfds.core.Version(version)
        features = {"image": image, "label": label}
        splits = {"train": rows, "test": rows[:2]}

    tfds.disable_progress_bar()
    This(data_dir=data_dir, file_format="array_record").download_and_prepare()
    return data_dir / "toy" / version


# Real sets


def test_cifar10(real_data_dir):
    seen = []
    dataset = load(
        "cifar10",
        real_data_dir,
        train_split="train[:2500]",
        test_split="test[:100]",
        progress=lambda fraction, *, doing: seen.append((doing, fraction)),
    )
    assert dataset.name == "cifar10:3.0.2"
    assert dataset.train_images.shape == (2500, 32, 32, 3)
    assert dataset.test_images.shape == (100, 32, 32, 3)
    assert dataset.train_images.dtype == np.uint8
    assert dataset.train_labels.dtype == dataset.test_labels.dtype == np.int32
    assert dataset.class_names[:3] == ("airplane", "automobile", "bird")
    assert seen == [("reading cifar10:3.0.2", done / 2600) for done in (1000, 2000, 2600)]
    mean = dataset.train_images.mean((0, 1, 2)) / 255
    np.testing.assert_allclose(mean, [0.4913, 0.4821, 0.4465], atol=0.02)
    # The records as TFDS gives them one by one.
    folder = real_data_dir / "cifar10" / "3.0.2"
    source = tfds.builder_from_directory(folder).as_data_source("train")
    for i in (0, 999, 1000, 2499):
        np.testing.assert_array_equal(dataset.train_images[i], source[i]["image"])
        assert dataset.train_labels[i] == source[i]["label"]


def test_grey_images_have_one_channel(real_data_dir):
    dataset = load(
        "fashion_mnist:3.0.1", str(real_data_dir), train_split="train[:200]", test_split="test[:1%]"
    )
    assert dataset.train_images.shape == (200, 28, 28, 1)
    assert dataset.test_images.shape == (100, 28, 28, 1)
    assert dataset.class_names[9] == "Ankle boot"


def test_splits_of_other_names(real_data_dir):
    dataset = load(
        "tiny_imagenet_20", real_data_dir, train_split="train[:10]", test_split="validation[:10]"
    )
    assert dataset.test_images.shape == (10, 64, 64, 3)
    assert len(dataset.class_names) == 20


# Digits


def digits(**changes):
    return load("digits", None, **({"source": "digits"} | changes))


def test_digits_are_split_by_class_and_scaled():
    dataset = digits()
    assert dataset.train_images.shape == (1438, 8, 8, 1)
    assert dataset.test_images.shape == (359, 8, 8, 1)
    counts = np.bincount(dataset.test_labels)
    assert counts.min() == 35 and counts.max() == 37
    scaled = np.round(np.arange(17) * 255 / 16).astype(int)
    assert set(np.unique(dataset.train_images)) == set(scaled)
    together = np.concatenate([dataset.train_images, dataset.test_images])
    assert len(np.unique(together.reshape(1797, -1), axis=0)) == 1797, "a digit is in both parts"
    assert dataset.class_names == tuple("0123456789")
    assert loading.fingerprint(dataset) == loading.fingerprint(digits())


def test_digits_need_neither_tfds_nor_jax():
    code = (
        "import sys; from dpd_jax.datasets import loading; "
        "loading.load('digits', source='digits', train_split='train', test_split='test', "
        "image_key='image', label_key='label', data_dir=None); "
        "assert not {'tensorflow', 'tensorflow_datasets', 'jax'} & set(sys.modules)"
    )
    root = loading.__file__.rsplit("/", 3)[0]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"train_split": "training"}, 'no split "training"; it has: train, test'),
        ({"image_key": "picture"}, 'no feature "picture"'),
        ({"source": "sklearn"}, "is unknown; set it to tfds, images, npz or digits"),
    ],
)
def test_mistakes_about_digits(changes, match):
    with pytest.raises(UserError, match=match):
        digits(**changes)


# Users' own files

OWN = dict(
    train_image=np.arange(6 * 4 * 4 * 3, dtype=np.uint8).reshape(6, 4, 4, 3),
    train_label=np.array([0, 1, 2, 2, 1, 0]),
    test_image=np.full((2, 4, 4, 3), 255, np.uint8),
    test_label=np.array([1, 0]),
)


def own(tmp_path, leave_out=(), **changes):
    """The path of a file that holds OWN with changes."""
    path = tmp_path / "own.npz"
    arrays = {k: v for k, v in (OWN | changes).items() if k not in leave_out}
    np.savez(path, **arrays)
    return path


def load_own(path, **changes):
    return load(str(path), None, **({"source": "npz"} | changes))


def test_own_images(tmp_path):
    dataset = load_own(own(tmp_path, class_names=np.array(["cat", "dog", "Kuh"])))
    assert dataset.name == "own.npz"
    np.testing.assert_array_equal(dataset.train_images, OWN["train_image"])
    np.testing.assert_array_equal(dataset.train_labels, OWN["train_label"])
    np.testing.assert_array_equal(dataset.test_images, OWN["test_image"])
    np.testing.assert_array_equal(dataset.test_labels, OWN["test_label"])
    assert dataset.train_labels.dtype == dataset.test_labels.dtype == np.int32
    assert dataset.class_names == ("cat", "dog", "Kuh")
    assert load_own(own(tmp_path)).class_names == ("0", "1", "2")


def test_own_arrays_of_other_names_and_shapes(tmp_path):
    """As MedMNIST has them: plural names, grey images without a channel, a column of labels."""
    path, arrays = tmp_path / "own.npz", {}
    for split in ("train", "val"):
        arrays[f"{split}_images"] = OWN["train_image"][..., 0]
        arrays[f"{split}_labels"] = OWN["train_label"][:, None].astype(np.uint8)
    arrays["val_labels"] = arrays["val_labels"][::-1]
    np.savez_compressed(path, **arrays)
    dataset = load_own(path, image_key="images", label_key="labels", test_split="val")
    assert dataset.train_images.shape == (6, 4, 4, 1)
    np.testing.assert_array_equal(dataset.train_labels, OWN["train_label"])
    np.testing.assert_array_equal(dataset.test_labels, OWN["train_label"][::-1])


LISTS = np.array([[1], [2, 3]], dtype=object)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"train_image": OWN["train_image"] / 255}, r"float64 \[6, 4, 4, 3\], not 8-bit.*uint8"),
        ({"train_image": LISTS}, '"train_image" in .*own.npz cannot be read.*Python objects'),
        ({"class_names": LISTS}, '"class_names" in .* cannot be read.*of text'),
        ({"train_image": OWN["train_image"][0, 0]}, r"\[4, 3\], not images"),
        ({"train_image": OWN["train_image"][:0]}, r"\[0, 4, 4, 3\], not images"),
        ({"train_image": np.zeros((6, 3, 8, 8), np.uint8)}, r"transpose\(0, 2, 3, 1\)"),
        ({"train_image": OWN["train_image"][:5]}, "holds 5 images, and .* 6 labels"),
        ({"test_image": np.zeros((2, 5, 4, 3), np.uint8)}, "splits train, test .* differ in shape"),
        ({"train_label": OWN["train_label"] / 1}, "float64.*, not one integer"),
        ({"train_label": np.eye(6, dtype=int)}, r"\[6, 6\], not one integer"),
        ({"train_label": OWN["train_label"] - 1}, "labels from -1 to 1.*from 0"),
        ({"test_label": np.uint64([0, 2**40])}, "labels from 0 to 1099511627776"),
        ({"train_label": OWN["train_label"] + 1}, "no training image with label 0, and 3 of 4"),
        ({"train_label": OWN["train_label"] * 2}, "label 1, and 3 of 5.*without gaps.*np.unique"),
        ({"test_label": np.array([0, 3])}, "no training image with label 3"),
        ({"class_names": np.array(["a", "b"])}, "labels up to 2, but 2 class_names"),
        ({"class_names": np.array(["a", "b", "c", "d"])}, "label 3, and 3 of 4"),
        ({"class_names": np.arange(3)}, r"np.array\(names, str\)"),
    ],
)
def test_mistakes_in_own_arrays(tmp_path, changes, match):
    with pytest.raises(UserError, match=match):
        load_own(own(tmp_path, **changes))


def test_missing_arrays_are_named_beside_those_there(tmp_path):
    path = own(tmp_path, leave_out=["test_image", "test_label"])
    with pytest.raises(UserError) as caught:
        load_own(path)
    for part in (str(path), "no test_image, test_label; it has: train_image, train_label", "SPLIT"):
        assert part in str(caught.value)
    with pytest.raises(UserError, match="no train_picture, test_picture; it has"):
        load_own(own(tmp_path), image_key="picture")
    with pytest.raises(UserError, match=r"has no train\[:2\]_image"):
        load_own(own(tmp_path), train_split="train[:2]")


@pytest.mark.parametrize("content", [b"", b"image,label\n", b"PK\x03\x04 and no more"])
def test_other_files_are_no_npz(tmp_path, content):
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{path} is not an .npz file"):
        load_own(path)


def test_a_single_array_or_a_part_of_a_file_is_no_npz(tmp_path):
    np.save(tmp_path / "own.npy", OWN["train_image"])
    with pytest.raises(UserError, match="own.npy is not an .npz file"):
        load_own(tmp_path / "own.npy")
    path = own(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="not an .npz file, or is incomplete"):
        load_own(path)


def test_changed_bytes_are_noticed(tmp_path):
    path = own(tmp_path)
    content = bytearray(path.read_bytes())
    place = content.index(OWN["train_image"][3].tobytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match='"train_image" in .* cannot be read.*CRC.*damaged'):
        load_own(path)


def test_a_file_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"data.name = own.npz, which does not exist.*{tmp_path}"):
        load_own("own.npz")
    with pytest.raises(UserError, match="is a folder"):
        load_own(tmp_path)
    # A user may set the name and forget the source.
    with pytest.raises(UserError, match='"own.npz" is not in .* data.source "npz"'):
        load("own.npz", tmp_path)


def test_a_file_is_the_same_set_wherever_it_lies():
    assert loading.bare_name("/some/where/own.npz", "npz") == loading.bare_name("own.npz", "npz")
    assert loading.bare_name("set/config:1.0.0", "tfds") == "set/config"


def test_the_readme_s_own_data(tmp_path, monkeypatch):
    """The data file and the command of the README work together."""
    readme = (pathlib.Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## Your own images")[2].partition("\n## ")[0]
    commands = re.findall(r"    python -m experiments\.distill ((?:.*\\\n)*.*)", section)
    command = next(command for command in commands if "own.npz" in command)
    arguments = ["distill", *shlex.split(command.replace("\\\n", ""))]
    monkeypatch.setattr(sys, "argv", arguments)  # where config_flags looks for fields
    values = flags.FlagValues()
    for name in ("workdir", "data_dir"):
        flags.DEFINE_string(name, None, "", flag_values=values)
    config_flags.DEFINE_config_file("config", lock_config=True, flag_values=values)
    values(arguments)

    monkeypatch.chdir(tmp_path)
    exec(re.search(r"```python\n(.*?)```", section, re.S)[1], {})
    experiment = Experiment.from_config(completion.complete(values.config, values.data_dir))
    loaded = run_data.load(experiment.config, values.data_dir, tmp_path)
    assert loaded.train.shape == (1437, 8, 8, 1) and loaded.test.shape == (360, 8, 8, 1)
    assert loaded.dataset.class_names == tuple("0123456789")
    raw = sklearn.datasets.load_digits().images
    images = loaded.train[:]
    assert np.corrcoef(images.ravel(), raw[:1437].ravel())[0, 1] > 0.999
    # Measured, since the command leaves mean and deviation empty.
    assert abs(images.mean()) < 1e-4 and abs(images.std() - 1) < 1e-4
    assert expert_training.provenance(experiment, loaded)["data"]["name"] == "own.npz"
    assert experiment.title == "own.npz, 1 per class, dpd"


def test_own_images_that_do_not_fit_the_config(tmp_path):
    config = digits_ipc1.get_config()
    config.data.source, config.data.name = "npz", str(own(tmp_path))
    with pytest.raises(UserError, match=r"shape \(4, 4, 3\).*image_shape = \(8, 8, 1\)"):
        run_data.read(config, None)
    config.image_shape = (4, 4, 3)
    with pytest.raises(UserError, match="has 3 classes.*num_classes = 10. Set num_classes"):
        run_data.read(config, None)


# Where sets lie


def test_newest_version_unless_named(tmp_path):
    for version, count in (("1.2.0", 3), ("1.10.0", 4), ("1.9.0", 5)):
        prepare(tmp_path, rows=ROWS[:count], version=version)
    assert len(load("toy", tmp_path).train_images) == 4
    assert len(load("toy:1.9.0", tmp_path).train_images) == 5
    assert load("toy", tmp_path).name == "toy:1.10.0"


def test_configs_of_a_set_are_folders(tmp_path):
    made = prepare(tmp_path / "elsewhere")
    shutil.copytree(made, tmp_path / "sets" / "toy" / "blurred" / "1.2.0")
    assert load("toy/blurred", tmp_path / "sets").name == "toy/blurred:1.2.0"


def test_an_unknown_set(tmp_path):
    prepare(tmp_path)
    with pytest.raises(UserError) as caught:
        load("fashion_mnst", tmp_path)
    for part in (
        str(tmp_path),
        "holds toy:1.2.0",
        'Did you mean "fashion_mnist"?',
        "cifar10:3.0.2",
        "digits",
        "tfds build",
        'data.source "npz"',
    ):
        assert part in str(caught.value)


def test_an_unknown_version(tmp_path):
    prepare(tmp_path)
    with pytest.raises(UserError, match='"toy:9.9.9" is not in .* holds toy:1.2.0'):
        load("toy:9.9.9", tmp_path)
    with pytest.raises(UserError, match='"cifar10:9.9.9" is not in'):  # not one we can make
        load("cifar10:9.9.9", tmp_path)


def test_a_wrong_data_dir(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path}/typo, which does not exist"):
        load("toy", tmp_path / "typo")
    with pytest.raises(UserError, match="which holds no prepared data set.*tfds build"):
        load("toy", tmp_path)
    assert not (tmp_path / "typo").exists()


def test_another_file_format(tmp_path):
    description = prepare(tmp_path) / "dataset_info.json"
    text = description.read_text()
    description.write_text(text.replace('"array_record"', '"tfrecord"'))
    with pytest.raises(UserError, match="array_record.*tfds build"):
        load("toy", tmp_path)
    description.write_text(text[: len(text) // 2])
    with pytest.raises(UserError, match="cannot read the data set in"):
        load("toy", tmp_path)


# What sets hold


def test_a_toy_set(tmp_path):
    prepare(tmp_path)
    dataset = load("toy", tmp_path)
    assert sorted(dataset.train_images[:, 0, 0, 0]) == list(range(6))
    np.testing.assert_array_equal(dataset.train_images[:, 0, 0, 0] % 2, dataset.train_labels)
    assert dataset.class_names == ("cat", "dog")


def test_plain_integers_can_be_labels_and_matrices_images(tmp_path):
    rows = [{"image": row["image"][..., 0], "label": row["label"] * 3} for row in ROWS]
    prepare(
        tmp_path,
        image=tfds.features.Tensor(shape=(4, 4), dtype=np.uint8),
        label=tfds.features.Scalar(np.int64),
        rows=rows,
    )
    dataset = load("toy", tmp_path)
    assert dataset.train_images.shape == (6, 4, 4, 1)
    assert dataset.class_names == ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"train_split": "trian"}, 'split "trian".*the splits test, train'),
        ({"test_split": "test[:"}, r'split "test\[:" of toy:1.2.0'),
        ({"test_split": "test[:50]"}, "incompatible with 2 examples"),
        ({"test_split": "test[:0]"}, r'cannot take the split "test\[:0\]"'),
        ({"image_key": "img"}, 'no feature "img"; it has: image, label'),
        ({"label_key": "y"}, 'no feature "y"; it has: image, label'),
        ({"image_key": "label"}, "not an 8-bit image"),
        ({"label_key": "image"}, "not one integer for each"),
    ],
)
def test_mistakes_about_splits_and_features(tmp_path, changes, match):
    prepare(tmp_path)
    with pytest.raises(UserError, match=match):
        load("toy", tmp_path, **changes)


def test_float_images_are_refused(tmp_path):
    rows = [{"image": row["image"] / np.float32(255), "label": row["label"]} for row in ROWS]
    prepare(tmp_path, image=tfds.features.Tensor(shape=(4, 4, 3), dtype=np.float32), rows=rows)
    with pytest.raises(UserError, match="float32.*not an 8-bit image"):
        load("toy", tmp_path)


def test_images_of_different_sizes_are_refused(tmp_path):
    rows = [{"image": np.zeros((4 + i % 2, 4, 3), np.uint8), "label": 0} for i in range(6)]
    image = tfds.features.Tensor(shape=(None, 4, 3), dtype=np.uint8)
    prepare(tmp_path, image=image, rows=rows)
    with pytest.raises(UserError, match="has shape .* All must have one size"):
        load("toy", tmp_path)


def test_splits_of_different_sizes_are_refused(tmp_path):
    rows = [{"image": np.zeros((4 + (i < 2), 4, 3), np.uint8), "label": 0} for i in range(6)]
    image = tfds.features.Tensor(shape=(None, 4, 3), dtype=np.uint8)
    folder = prepare(tmp_path, image=image, rows=rows)
    source = tfds.builder_from_directory(folder).as_data_source("train")
    first = [record["image"].shape[0] for record in source].index(4)  # The test split has 5 rows.
    with pytest.raises(UserError, match="differ in shape"):
        load("toy", tmp_path, train_split=f"train[{first}:{first + 1}]")


def test_labels_outside_the_classes_are_refused(tmp_path):
    folder = prepare(tmp_path, label=tfds.features.ClassLabel(num_classes=2))
    features = json.loads((folder / "features.json").read_text())
    features["featuresDict"]["features"]["label"]["classLabel"]["numClasses"] = "1"
    (folder / "features.json").write_text(json.dumps(features))
    (folder / "label.labels.txt").unlink(missing_ok=True)
    with pytest.raises(UserError, match="labels outside 0 to 0: 4 of 8, such as 1"):
        load("toy", tmp_path)


def test_labels_below_zero_are_refused(tmp_path):
    rows = [{"image": row["image"], "label": -1} for row in ROWS]
    prepare(tmp_path, label=tfds.features.Scalar(np.int64), rows=rows)
    with pytest.raises(UserError, match="such as -1. A split without labels"):
        load("toy", tmp_path)


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "remove"])
def test_damaged_files_are_named(tmp_path, harm):
    (path,) = prepare(tmp_path).glob("*train.array_record*")
    content = path.read_bytes()
    if harm == "remove":
        path.unlink()
    else:
        # The bytes of the records lie at the front, after the header of the file.
        flipped = content[:200] + bytes(255 - byte for byte in content[200:300]) + content[300:]
        path.write_bytes({"cut": content[: len(content) // 2], "flip": flipped, "empty": b""}[harm])
    with pytest.raises(UserError, match='split "train" of toy:1.2.0 in .* cannot be read'):
        load("toy", tmp_path)


# Parts and hashes


def uneven():
    """30 images of class 0, 20 of class 1, 10 of class 2; each pixel names its image."""
    labels = np.repeat(np.int32([0, 1, 2]), [30, 20, 10])
    images = np.arange(60, dtype=np.uint8).reshape(60, 1, 1, 1)
    order = np.random.default_rng(0).permutation(60)
    part = (images[order], labels[order])
    return Dataset("uneven:1.0.0", *part, *part, ("a", "b", "c"))


def test_subset_is_balanced_and_keeps_pairs_and_order():
    whole = uneven()
    part = loading.subset(whole, train_per_class=7, test_images=9, seed=0)
    np.testing.assert_array_equal(np.bincount(part.train_labels), 7)
    np.testing.assert_array_equal(np.bincount(part.test_labels), 3)
    label_of = dict(zip(whole.train_images.ravel(), whole.train_labels, strict=True))
    places = [list(whole.train_images.ravel()).index(i) for i in part.train_images.ravel()]
    assert places == sorted(places)
    for images, labels in (part[1:3], part[3:5]):
        assert [label_of[i] for i in images.ravel()] == list(labels)
        assert len(np.unique(images)) == len(images)


def test_subset_takes_what_small_classes_have():
    part = loading.subset(uneven(), train_per_class=0, test_images=45, seed=0)
    np.testing.assert_array_equal(np.bincount(part.test_labels), [18, 17, 10])
    assert len(part.train_labels) == 60
    part = loading.subset(uneven(), train_per_class=20, test_images=0, seed=0)
    np.testing.assert_array_equal(np.bincount(part.train_labels), [20, 20, 10])


def test_subset_depends_on_the_seed_alone():
    def kept(**changes):
        arguments = dict(train_per_class=5, test_images=6, seed=3) | changes
        part = loading.subset(uneven(), **arguments)
        return list(part.train_images.ravel()), list(part.test_images.ravel())

    assert kept() == kept()
    assert kept()[0] != kept(seed=4)[0] and kept()[1] != kept(seed=4)[1]
    assert kept()[1] == kept(train_per_class=0)[1], "the two parts are drawn apart"


def test_subset_of_all_is_all():
    whole = uneven()
    part = loading.subset(whole, train_per_class=0, test_images=0, seed=0)
    assert all(new is old for new, old in zip(part[1:5], whole[1:5], strict=True))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"test_images": 61}, "has only 60 test images"),
        ({"test_images": -1}, "must not be negative"),
    ],
)
def test_subset_refuses_more_than_there_is(changes, match):
    with pytest.raises(UserError, match=match):
        loading.subset(uneven(), **(dict(train_per_class=0, test_images=0, seed=0) | changes))


def test_fingerprint_sees_training_images_labels_and_order():
    whole = uneven()
    first = loading.fingerprint(whole)
    assert first == loading.fingerprint(uneven()) == "08c0a4f5665b8c86"
    images = whole.train_images.copy()
    images[3] += 1
    labels = whole.train_labels.copy()
    labels[3] = (labels[3] + 1) % 3
    turned = (whole.train_images[::-1], whole.train_labels[::-1])
    others = [
        whole._replace(train_images=images),
        whole._replace(train_labels=labels),
        whole._replace(train_images=turned[0], train_labels=turned[1]),
        whole._replace(train_images=whole.train_images.reshape(60, 1, 1, 1, 1)),
    ]
    assert len({first, *(loading.fingerprint(other) for other in others)}) == 5
    assert loading.fingerprint(whole._replace(test_images=images)) == first


def test_batches_are_smaller_than_the_sets(monkeypatch, tmp_path):
    """Reading in batches loses, repeats and reorders no record."""
    prepare(tmp_path)
    whole = load("toy", tmp_path)
    monkeypatch.setattr(prepared, "_BATCH", 4)
    assert loading.fingerprint(load("toy", tmp_path)) == loading.fingerprint(whole)
