"""distilled.npz: what is written is read again, what is damaged is refused, numpy is enough."""

import errno
import json
import os
import pathlib
import re

import jax.numpy as jnp
import numpy as np
import pytest

from dpd_jax.datasets import whitening
from dpd_jax.errors import UserError
from dpd_jax.storage import distilled_set
from dpd_jax.synthetic import SyntheticSet, classes, onehot_labels

PROVENANCE = {"config": {"seed": 3}, "versions": {"numpy": np.__version__}, "accuracy": None}
NAMES = ("zero", "one", "zwei", "три")


def colour_images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3)).astype(np.uint8)


def preprocessings():
    return {
        "zca": whitening.fit_zca(colour_images(100), epsilon=0.1),
        "per_channel": whitening.per_channel((0.5, 0.4, 0.3), (0.2, 0.25, 0.3)),
    }


def made(kind="per_channel"):
    preprocessing = preprocessings()[kind]
    real = whitening.transform(preprocessing, colour_images(8, seed=1))
    labels = classes(4, 2)
    synthetic = SyntheticSet(jnp.asarray(real), onehot_labels(labels, 4, 10.0), jnp.asarray(0.02))
    return distilled_set.make(synthetic, labels, preprocessing, NAMES, PROVENANCE)


@pytest.mark.parametrize("kind", ["zca", "per_channel"])
def test_what_is_written_is_read(tmp_path, kind):
    ours = made(kind)
    distilled_set.write(tmp_path / "new" / "distilled.npz", ours)
    theirs = distilled_set.read(tmp_path / "new" / "distilled.npz")
    for name in ("images", "pictures", "label_logits", "labels", "mean", "matrix"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        assert getattr(ours, name).dtype == getattr(theirs, name).dtype, name
    assert theirs.step_size == pytest.approx(0.02)
    assert theirs.class_names == NAMES
    assert re.fullmatch("[0-9a-f]{64}", theirs.provenance.pop("sha256"))
    assert theirs.provenance == PROVENANCE
    # The pictures are the very images the set was made of.
    np.testing.assert_array_equal(theirs.pictures, colour_images(8, seed=1))
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["distilled.npz"]


@pytest.mark.parametrize("kind, other", [("zca", "per_channel"), ("per_channel", "zca")])
def test_images_enter_another_model_space(kind, other):
    ours, there = made(kind), preprocessings()[other]
    expected = whitening.transform(there, colour_images(8, seed=1))
    moved = ours.images_in(*distilled_set.affine(there))
    np.testing.assert_allclose(moved, expected, atol=1e-5)
    assert ours.images_in(*distilled_set.affine(preprocessings()[kind])) is ours.images


def test_a_large_matrix_is_one_file_beside_the_sets_of_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(distilled_set, "_INSIDE_BYTES", 48 * 48 * 4 - 1)
    ours, path = made("zca"), tmp_path / "distilled.npz"
    for file in (path, tmp_path / "other.npz"):
        distilled_set.write(file, ours)
    (beside,) = tmp_path.glob("whitening-*.npy")
    assert path.stat().st_size < ours.images.nbytes + ours.pictures.nbytes + 5000
    with np.load(path) as file:
        assert str(file["matrix"]) == beside.name and file["format"] == 2
        np.testing.assert_array_equal(np.load(beside), ours.matrix)
    theirs = distilled_set.read(path)
    np.testing.assert_array_equal(theirs.matrix, ours.matrix, strict=True)
    images = colour_images(3, seed=2)
    np.testing.assert_array_equal(theirs.to_model_space(images), ours.to_model_space(images))
    del theirs

    stored = bytearray(beside.read_bytes())
    stored[-1] ^= 1
    beside.write_bytes(stored)
    with pytest.raises(UserError, match="npy is damaged: its checksum"):
        distilled_set.read(path)
    beside.unlink()
    with pytest.raises(UserError, match="needs the file whitening-.*npy beside it.*Copy it from"):
        distilled_set.read(path)


@pytest.mark.parametrize("kind", ["zca", "per_channel"])
def test_other_images_enter_the_same_space(kind):
    images = colour_images(9, seed=2)
    expected = whitening.transform(preprocessings()[kind], images)
    np.testing.assert_allclose(made(kind).to_model_space(images), expected, atol=1e-5)


def test_images_of_another_shape_are_refused():
    with pytest.raises(UserError, match=r"shape \(4, 4, 3\); these are uint8 of shape \(8, 8, 1\)"):
        made().to_model_space(np.zeros((1, 8, 8, 1), np.uint8))


def test_values_no_picture_can_show_are_cut_and_counted():
    preprocessing = whitening.per_channel((0.5,), (0.25,))
    # 0.5 + 0.25 x: below black, black, middle, white, above white, no number.
    x = np.array([-9, -2, 0, 2, 9, np.nan], np.float32).reshape(1, 1, 6, 1)
    pictures = distilled_set.to_pictures(preprocessing, x)
    np.testing.assert_array_equal(pictures.ravel(), [0, 0, 128, 255, 255, 0])
    assert distilled_set.share_cut(preprocessing, x) == pytest.approx(3 / 6)


def test_the_same_set_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        distilled_set.write(tmp_path / name, made())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("kind", ["zca", "per_channel"])
def test_the_snippet_of_the_documentation_runs_with_numpy_alone(tmp_path, monkeypatch, kind):
    """Two real digits a class, read with numpy, teach a linear model far more than chance."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    digits = load_digits()
    images = np.round(digits.images * 255 / 16).astype(np.uint8)[..., None]
    preprocessing = {
        "zca": whitening.fit_zca(images[:1000], epsilon=0.1),
        "per_channel": whitening.per_channel((0.3,), (0.35,)),
    }[kind]
    chosen = np.concatenate([np.flatnonzero(digits.target == c)[:2] for c in range(10)])
    synthetic = SyntheticSet(
        jnp.asarray(whitening.transform(preprocessing, images[chosen])),
        onehot_labels(classes(10, 2), 10, 5.0),
        jnp.asarray(0.01),
    )
    names = tuple("0123456789")
    ours = distilled_set.make(synthetic, classes(10, 2), preprocessing, names, {})
    distilled_set.write(tmp_path / "distilled.npz", ours)

    block = re.search(r"\n\n((?:    .*\n)+)\nThe inverse of", distilled_set.__doc__)[1]
    lines = [line[4:] for line in block.splitlines()]
    assert len(lines) == 5
    printed = []
    monkeypatch.chdir(tmp_path)
    scope = {
        "np": np,
        "LogisticRegression": LogisticRegression,
        "test_images": images[1000:],
        "test_labels": digits.target[1000:],
        "print": printed.append,
    }
    exec("\n".join(lines), scope)
    assert printed[0] > 0.6
    # The snippet's space is the space the networks see.
    entered = scope["enter"](images[:5]).reshape(5, 8, 8, 1)
    np.testing.assert_allclose(entered, whitening.transform(preprocessing, images[:5]), atol=1e-5)


def damaged(tmp_path, change):
    path = tmp_path / "distilled.npz"
    distilled_set.write(path, made())
    path.write_bytes(change(path.read_bytes()))
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: b"not a distilled set",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data[:600] + bytes([data[600] ^ 1]) + data[601:],
    ],
    ids=["empty", "text", "half", "one byte short", "one bit flipped"],
)
def test_a_damaged_file_is_refused(tmp_path, change):
    path = damaged(tmp_path, change)
    with pytest.raises(UserError, match=f"{re.escape(str(path))} is damaged"):
        distilled_set.read(path)


def rewritten(tmp_path, **changes):
    """A file whose arrays were changed by somebody who does not know the checksum."""
    path = tmp_path / "distilled.npz"
    distilled_set.write(path, made())
    with np.load(path) as stored:
        arrays = dict(stored) | changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((8, 4, 4, 3), np.float32)}, "checksum"),
        ({"matrix": None, "labels": None}, "is no distilled set: it has no labels, matrix"),
        ({"format": np.int32(3)}, "has format 3, and this version of dpd_jax reads the formats"),
        ({"provenance": np.array("{")}, "provenance cannot be read"),
        ({"provenance": np.array(json.dumps({}))}, "provenance cannot be read"),
    ],
)
def test_a_changed_file_is_refused(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        distilled_set.read(rewritten(tmp_path, **changes))


@pytest.mark.parametrize(
    "changes", [{"images": np.full((8, 4, 4, 3), np.nan, np.float32)}, {"step_size": float("inf")}]
)
def test_a_set_that_is_not_finite_is_refused(tmp_path, changes):
    distilled_set.write(tmp_path / "distilled.npz", made()._replace(**changes))
    with pytest.raises(UserError, match="some of its numbers are not finite"):
        distilled_set.read(tmp_path / "distilled.npz")


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("images", np.zeros((8, 48), np.float32)),
        ("images", np.zeros((0, 4, 4, 3), np.float32)),
        ("pictures", np.zeros((7, 4, 4, 3), np.uint8)),
        ("pictures", np.zeros((8, 4, 4, 3), np.float32)),
        ("label_logits", np.zeros((8, 5), np.float32)),
        ("labels", np.zeros((8, 1), np.int32)),
        ("labels", np.full(8, 4, np.int32)),
        ("mean", np.zeros((3, 1), np.float32)),
        ("mean", np.zeros(5, np.float32)),
        ("matrix", np.zeros(3, np.float32)),
        ("step_size", np.zeros(2, np.float32)),
        ("class_names", "zero"),
    ],
)
def test_arrays_of_wrong_shape_are_refused(tmp_path, name, array):
    """The checksum is right: such a file was written by another program."""
    distilled_set.write(tmp_path / "distilled.npz", made()._replace(**{name: array}))
    with pytest.raises(UserError, match=rf"is no distilled set: (\w+, )*{name}\b.* must have"):
        distilled_set.read(tmp_path / "distilled.npz")


def test_other_files_are_no_distilled_sets(tmp_path):
    with pytest.raises(UserError, match="there is no file .*WORKDIR/distilled.npz"):
        distilled_set.read(tmp_path / "absent.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    np.savez(tmp_path / "objects.npz", images=np.array([{}], object))
    (tmp_path / "images_best.pt").touch()
    with pytest.raises(UserError, match=r"dpd import_pytorch --images=.*images_best.pt"):
        distilled_set.read(tmp_path / "images_best.pt")
    for name in ("array.npy", "other.npz", "objects.npz"):
        with pytest.raises(UserError, match="no distilled set"):
            distilled_set.read(tmp_path / name)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_an_error_and_keeps_the_old_file(tmp_path, monkeypatch, code):
    path = tmp_path / "distilled.npz"
    distilled_set.write(path, made())
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"no space left to write .* needs about \d.*B.* are free"):
        distilled_set.write(path, made("zca"))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_any_other_failure_is_left_alone_and_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(pathlib.Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        distilled_set.write(tmp_path / "distilled.npz", made())
    assert not list(tmp_path.iterdir())
