"""What a config leaves open follows from the data."""

import numpy as np
import pytest

import dpd_jax
from configs import digits_ipc1, images
from dpd_jax.errors import UserError
from dpd_jax.networks import convnet
from dpd_jax.presets import fields, methods
from dpd_jax.runs import run_data
from dpd_jax.runs.completion import complete
from dpd_jax.runs.experiment import Experiment
from tests.test_own_images import write


def npz(path, shape=(8, 8), classes=3, each=4):
    """Writes a file with `each` training images, and one test image, of each class."""

    def part(count):
        labels = np.arange(classes * count) % classes
        return np.random.default_rng(0).integers(0, 256, (len(labels), *shape), np.uint8), labels

    (train, train_labels), (test, test_labels) = part(each), part(1)
    np.savez(
        path, train_image=train, train_label=train_labels, test_image=test, test_label=test_labels
    )
    return path


def flower_folder(root):
    write(root / "flowers", [f"{c}/{i}.png" for c in ("aster", "daisy") for i in range(5)])
    return root / "flowers"


@pytest.mark.parametrize("arg", ["", *methods.METHODS, "small", "datm,small"])
def test_a_folder_decides_what_images_py_leaves_open(tmp_path, capsys, arg):
    completed = complete(images.get_config(arg), flower_folder(tmp_path))
    assert (completed.num_classes, completed.image_shape) == (2, (6, 6, 3))
    assert completed.data.name == "flowers" and completed.is_locked
    assert (completed.network.depth, completed.network.stem_padding) == (2, 2)
    experiment = Experiment.from_config(completed)
    assert experiment.title.startswith("flowers, 1 per class")
    said = capsys.readouterr().err
    assert "2 classes, 8 training images (4 a class), 2 test images, 6x6x3; depth 2" in said
    assert "There is no test split: 20 % of each class is kept back" in said
    # Again, with nothing left open, it is the same: a continued run.
    assert fields.flat(complete(completed, tmp_path / "flowers")) == fields.flat(completed)


def test_what_is_changed_is_said_once(tmp_path, capsys):
    folder, known = flower_folder(tmp_path), {}
    (folder / "aster" / "list.csv").write_text("")
    config = images.get_config()
    config.image_shape = (4, 4, 1)
    for _ in range(2):
        assert complete(config, folder, known).image_shape == (4, 4, 1)
    said = capsys.readouterr().err
    assert (
        said.count(
            "Of 10 images 10 are scaled and cropped to 4x4; 10 are turned from colour to grey."
        )
        == 1
    )
    assert said.count("only PNG, JPEG and WebP are read: 1 .csv.") == 1


@pytest.mark.parametrize("source", ["images", "npz"])
def test_an_npz_file_decides_too(tmp_path, source):
    path, config = npz(tmp_path / "own.npz", shape=(28, 20)), images.get_config("small")
    if source == "npz":
        config.data.source, config.data.name = "npz", str(path)
    completed = complete(config, path)
    assert (completed.num_classes, completed.image_shape) == (3, (28, 20, 1))
    experiment = Experiment.from_config(completed)
    assert experiment.data_name == "own.npz"
    data = run_data.load(completed, path, tmp_path)
    np.testing.assert_allclose(data.train[:].mean(), 0, atol=1e-5)
    np.testing.assert_allclose(data.train[:].std(), 1, atol=1e-5)


def test_a_complete_config_is_kept_and_no_data_are_read():
    config = digits_ipc1.get_config()
    assert fields.flat(complete(config, "/nowhere")) == fields.flat(config)


def test_given_values_are_kept_and_checked_against_the_data(tmp_path):
    config = images.get_config()
    config.num_classes, config.network.depth, config.network.stem_padding = 3, 1, 1
    completed = complete(config, flower_folder(tmp_path))
    assert (completed.network.depth, completed.network.stem_padding) == (1, 1)
    with pytest.raises(UserError, match="flowers has 2 classes, but .* num_classes = 3"):
        run_data.read(completed, tmp_path / "flowers")


def test_a_class_that_is_too_small_is_named_before_anything_is_read(tmp_path):
    config = images.get_config()
    config.ipc = 5
    with pytest.raises(UserError, match='smallest class of flowers, "aster", has .4 training'):
        complete(config, flower_folder(tmp_path))


def test_limits_of_small_bend_to_small_classes(tmp_path, capsys):
    folder, config = flower_folder(tmp_path), images.get_config("small")
    assert config.data.train_per_class == 500
    completed = complete(config, folder)
    assert len(run_data.read(completed, folder).train_labels) == 8
    assert "2 of 2 classes have fewer than data.train_per_class = 500" in capsys.readouterr().err


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_in_arrays_is_not_trained_on_in_silence(tmp_path, channels):
    path, config = npz(tmp_path / "own.npz", shape=(8, 8, channels)), images.get_config()
    with pytest.raises(UserError, match=f"images of {channels} channels, and the last may be"):
        complete(config, path)
    config.image_shape = (8, 8, channels)  # Asked for.
    assert complete(config, path).image_shape == (8, 8, channels)


def test_an_open_config_is_no_experiment():
    with pytest.raises(UserError, match="num_classes = 0 and image_shape = .* left to the data"):
        Experiment.from_config(images.get_config())


def test_depth_and_stem_are_those_of_the_papers():
    sizes = {2: (1, 1), 8: (2, 1), 12: (2, 3), 16: (2, 1), 24: (2, 1), 28: (3, 3), 32: (3, 1)}
    sizes |= {48: (3, 1), 64: (4, 1), 128: (5, 1)}
    for side, expected in sizes.items():
        assert convnet.size_for((side, side, 3)) == expected, side
        depth, stem_padding = expected
        convnet.build(
            image_shape=(side, side, 3), num_classes=2, depth=depth, stem_padding=stem_padding
        )


@pytest.mark.parametrize("field, values", [("mean", ()), ("std", ("abc",)), ("mean", (0.1, 0.2))])
def test_mean_and_deviation_are_checked(field, values):
    config = digits_ipc1.get_config()
    config.data[field] = values
    with pytest.raises(
        UserError, match=rf"data.{field} = .* one number for each of the 1 channels"
    ):
        Experiment.from_config(config)


def test_a_run_completes_its_config_and_leaves_that_of_the_user(tmp_path):
    config = images.get_config()
    run = dpd_jax.Run(config, tmp_path / "run", data_dir=flower_folder(tmp_path))
    assert run.experiment.config.num_classes == 2 and config.num_classes == 0


@pytest.mark.parametrize("shape", [("",), (8, 8), (8, 8, 0), ("8", 8, 1)])
def test_a_shape_must_have_three_sizes(shape):
    config = digits_ipc1.get_config()
    config.image_shape = shape
    with pytest.raises(UserError, match="must be height, width and channels"):
        complete(config, None)
