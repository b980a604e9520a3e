"""Files of the PyTorch programs: experts and distilled sets, checked against PyTorch itself."""

import os
import pathlib
import pickle
import re

import jax
import numpy as np
import pytest

from dpd_jax import load_config
from dpd_jax.errors import UserError
from dpd_jax.interchange import extras, pytorch_experts, pytorch_sets
from dpd_jax.runs import expert_training
from dpd_jax.runs.experiment import Experiment
from dpd_jax.storage.trajectories import TrajectoryStore
from tests import toys

REPOSITORY = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def peer_files():
    """A folder of files that the original programs' code wrote (DPD_PEER_FILES), or a skip."""
    usual = REPOSITORY.parent / "shared" / "peer_files"
    path = pathlib.Path(os.environ.get("DPD_PEER_FILES", usual))
    if not path.is_dir():
        pytest.skip(f"no files of the PyTorch programs in {path} (set DPD_PEER_FILES)")
    return path


def their_network(torch, width=4, depth=2, channels=3, size=8, classes=5):
    """A ConvNet in PyTorch."""
    layers = []
    for i in range(depth):
        layers += [
            torch.nn.Conv2d(width if i else channels, width, 3, padding=1),
            torch.nn.GroupNorm(width, width),
            torch.nn.ReLU(),
            torch.nn.AvgPool2d(2),
        ]
    features = width * (size // 2**depth) ** 2
    network = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(features, classes))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))  # Norms start at ones and zeros.
    return network


def our_network(**options):
    return toys.convnet(image_shape=(8, 8, 3), num_classes=5, **options)


def buffer(torch, path, networks_of_experts):
    """Writes experts, each a list of networks, as the programs do."""
    snapshots = [
        [[p.detach().cpu() for p in network.parameters()] for network in expert]
        for expert in networks_of_experts
    ]
    torch.save(snapshots, path)
    return path


def store(folder, **kind):
    return TrajectoryStore(folder, {"of": "tests"}, kind.get("storage", "float32"))


def test_imported_experts_compute_what_pytorch_computes(torch, tmp_path):
    torch.manual_seed(0)
    experts = [[their_network(torch) for _ in range(3)] for _ in range(3)]
    buffer(torch, tmp_path / "replay_buffer_10.pt", experts[2:])
    buffer(torch, tmp_path / "replay_buffer_9.pt", experts[:2])
    paths = pytorch_experts.find(tmp_path / "replay_buffer_*.pt")
    network, ours, done = our_network(), store(tmp_path / "experts"), []
    assert pytorch_experts.check(paths, network) == 3
    epochs = pytorch_experts.copy(paths, network, ours, done.append)
    assert epochs == {expert: [0, 1, 2] for expert in range(3)} and done == [1, 2, 3]
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    for expert, snapshots in enumerate(experts):
        for epoch, theirs in enumerate(snapshots):
            with torch.no_grad():
                expected = theirs(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
            found = network.apply(ours.read(expert, [epoch])[0], images)
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_experts_of_the_original_programs(torch, peer_files, tmp_path):
    network = toys.convnet(width=16, depth=3, image_shape=(32, 32, 3), num_classes=10)
    paths = pytorch_experts.find(peer_files / "replay_buffer_*.pt")
    pytorch_experts.check(paths, network)
    ours = store(tmp_path)
    epochs = pytorch_experts.copy(paths, network, ours, lambda done: None)
    with np.load(peer_files / "truth.npz") as truth:
        images, expected = np.moveaxis(truth["probe"], 1, -1), truth["logits"]
    found = [[network.apply(p, images) for p in ours.read(e, epochs[e])] for e in epochs]
    np.testing.assert_allclose(found, expected, atol=5e-6)


@pytest.mark.parametrize("storage", ["float32", "bfloat16"])
def test_an_interrupted_import_goes_on_and_other_experts_are_refused(torch, tmp_path, storage):
    torch.manual_seed(1)
    experts = [[their_network(torch)] for _ in range(2)]
    path = buffer(torch, tmp_path / "replay_buffer_0.pt", experts)
    network, ours = our_network(), store(tmp_path / "experts", storage=storage)

    def stop(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pytorch_experts.copy([path], network, ours, stop)
    assert ours.experts() == [0]
    pytorch_experts.copy([path], network, ours, lambda done: None)
    assert ours.experts() == [0, 1]
    buffer(torch, path, experts[::-1])
    with pytest.raises(UserError, match="expert_000 is another expert than number 0 of"):
        pytorch_experts.copy([path], network, ours, lambda done: None)


def test_experts_that_do_not_fit_are_refused_in_words_of_the_config(torch, tmp_path):
    path = buffer(torch, tmp_path / "b.pt", [[their_network(torch)]])
    for options, part in (
        (dict(width=8), "config: 10 arrays of .* width 8,"),
        (dict(depth=1), "config: 6 arrays of .* depth 1,"),
        (dict(norm="none"), "config: 6 arrays of"),
    ):
        with pytest.raises(UserError, match=rf"(?s)file: .* depth 2, width 4, 3 chan.*{part}"):
            pytorch_experts.check([path], our_network(**options))
    bad = their_network(torch)
    with torch.no_grad():
        next(bad.parameters())[0] = torch.nan
    buffer(torch, path, [[bad]])
    with pytest.raises(UserError, match=r"expert 0: the weights of epoch 0 are not finite"):
        pytorch_experts.copy([path], our_network(), store(tmp_path / "experts"), lambda done: None)
    with pytest.raises(UserError, match="no file is called .*absent"):
        pytorch_experts.find(tmp_path / "absent*.pt")


class Harmful:
    """Would make a folder if it were loaded."""

    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_files_that_are_no_experts_are_refused_and_run_no_code(torch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = buffer(torch, tmp_path / "good.pt", [[their_network(torch)]]).read_bytes()
    torch.save({"a": torch.zeros(3)}, "dictionary.pt")
    torch.save([[torch.zeros(3)]], "flat.pt")
    pathlib.Path("short.pt").write_bytes(good[: len(good) // 2])
    pathlib.Path("text.pt").write_text("no tensors")
    pathlib.Path("harmful.pt").write_bytes(pickle.dumps(Harmful()))
    torch.save([[Harmful()]], "harmful_too.pt")
    for path in sorted(tmp_path.glob("*.pt")):
        if path.stem != "good":
            with pytest.raises(UserError, match=rf"{re.escape(str(path))} (is|holds) \S+") as error:
                pytorch_experts.check([path], our_network())
            assert "\n" not in str(error.value)
    assert not (tmp_path / "harm").exists()


def test_a_missing_package_is_named_with_its_extra():
    with pytest.raises(UserError, match=r"needs the package absent_package.*\[torch\]"):
        extras.package("absent_package.part", "torch")


def test_imported_experts_are_never_mixed_with_own_ones(tmp_path):
    config = load_config(f"{REPOSITORY}/configs/digits_ipc1.py:small")
    config.experts.imported = True
    experiment = Experiment.from_config(config)
    snapshot = np.zeros(experiment.network.num_params, np.float32)
    imported = expert_training.open_store(experiment, None, tmp_path)
    imported.write(0, dict.fromkeys(experiment.epochs_read, snapshot))
    with pytest.raises(UserError, match=r"num_experts = 3, but .* has only 1 imported"):
        expert_training.missing(experiment, imported)
    config.experts.num_experts = 1
    assert expert_training.missing(experiment, imported) == []
    own = TrajectoryStore(tmp_path, {"optimizer": "sgd"}, "float32")
    with pytest.raises(UserError, match="experts.imported: stored true, asked nothing"):
        own.experts()


def read(images, labels=None, lr=None):
    return pytorch_sets.read(
        images, labels, lr, image_shape=(4, 6, 3), num_classes=2, step_size=0.5
    )


@pytest.fixture
def files(torch, tmp_path):
    """Writes tensors and returns the paths."""

    def write(**tensors):
        for name, tensor in tensors.items():
            torch.save(tensor, tmp_path / f"{name}.pt")
        return [tmp_path / f"{name}.pt" for name in tensors]

    return write


def test_a_set_is_read_with_soft_hard_and_no_labels(torch, files):
    images, logits = torch.randn(4, 3, 4, 6), torch.randn(4, 2)
    paths = files(
        images=images, logits=logits, lr=torch.tensor(0.03), hard=torch.tensor([1, 0, 0, 1])
    )
    soft, classes = read(paths[0], paths[1], paths[2])
    np.testing.assert_array_equal(np.moveaxis(soft.images, -1, 1), images.numpy())
    np.testing.assert_array_equal(soft.labels, logits.numpy())
    np.testing.assert_array_equal(classes, [0, 0, 1, 1])
    assert float(soft.step_size) == np.float32(0.03)
    hard, classes = read(paths[0], paths[3])
    np.testing.assert_array_equal(classes, [1, 0, 0, 1])
    np.testing.assert_array_equal(jax.nn.softmax(hard.labels), np.eye(2)[classes])
    assert float(hard.step_size) == 0.5
    unlabelled, classes = read(paths[0])
    np.testing.assert_array_equal(jax.nn.softmax(unlabelled.labels), np.eye(2)[[0, 0, 1, 1]])


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(images=(4, 3, 6, 4)), r"an array \[4, 3, 6, 4\], but .* \[n, 3, 4, 6\]"),
        (dict(images=(5, 3, 4, 6)), "5 images, which is no multiple of the config's 2 classes"),
        (dict(labels=(4, 3)), r"float32 \[4, 3\], but labels are .* logits \[4, 2\]"),
        (dict(labels=[0, 1, 2, 0]), "4 classes from 0 to 2"),
        (dict(labels=[0, 1]), "holds 2 classes from 0 to 1, but .* has 4 images"),
        (dict(labels=[[1.0, 0.0]] * 4), "holds probabilities"),
        (dict(labels=[[1.0, float("inf")]] * 4), "not finite"),
        (dict(lr=[0.1, 0.2]), "2 numbers, but a learning rate is one"),
        (dict(lr=[-0.1]), "the learning rate in .*lr.pt = -0.1.* must be above 0"),
    ],
)
def test_sets_that_do_not_fit_are_refused(torch, files, change, message):
    tensors = dict(images=torch.randn(4, 3, 4, 6), labels=torch.randn(4, 2), lr=torch.tensor(0.1))
    for name, value in change.items():
        tensors[name] = torch.randn(*value) if isinstance(value, tuple) else torch.tensor(value)
    with pytest.raises(UserError, match=message):
        read(*files(**tensors))
