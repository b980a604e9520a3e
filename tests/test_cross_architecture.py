import jax
import numpy as np
import pytest

from configs import digits_ipc1
from dpd_jax import networks
from dpd_jax.augment import Augmentation
from dpd_jax.errors import UserError
from dpd_jax.evaluate import Protocol
from dpd_jax.judging import cross_architecture
from dpd_jax.judging.cross_architecture import Candidate, Results
from dpd_jax.plots import bars
from dpd_jax.presets import protocols

SHAPE = (4, 4, 1)
JUDGES = {
    "mlp": networks.create("mlp", image_shape=SHAPE, num_classes=2),
    "convnet": networks.create("convnet", image_shape=SHAPE, num_classes=2, width=2, depth=1),
}
PROTOCOL = Protocol(epochs=3, batch_size=4, decay_epoch=2)


def toy(count, seed):
    """Images whose mean tells their class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = rng.normal(size=(count, *SHAPE)) + 4.0 * labels[:, None, None, None]
    return images.astype(np.float32), labels


def candidate(drawn, name="set"):
    def draw(number):
        drawn.append((name, number))
        images, labels = toy(6, number)
        return images, 20.0 * np.eye(2, dtype=np.float32)[labels]

    return Candidate(name, f"{name} of the test", draw, 0.05, "hard")


def judge(path, drawn, num_networks=2, judges=JUDGES, seed=0):
    return cross_architecture.judge(
        [candidate(drawn), candidate(drawn, "random real")],
        judges,
        PROTOCOL,
        Augmentation(families=()),
        toy(20, 99),
        Results(path),
        described={"data": "toys", "seed": seed},
        root=jax.random.key(seed),
        num_networks=num_networks,
        test_batch=20,
    )


def test_every_network_is_trained_on_every_candidate_once_and_never_again(tmp_path):
    drawn = []
    rows = judge(tmp_path / "results.json", drawn)
    assert [(row.candidate, row.network) for row in rows] == [
        (name, network) for name in ("set", "random real") for network in JUDGES
    ]
    assert len(drawn) == 8 and all(len(row.accuracies) == 2 for row in rows)
    again = judge(tmp_path / "results.json", drawn)
    assert len(drawn) == 8
    assert [row.accuracies for row in again] == [row.accuracies for row in rows]

    # Interrupted, or asked for more networks: only the missing ones are trained.
    more = judge(tmp_path / "results.json", drawn, num_networks=3)
    assert len(drawn) == 12 and {number for _, number in drawn[8:]} == {2}
    fresh = judge(tmp_path / "fresh.json", [], num_networks=3)
    assert [row.accuracies for row in more] == [row.accuracies for row in fresh]


def test_results_of_other_settings_are_other_results(tmp_path):
    drawn = []
    judge(tmp_path / "results.json", drawn, num_networks=1)
    judge(tmp_path / "results.json", drawn, num_networks=1, seed=1)
    assert len(drawn) == 8
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(UserError, match="results.json is damaged.*Delete it"):
        Results(tmp_path / "results.json")


def test_tables_and_picture(tmp_path):
    rows = judge(tmp_path / "results.json", [], num_networks=2)
    text = cross_architecture.markdown(rows, "How they were trained.")
    assert text.startswith(
        "How they were trained.\n\n| trained on | learning rate | labels | mlp |"
    )
    for row in rows:
        assert f"{100 * row.mean:.1f} ± {100 * row.std:.1f} (2)" in text
        assert row.settings["protocol"]["epochs"] == 3 and row.settings["data"] == "toys"
    lines = cross_architecture.csv_lines(rows).splitlines()
    assert len(lines) == 5 and lines[1].startswith("set,mlp,")
    bars.save(tmp_path / "plot.png", rows, title="a_$b")
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"


def test_protocols_are_those_of_the_programs():
    config = digits_ipc1.get_config()
    dc, dm, mtt, datm = (protocols.apply(config, name) for name in ("dc", "dm", "mtt", "datm"))
    assert (dc.evaluate.epochs, dc.evaluate.learning_rate) == (301, 0.01)
    assert dc.augment.families == ()
    assert (dm.evaluate.epochs, dm.evaluate.learning_rate) == (1001, 0.01)
    assert (mtt.evaluate.batch_size, datm.evaluate.batch_size) == (256, 128)
    assert mtt.evaluate.learning_rate == 0  # the learned one
    assert config.evaluate.epochs == digits_ipc1.get_config().evaluate.epochs
    with pytest.raises(UserError, match="'datn' is unknown.*mtt, datm"):
        protocols.apply(config, "datn")
