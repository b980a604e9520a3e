import collections
import concurrent.futures
import json
import threading
import types
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import digits_ipc1
from dpd_jax.datasets.loading import Dataset
from dpd_jax.datasets.whitening import Preprocessing
from dpd_jax.errors import UserError
from dpd_jax.judging.search import candidates as candidates_lib
from dpd_jax.judging.search import results as results_lib
from dpd_jax.judging.search import run as run_lib
from dpd_jax.judging.search import space as space_lib
from dpd_jax.judging.search import training
from dpd_jax.networks import Network, convnet_family
from dpd_jax.networks.convnet_family import ConvNetFamily
from dpd_jax.plots import scatter
from dpd_jax.runs import console, identity
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.run_data import RunData
from dpd_jax.storage import distilled_set
from dpd_jax.synthetic import SyntheticSet, hard_labels
from tests import toys

SHAPE = (4, 4, 1)


def test_the_grid_has_720_architectures_in_32_shapes():
    space = space_lib.space("720")
    assert len(space) == len(set(space)) == len({one.name for one in space}) == 720
    options = dict(num_classes=10, stem_padding=1, method="lax")
    families = space_lib.families(space, image_shape=(32, 32, 3), **options)
    assert len(families) == 32
    assert sorted(one for _, members in families for one in members) == sorted(space)
    assert {len(members) for _, members in families} == {15, 30}
    # Four poolings need images of 16x16: 4 widths, 5 norms, 2 poolings, 3 activations.
    assert sum(not space_lib.fits(one, (8, 8, 1), 1) for one in space) == 120
    assert all(space_lib.fits(one, (28, 28, 1), 3) for one in space)


def everything(network):
    """Logits, their gradient, statistics, and logits of two images with these statistics."""

    def logits(params, x, stats):
        found, after = network.apply_and_update(params, x, stats)
        return jnp.sum(found * jnp.arange(1.0, 4.0)[None]), (found, after)

    @jax.jit
    def compute(params, x, stats):
        gradient, (found, after) = jax.grad(logits, has_aux=True)(params, x, stats)
        return found, gradient, after, network.apply(params, x[:2], after)

    return compute


@pytest.fixture(scope="module")
def families():
    """A family with pooling and one without, compiled once: {pooled: (network, everything)}."""
    made = {
        pooled: Network(ConvNetFamily(3, 4, 1, pooled, 1, "patches"), SHAPE, 3)
        for pooled in (True, False)
    }
    return {pooled: (network, everything(network)) for pooled, network in made.items()}


@pytest.mark.parametrize(
    ("norm", "activation", "pooling"),
    [
        ("none", "sigmoid", "average"),
        ("batch", "relu", "none"),
        ("layer", "leaky_relu", "max"),
        ("instance", "leaky_relu", "none"),
        ("group", "relu", "max"),
    ],
)
def test_a_family_is_each_of_its_convnets(families, norm, activation, pooling):
    network, of_family = families[pooling != "none"]
    options = dict(norm=norm, activation=activation, pooling=pooling, convolution="patches")
    plain = toys.convnet(width=4, depth=1, image_shape=SHAPE, **options)
    # Where each parameter of the ConvNet is in the family, which has those of every norm.
    prefix = "layer_" if norm == "layer" else ""
    place = {parameter.path: parameter.part for parameter in network.parameters}
    start = np.asarray(network.init(jax.random.key(0)))
    paths = (parameter.path.replace("norm/", f"norm/{prefix}") for parameter in plain.parameters)
    rows = np.concatenate([np.arange(len(start))[place[path]] for path in paths])
    np.testing.assert_array_equal(start[rows], plain.init(jax.random.key(0)))

    params = start + 0.1 * np.random.default_rng(0).normal(size=len(start)).astype(np.float32)
    x = jax.random.normal(jax.random.key(1), (5, *SHAPE))
    stats = network.init_stats() | convnet_family.choice(norm, activation, pooling)
    found, gradient, after, tested = of_family(params, x, stats)
    expected = everything(plain)(params[rows], x, plain.init_stats())
    np.testing.assert_allclose(found, expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradient[rows], expected[1], rtol=1e-3, atol=1e-4)
    assert not gradient[np.setdiff1d(np.arange(len(params)), rows)].any()
    np.testing.assert_allclose(tested, expected[3], rtol=1e-4, atol=1e-5)
    assert jax.tree.structure(after) == jax.tree.structure(stats)


@pytest.fixture
def tiny(monkeypatch):
    """A space of two ConvNets of one shape, 4x4 images of two classes, two sets."""
    space = dict(width=(4,), depth=(1,), norm=("none", "batch"), pooling=("max",),
                 activation=("relu",))  # fmt: skip
    monkeypatch.setitem(space_lib.SPACES, "tiny", space)
    config = digits_ipc1.get_config()
    config.update(image_shape=SHAPE, num_classes=2, ipc=2)
    config.network.depth = 1
    config.augment.families = ()
    config.evaluate.batch_size = 4
    config.search.update(epochs=3, real_epochs=2, validation_share=0.25, learning_rate=0.05)
    rng = np.random.default_rng(0)
    labels = np.arange(40, dtype=np.int32) % 2
    raw = np.uint8(rng.integers(0, 120, (40, *SHAPE)) + 100 * labels[:, None, None, None])
    pre = Preprocessing(np.full(1, 0.5, np.float32), np.full(1, 4.0, np.float32),
                        np.full(1, 0.25, np.float32))  # fmt: skip
    images = np.float32((raw / 255 - 0.5) * 4)
    dataset = Dataset("toy", raw[:24], labels[:24], raw[24:], labels[24:], ("0", "1"))
    data = RunData(dataset, "toy", pre, raw[:0], labels[:0])
    sets = {}
    for number, name in enumerate(("one", "other")):
        rows = np.argsort(labels[:24], kind="stable")[[number, 5, 12 + number, 20]]
        synthetic = SyntheticSet(images[rows], hard_labels(labels[rows], 2), np.float32(0.1))
        made = distilled_set.make(synthetic, labels[rows], pre, ("0", "1"), {"sha256": name})
        sets[name] = made
    return types.SimpleNamespace(experiment=Experiment.from_config(config), data=data, sets=sets)


def test_what_is_trained_and_tested_on_what(tiny):
    make_pool, found = candidates_lib.candidates(tiny.sets, tiny.data, tiny.experiment, 2)
    pool, _ = make_pool()
    orders = {each.name: np.asarray(each.orders(jax.random.key(3))) for each in found}
    assert list(orders) == ["whole training set", "one", "other", "random real", "early stopping"]
    train = tiny.data.train
    assert sorted(orders["whole training set"][0]) == list(range(8, 32))
    assert sorted(orders["one"][1]) == [0, 1, 2, 3] and sorted(orders["other"][2]) == [4, 5, 6, 7]
    reference, *proxies = found
    assert reference.images is tiny.data.test
    validation = {image.tobytes() for image in proxies[-1].images}
    assert len(validation) == 6 and proxies[0].labels.sum() == 3  # a quarter of each class
    for each in proxies:
        np.testing.assert_allclose(each.images, proxies[-1].images, atol=1e-6)
    for name in ("random real", "early stopping"):
        used = {pool[row].tobytes() for row in orders[name].ravel()}
        assert not used & validation and used <= {image.tobytes() for image in train}
    assert len(set(orders["random real"].ravel())) == 4
    # As many updates as on a set, each with other images until all have been used.
    assert orders["early stopping"].shape == orders["one"].shape == (3, 4)
    assert len(set(orders["early stopping"].ravel())) == 12


def run(tiny, folder, seeds=1):
    return run_lib.run(tiny.experiment, tiny.data, tiny.sets, folder, space="tiny", seeds=seeds)


def accuracies(folder):
    stored = json.loads((folder / "results.json").read_text())
    return {name: entry["accuracies"] for name, entry in stored["candidates"].items()}


def test_a_search_goes_on_where_it_was_stopped(tiny, tmp_path, monkeypatch):
    text = run(tiny, tmp_path / "whole")
    assert "2 ConvNets" in text and "| early stopping |" in text
    names = sorted(path.name for path in (tmp_path / "whole").iterdir() if path.name[0] != ".")
    assert names == ["architectures.csv", "plot.png", "results.json", "table.csv", "table.md"]
    whole = accuracies(tmp_path / "whole")
    assert len(whole) == 5 and all(len(each) == 2 for each in whole.values())

    write, written = results_lib.SearchResults.add, collections.Counter()

    def stop(self, candidate, found, seconds):
        if sum(written.values()) == 7:
            raise KeyboardInterrupt
        written[candidate] += 1
        write(self, candidate, found, seconds)

    monkeypatch.setattr(results_lib.SearchResults, "add", stop)
    with pytest.raises(KeyboardInterrupt):
        run(tiny, tmp_path / "stopped")
    monkeypatch.setattr(results_lib.SearchResults, "add", write)
    run(tiny, tmp_path / "stopped")
    assert accuracies(tmp_path / "stopped") == whole

    # More seeds add networks; by two processes, or side by side, they are the same.
    train, begun, trained = training.Trainer.train, threading.Barrier(2, timeout=60), {}

    def first_together(self, group):
        if not (own := trained.setdefault(threading.get_ident(), [])):
            begun.wait()  # Both have claimed networks.
        own += [(group.candidate.name, *one) for one in group.members]
        return train(self, group)

    with monkeypatch.context() as changed, concurrent.futures.ThreadPoolExecutor(2) as pool:
        changed.setattr(training.Trainer, "train", first_together)
        changed.setattr(scatter, "save", lambda *_, **__: None)  # Not for two threads.
        changed.setattr(console, "Bar", mock.MagicMock())
        list(pool.map(lambda _: run(tiny, tmp_path / "stopped", seeds=2), range(2)))
    one, other = trained.values()
    assert len(one + other) == len({*one, *other}) == 2 * 4
    tiny.experiment.config.search.at_once = 2
    run(tiny, tmp_path / "whole", seeds=2)
    more = accuracies(tmp_path / "whole")
    assert more == accuracies(tmp_path / "stopped")
    for name, each in more.items():
        for architecture, found in each.items():
            assert found[:1] == whole[name][architecture]
            assert len(found) == (1 if name == "whole training set" else 2)

    # Another search in the same folder is refused, and what is there is kept.
    before = (tmp_path / "whole" / "results.json").read_bytes()
    monkeypatch.setitem(space_lib.SPACES, "other", space_lib.SPACES["tiny"])
    with pytest.raises(UserError, match='space: stored "tiny", asked "other".*another --workdir'):
        run_lib.run(
            tiny.experiment, tiny.data, tiny.sets, tmp_path / "whole", space="other", seeds=1
        )
    assert (tmp_path / "whole" / "results.json").read_bytes() == before


def test_sets_of_two_sizes_are_refused(tiny):
    one = tiny.sets["one"]
    tiny.sets["other"] = one._replace(images=one.images[:2], label_logits=one.label_logits[:2])
    with pytest.raises(UserError, match="'one': 4, 'other': 2.*one size"):
        candidates_lib.candidates(tiny.sets, tiny.data, tiny.experiment, 1)


def test_the_search_is_no_part_of_a_run():
    config = digits_ipc1.get_config()
    before = identity.of_run(config)
    config.search.epochs = 7
    assert identity.of_run(config) == before
