"""Images of the user: a folder of class folders or Parquet files, as arrays."""

import io
import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dpd_jax.datasets import encoded, loading
from dpd_jax.errors import UserError


def load(path, **changes):
    arguments = dict(
        name="",
        source="images",
        train_split="train",
        test_split="test",
        image_key="image",
        label_key="label",
        data_dir=path,
    )
    return loading.load(**(arguments | changes))


def picture(seed, mode="RGB", size=(6, 6)):
    shape = (*size[::-1], len(Image.new(mode, (1, 1)).getbands()))
    values = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return Image.fromarray(values.squeeze(-1) if shape[2] == 1 else values, mode=None)


def write(root, names):
    """Writes a random picture for each name; returns {name: array}."""
    found = {}
    for seed, name in enumerate(names):
        path = pathlib.Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        image = picture(seed)
        image.save(path)
        found[name] = np.asarray(image)
    return found


SPLIT = [f"{split}/{c}/{i}.png" for split in ("train", "test") for c in ("b", "a") for i in (0, 1)]


def test_a_folder_of_splits_and_classes(tmp_path):
    pixels = write(tmp_path / "set", SPLIT)
    for extra in ("train/a/.hidden.png", "train/.ipynb_checkpoints/0.png", "readme.txt"):
        path = tmp_path / "set" / extra
        path.parent.mkdir(exist_ok=True)
        path.write_text("no image")
    dataset = load(tmp_path / "set")
    assert dataset.name == "set" and dataset.class_names == ("a", "b")
    order = [f"{c}/{i}.png" for c in ("a", "b") for i in (0, 1)]
    for split, images, labels in (
        ("train", dataset.train_images, dataset.train_labels),
        ("test", dataset.test_images, dataset.test_labels),
    ):
        np.testing.assert_array_equal(images, [pixels[f"{split}/{name}"] for name in order])
        np.testing.assert_array_equal(labels, [0, 0, 1, 1])
        assert labels.dtype == np.int32
    other = load(tmp_path / "set", train_split="test", test_split="train")
    np.testing.assert_array_equal(other.train_images, dataset.test_images)


def test_a_share_of_each_class_is_kept_back(tmp_path):
    sizes = {"few": 2, "more": 10, "train": 21}  # A class may have the name of a split.
    names = [
        f"{c}/deep/{i:02}.png" if c == "few" else f"{c}/{i:02}.png"
        for c in sizes
        for i in range(sizes[c])
    ]
    pixels = write(tmp_path, names)
    dataset = load(tmp_path)
    assert dataset.class_names == tuple(sizes)
    np.testing.assert_array_equal(np.bincount(dataset.test_labels), [1, 2, 4])
    np.testing.assert_array_equal(np.bincount(dataset.train_labels), [1, 8, 17])
    # Every image once, with its label.
    label_of = {pixels[name].tobytes(): list(sizes).index(name.split("/")[0]) for name in names}
    found = [
        *zip(dataset.train_images, dataset.train_labels, strict=True),
        *zip(dataset.test_images, dataset.test_labels, strict=True),
    ]
    assert {image.tobytes(): label for image, label in found} == label_of
    np.testing.assert_array_equal(load(tmp_path).test_images, dataset.test_images)
    assert not np.array_equal(load(tmp_path, seed=1).test_images, dataset.test_images)
    assert len(load(tmp_path, test_share=0.5).test_labels) == 1 + 5 + 10


def described(items, shape):
    seen = encoded.headers(items, None)
    return encoded.decode(items, shape, None, ""), encoded.changes(seen, shape)


def saved(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return encoded.Item("somewhere", file.getvalue())


def test_other_sizes_are_scaled_and_cropped_in_the_middle():
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 4:8] = 200
    tall = wide.transpose(1, 0, 2)
    items = [saved(Image.fromarray(x)) for x in (wide, tall, wide[:, 4:8])]
    images, text = described(items, (4, 4, 3))
    np.testing.assert_array_equal(images, 200)
    assert text == "Of 3 images 2 are scaled and cropped to 4x4."
    half, _ = described(items[:1], (2, 6, 3))
    np.testing.assert_array_equal(half[0, :, [0, 5]], 0)
    assert (half[0, :, 2:4] > 150).all()


def test_alpha_is_composed_over_white():
    pixels = np.full((2, 2, 4), 100, np.uint8)
    pixels[..., 3] = [[255, 0], [51, 255]]  # 51 is a fifth
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([9, 9, 9, 100, 100, 100])
    items = [saved(Image.fromarray(pixels)), saved(palette, transparency=1)]
    images, text = described(items, (2, 2, 3))
    np.testing.assert_array_equal(images[0, ..., 0], [[100, 255], [224, 100]])
    np.testing.assert_array_equal(images[1], 255)
    assert text == "Of 2 images 2 are composed over white, because they have an alpha channel."
    grey, _ = described([saved(Image.fromarray(pixels[..., 2:]))], (2, 2, 1))
    np.testing.assert_array_equal(grey[0, ..., 0], [[100, 255], [224, 100]])


def test_other_colours_and_depths():
    deep = Image.fromarray(np.array([[0, 255], [256, 65535]], np.uint16))
    black = Image.new("1", (2, 2), 1)
    inks = Image.new("CMYK", (2, 2), (0, 255, 255, 0))
    items = [saved(deep), saved(black), saved(inks, "JPEG")]
    images, text = described(items, (2, 2, 3))
    np.testing.assert_array_equal(images[0, ..., 0], [[0, 0], [1, 255]])
    np.testing.assert_array_equal(images[1], 255)
    assert images[2, 0, 0, 0] > 240 and images[2, 0, 0, 1:].max() < 15  # red
    assert text == "Of 3 images 2 are turned from grey to colour."
    assert encoded.common_shape(encoded.headers(items[:2], None)) == (2, 2, 1)


def test_photos_are_turned_as_their_camera_says():
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned clockwise.
    item = saved(Image.fromarray(pixels), "JPEG", exif=exif, quality=95)
    images, text = described([item], (16, 8, 3))
    assert text == "" and images[0, :8].min() > 240 and images[0, 8:].max() < 15


def test_the_common_shape():
    def shape(*sizes, grey=False):
        return encoded.common_shape([encoded.Header(w, h, grey, False) for w, h in sizes])

    assert shape((8, 8), (8, 12), (16, 16)) == (8, 8, 3)
    assert shape((16, 16), (8, 8), grey=True) == (8, 8, 1)
    assert shape((640, 480), (300, 500), (20, 20)) == (64, 64, 3)


def empty(root):
    (root / "c").mkdir(parents=True)


def text_file(root):
    empty(root)
    (root / "c" / "image.tif").write_text("no image")


def damaged(root):
    content = (root / "a" / "0.png").read_bytes()
    (root / "a" / "0.png").write_bytes(content[: len(content) // 2])


FLAT = [f"{c}/{i}.png" for c in "ab" for i in range(3)]


@pytest.mark.parametrize(
    ("names", "harm", "changes", "match"),
    [
        (["a/0.png"], None, {}, "one class folder, a, but two"),
        (["0.png", "1.png"], None, {}, r"no class folders \(and 2 images beside them\)"),
        (FLAT, empty, {}, "class folder .*/c has no images. PNG, JPEG and WebP"),
        (FLAT, text_file, {}, r"class folder .*/c has no images, but 1 other files \(.tif\)"),
        (FLAT, damaged, {}, r"the image .*/a/0.png cannot be read \(.*\). Repair"),
        ([*FLAT, "c/0.png"], None, {}, 'class "c" has one image'),
        (FLAT, None, {"test_share": 1.0}, r"data.test_share = 1.0 must lie in \(0, 1\)"),
        (FLAT, None, {"image_shape": (8, 8, 4)}, r"image_shape = \(8, 8, 4\), but .* 3 \(colour\)"),
        (SPLIT[:4], None, {}, "split train/, but no class folders in test/.*has: train. Set"),
        (SPLIT[:6], None, {}, "/test has no folder for a, but .*/train has"),
        ([*SPLIT, "test/c/0.png"], None, {}, "/train has no folder for c, but .*/test has"),
        (SPLIT, None, {"test_split": "val"}, "in val/; it has: test, train"),
    ],
)  # fmt: skip
def test_mistakes_in_folders(tmp_path, names, harm, changes, match):
    write(tmp_path, names)
    if harm:
        harm(tmp_path)
    with pytest.raises(UserError, match=match) as error:
        load(tmp_path, **changes)
    assert "\n" not in str(error.value)


def test_places_that_hold_no_images(tmp_path):
    with pytest.raises(UserError, match="say where they are, --data_dir=FOLDER"):
        load(None)
    with pytest.raises(UserError, match=f"--data_dir={tmp_path}/x: there is no such"):
        load(tmp_path / "x")
    (tmp_path / "images.zip").write_text("no image")
    with pytest.raises(UserError, match="is a file, but neither .npz nor .parquet"):
        load(tmp_path / "images.zip")


# Parquet files

NAMES = ["cat", "dog"]


def rows(count=6):
    images = [saved(picture(seed)).content for seed in range(count)]
    return {"image": [{"bytes": x, "path": None} for x in images], "label": [1, 0] * (count // 2)}


def write_parquet(path, columns, names=NAMES):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if names:
        info = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    pq.write_table(table, path)


@pytest.mark.parametrize(
    "train, test",
    [
        ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
        ("train.parquet", "test.parquet"),
        ("set/train/0000.parquet", "set/test/0000.parquet"),
    ],
)
def test_parquet_files_of_the_hub(tmp_path, train, test):
    write_parquet(tmp_path / train, rows(6))
    write_parquet(tmp_path / test, rows(2))
    dataset = load(tmp_path)
    assert dataset.class_names == ("cat", "dog")
    expected = [np.asarray(picture(seed)) for seed in range(6)]
    np.testing.assert_array_equal(dataset.train_images, expected)
    np.testing.assert_array_equal(dataset.train_labels, [1, 0] * 3)
    np.testing.assert_array_equal(dataset.test_images, expected[:2])


def test_parquet_files_without_test_split_or_names(tmp_path):
    columns = {"img": [x["bytes"] for x in rows(8)["image"]], "kind": ["b", "a"] * 4}
    write_parquet(tmp_path / "train-00000-of-00002.parquet", columns, names=None)
    write_parquet(tmp_path / "train-00001-of-00002.parquet", columns, names=None)
    dataset = load(tmp_path, image_key="img", label_key="kind")
    assert dataset.class_names == ("a", "b")
    np.testing.assert_array_equal(np.bincount(dataset.train_labels), [6, 6])
    np.testing.assert_array_equal(np.bincount(dataset.test_labels), [2, 2])
    one = load(
        tmp_path / "train-00000-of-00002.parquet", image_key="img", label_key="kind", test_share=0.5
    )
    assert len(one.test_labels) == 4


@pytest.mark.parametrize(
    ("changes", "options", "match"),
    [
        ({}, {"image_key": "img"}, "no column img; it has: image, label. Set data.image_key"),
        ({}, {"train_split": "validation"}, "no Parquet file of the split validation.*has.*train"),
        ({"label": [-1, 0, 1, 0, 1, 0]}, {}, '"label" of .* has labels below 0'),
        ({"label": [2, 0, 1, 0, 1, 0]}, {}, "labels up to 2, but 2 class_names"),
        ({"label": [0.5] * 6}, {}, "not one integer or text"),
        ({"image": ["a.png"] * 6}, {}, "row 0 of .* has no image bytes"),
        ({"image": [b"none"] * 6}, {}, "the image in row 0 of .* cannot be read"),
    ],
)
def test_mistakes_in_parquet_files(tmp_path, changes, options, match):
    write_parquet(tmp_path / "train.parquet", rows() | changes)
    with pytest.raises(UserError, match=match):
        load(tmp_path, **options)


def test_a_damaged_parquet_file(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=r"train.parquet is no Parquet file, or is damaged \("):
        load(tmp_path)
