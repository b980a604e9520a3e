import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import digits_ipc1
from dpd_jax import data_schedule, el2n, evaluate, experts
from dpd_jax.runs import el2n_scores, expert_training
from dpd_jax.runs.experiment import Experiment
from tests.test_experts import PLAIN, SGD, Perceptron, data


class Scored(Perceptron):
    """As the evaluation calls a network: with running statistics, here none."""

    def apply(self, params, images, stats=None):
        return super().apply(params, images)


NETWORK = Scored()


def test_el2n_by_hand():
    logits = jnp.array([[0.0, 0.0], [100.0, 0.0], [100.0, 0.0]])
    scores = el2n.el2n(logits, jnp.array([0, 0, 1]))
    np.testing.assert_allclose(scores, [np.sqrt(0.5), 0.0, np.sqrt(2.0)], atol=1e-6)


def test_ranks_count_within_the_class_and_break_ties_by_order():
    scores = np.array([0.3, 0.1, 0.2, 0.1, 0.9, 0.1])
    labels = np.array([0, 1, 0, 0, 1, 1])
    ranks = data_schedule.rank_within_class(labels, scores)
    np.testing.assert_array_equal(ranks, [2, 0, 1, 0, 2, 1])


def test_scores_are_the_mean_over_the_epochs_asked_for():
    images, labels = data()
    keys = jnp.stack([jax.random.key(i) for i in (5, 6)])
    arguments = (NETWORK, SGD, PLAIN, images, labels, keys)
    *waiting, (last, measured) = el2n.measure(*arguments, (3, 1), 7)
    assert [epoch for epoch, _ in waiting] == [0, 1, 2, 3] and last == 3
    assert all(rows is None for _, rows in waiting)
    way = [params for _, params, _ in experts.train_many(*arguments, 3)]
    for place in range(2):
        one, three = (
            el2n.el2n(evaluate.logits(NETWORK, way[epoch][place], {}, images, 20), labels)
            for epoch in (1, 3)
        )
        np.testing.assert_allclose(measured[place], (one + three) / 2, rtol=1e-5, atol=1e-6)
        assert np.any(np.abs(one - three) > 1e-2)


class Setting:
    """Ten images of two classes, a PAD experiment, and the keys of the networks it trained."""

    def __init__(self, monkeypatch, **changes):
        config = digits_ipc1.get_config("pad")
        config.data_schedule.update(changes)
        self.experiment = Experiment.from_config(config)
        images, labels = np.zeros((10, 8, 8, 1), np.float32), np.repeat([0, 1], 5)
        self.data = types.SimpleNamespace(
            train=images,
            dataset=types.SimpleNamespace(train_labels=labels),
            fingerprint="of these ten",
            on_device=lambda config: (images, labels),
        )
        self.provenance = expert_training.provenance(self.experiment, self.data)
        self.trained = []
        monkeypatch.setattr(el2n_scores.el2n, "measure", self._measure)

    def _measure(self, network, recipe, augmentation, images, labels, keys, epochs, batch_size):
        seeds = [np.asarray(jax.random.key_data(key)) for key in keys]
        self.trained += [tuple(seed) for seed in seeds]
        yield 0, None
        draws = [np.random.default_rng(seed).random(10) for seed in seeds]
        yield max(epochs), np.stack(draws).astype(np.float32)

    def scores(self, folder):
        return el2n_scores.scores(self.experiment, self.data, folder, self.provenance)


def test_scoring_goes_on_where_it_stopped(monkeypatch, tmp_path):
    setting = Setting(monkeypatch)
    first = setting.scores(tmp_path)
    assert len(set(setting.trained)) == len(setting.trained) == 3
    # Scoring networks and experts of the same seed have different keys.
    root = jax.random.key(setting.experiment.config.experts.seed)
    own = {tuple(np.asarray(jax.random.key_data(jax.random.fold_in(root, e)))) for e in range(9)}
    assert not own & set(setting.trained)

    np.testing.assert_array_equal(setting.scores(tmp_path), first)
    assert len(setting.trained) == 3
    (tmp_path / "network_001.npz").unlink()
    damaged = tmp_path / "network_002.npz"
    damaged.write_bytes(damaged.read_bytes()[:40])
    np.testing.assert_array_equal(setting.scores(tmp_path), first)
    assert setting.trained[3:] == setting.trained[1:3]


def test_scores_of_another_provenance_are_measured_again(monkeypatch, tmp_path):
    first = Setting(monkeypatch).scores(tmp_path)
    longer = Setting(monkeypatch, score_epochs=(7,))
    longer.scores(tmp_path)
    assert len(longer.trained) == 3
    # The use of the scores is not part of their provenance.
    other = Setting(monkeypatch, score_epochs=(7,), initial_ratio=0.5)
    other.scores(tmp_path)
    assert not other.trained
    assert first.shape == (10,)


def test_the_images_that_experts_see(monkeypatch, tmp_path):
    setting = Setting(monkeypatch, initial_ratio=0.6)
    seen = el2n_scores.seen(setting.experiment, setting.data, tmp_path, setting.provenance)
    scores = setting.scores(tmp_path / "difficulty")
    easiest = [*np.argsort(scores[:5])[:3], *(5 + np.argsort(scores[5:])[:3])]
    assert sorted(i for i in seen(0) if i >= 0) == sorted(easiest)
    assert np.all(seen(4) == np.arange(10))
    assert np.sum(seen(9) >= 0) == 10  # A tenth of five images is rounded to none.


def test_provenance_names_a_schedule_only_if_there_is_one(monkeypatch):
    setting = Setting(monkeypatch)
    plain = Experiment.from_config(digits_ipc1.get_config("datm"))
    provenance = expert_training.provenance(plain, setting.data)
    # As before there were schedules, so that older stores are still read.
    names = {"network", "data", "preprocessing", "optimizer", "augmentation", "seed"}
    assert provenance.keys() == names
    assert el2n_scores.seen(plain, setting.data, None, provenance) is None
    assert "precision" not in provenance["network"]  # Nor a precision that is the only old one.
    low = digits_ipc1.get_config("datm")
    low.network.precision = "bfloat16"
    provenance_of_low = expert_training.provenance(Experiment.from_config(low), setting.data)
    assert provenance_of_low["network"].pop("precision") == "bfloat16"
    assert provenance_of_low == provenance
    schedule = setting.provenance.pop("data_schedule")
    assert setting.provenance == provenance
    assert schedule.keys() == {
        "initial_ratio",
        "addition_end_epoch",
        "removal_epochs",
        "removal_ratios",
        "score_networks",
        "score_epochs",
    }


def test_training_sees_just_the_images_it_is_shown():
    images, labels = data()
    keys = jnp.stack([jax.random.key(i) for i in (5, 6)])

    def train(images, epochs, seen):
        arguments = (NETWORK, SGD, PLAIN, images, labels, keys)
        return list(experts.train_many(*arguments, epochs, seen))

    shown = [np.where(np.arange(20) % 4 < 2, np.arange(20), -1), np.arange(20)]
    way = train(images, 2, shown.__getitem__)
    # Images that are not shown may be anything.
    hidden = jnp.where((shown[0] < 0)[:, None, None, None], 1e6, images)
    once = train(hidden, 1, lambda epoch: shown[0])
    np.testing.assert_array_equal(once[1][1], way[1][1])
    assert np.isfinite(way[2][1]).all()
    plain = train(images, 1, None)
    assert np.any(plain[1][1] != way[1][1])


@pytest.mark.parametrize("count", [1, 8, 13])
def test_an_order_without_some_images(count):
    chosen = np.random.default_rng(0).choice(20, count, replace=False)
    indices = np.full(20, -1)
    indices[chosen] = chosen
    order = experts.epoch_order(jax.random.key(2), indices, batch_size=8, steps=3)
    flat = np.asarray(order).reshape(-1)
    assert order.shape == (3, 8)
    assert sorted(flat[:count]) == sorted(chosen) and np.all(flat[count:] == -1)
    if count > 1:
        again = experts.epoch_order(jax.random.key(3), indices, batch_size=8, steps=3)
        assert np.any(again != order)
