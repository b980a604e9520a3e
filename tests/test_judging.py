"""Jobs, their stores and tables, on toys."""

import concurrent.futures
import json
import threading
from unittest import mock

import jax
import numpy as np
import pytest

from configs import digits_ipc1
from dpd_jax import evaluate, networks
from dpd_jax.datasets import loading, whitening
from dpd_jax.datasets.loading import Dataset
from dpd_jax.errors import UserError
from dpd_jax.judging import candidates, cross_architecture, fair_scores, sets, tables, work
from dpd_jax.judging.jobs import Bench
from dpd_jax.judging.results import Results
from dpd_jax.presets import protocols
from dpd_jax.runs import console, keys, run_data, shared_work
from dpd_jax.runs.experiment import Experiment
from dpd_jax.storage import distilled_set
from dpd_jax.synthetic import SyntheticSet

SHAPE = (4, 4, 1)
CAPTION = "How they were trained."
JUDGES = {
    "mlp": networks.create("mlp", image_shape=SHAPE, num_classes=2),
    "convnet_bn": networks.create("convnet_bn", image_shape=SHAPE, num_classes=2, width=2, depth=1),
}
ONE = {"mlp": JUDGES["mlp"]}


def toy(count, seed):
    """8-bit images whose brightness tells their class."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 2).astype(np.int32)
    images = rng.integers(0, 120, (count, *SHAPE)) + 120 * labels[:, None, None, None]
    return images.astype(np.uint8), labels


DATASET = Dataset("toys", *toy(40, 0), *toy(20, 1), ("dark", "bright"))


def experiment(**values):
    config = digits_ipc1.get_config()
    tiny = {
        "image_shape": SHAPE,
        "num_classes": 2,
        "ipc": 3,
        "augment.families": ("flip",),
        "network.depth": 1,
        "network.width": 2,
        "evaluate.epochs": 3,
        "evaluate.batch_size": 4,
        "evaluate.decay_epoch": 2,
        "evaluate.num_networks": 2,
        "judging.learning_rates": (0.02,),
        "judging.search_networks": 1,
    }
    config.update_from_flattened_dict(tiny | values)
    return Experiment.from_config(config)


def made(soft=True, seed=2, per_class=3):
    """A distilled set of random images."""
    images, labels = toy(2 * per_class, seed)
    preprocessing = whitening.fit_per_channel(DATASET.train_images)
    logits = (3.0 if soft else 1000.0) * np.eye(2, dtype=np.float32)[labels]
    return distilled_set.make(
        SyntheticSet(whitening.transform(preprocessing, images), logits, np.float32(0.05)),
        labels,
        preprocessing,
        DATASET.class_names,
        {"sha256": f"{soft}, {seed}", "accuracy": None},
    )


def bench(folder, cache=None, **values):
    return Bench(experiment(**values), DATASET, folder, cache or folder / "cache")


@pytest.fixture
def trained(monkeypatch):
    """What is trained, as (images, number of the first network, how many)."""
    found, plain = [], evaluate.evaluate

    def recorded(*arguments, **options):
        found.append((len(arguments[3]), options["first"], options["num_networks"]))
        return plain(*arguments, **options)

    monkeypatch.setattr(evaluate, "evaluate", recorded)
    return found


def judge(at, *, whole=False, judges=JUDGES, **chosen):
    compared = cross_architecture.compared(chosen or {"one": made()}, at, whole=whole)
    return cross_architecture.judge(cross_architecture.jobs(compared, judges, at), at)


def score(at, soft=True):
    return fair_scores.score(fair_scores.trials({"one": made(soft)}, ONE, at), at)


def test_every_network_is_trained_on_every_candidate_once_and_never_again(tmp_path, trained):
    rows = judge(bench(tmp_path))
    assert [(row.candidate, row.network) for row in rows] == [
        (name, network) for name in ("one", "random real, 3 per class") for network in JUDGES
    ]
    assert len(trained) == 8 and all(len(row.accuracies) == 2 for row in rows)
    again = judge(bench(tmp_path))
    assert len(trained) == 8
    assert [row.accuracies for row in again] == [row.accuracies for row in rows]

    # Interrupted, or asked for more networks: only the missing ones are trained.
    more = judge(bench(tmp_path, **{"evaluate.num_networks": 3}))
    assert trained[8:] == [(6, 2, 1)] * 4
    fresh = judge(bench(tmp_path / "fresh", **{"evaluate.num_networks": 3}))
    assert [row.accuracies for row in more] == [row.accuracies for row in fresh]


def test_processes_share_the_networks_and_leave_the_files_of_one(tmp_path, trained, monkeypatch):
    """By two threads, whose locks exclude each other as those of processes do."""
    monkeypatch.setattr(shared_work, "_WAIT", 0.01)
    monkeypatch.setattr(console, "Bar", mock.MagicMock())
    values = {"evaluate.num_networks": 5, "evaluate.at_once": 2}
    plain = evaluate.evaluate

    def run(folder):
        at = bench(tmp_path / folder, **values)
        compared = cross_architecture.compared({"one": made()}, at, whole=True)
        return work.run(cross_architecture.jobs(compared, ONE, at), at, {}, "evaluate")

    def files(folder):
        found = [*(tmp_path / folder).rglob("*.json"), *(tmp_path / folder).rglob("*.npz")]
        return {path.relative_to(tmp_path / folder): path.read_bytes() for path in found}

    alone = run("alone")
    expected, count = list(trained), len(trained)
    assert count == 3 + 5 + 3
    both, begun = threading.Barrier(2, timeout=60), set()

    def first_together(*arguments, **options):
        if threading.get_ident() not in begun:
            begun.add(threading.get_ident())
            both.wait()  # Both have claimed networks.
        return plain(*arguments, **options)

    monkeypatch.setattr(evaluate, "evaluate", first_together)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert [*pool.map(run, ["both", "both"])] == [alone, alone]
    assert sorted(trained[count:]) == sorted(expected), "each network is trained once"
    assert files("both") == files("alone")
    assert not [*(tmp_path / "both").rglob(".claim*")]


def test_the_accuracies_are_those_of_a_plain_evaluation(tmp_path):
    at, own = bench(tmp_path), made()
    row = judge(at, judges=ONE)[0]
    plain = evaluate.evaluate(
        ONE["mlp"],
        at.experiment.protocol,
        at.experiment.augmentation,
        own.images,
        own.label_logits,
        own.step_size,
        own.to_model_space(DATASET.test_images),
        DATASET.test_labels,
        jax.random.fold_in(jax.random.key(0), keys.EVALUATION),
        num_networks=2,
        at_once=1,
        test_batch=20,
    )
    assert row.accuracies == plain.accuracies.tolist()


def test_results_of_other_settings_are_other_results(tmp_path, trained):
    judge(bench(tmp_path), judges=ONE)
    judge(bench(tmp_path, seed=1), judges=ONE)
    assert len(trained) == 8
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(UserError, match="results.json is damaged.*Delete it"):
        Results(tmp_path / "results.json")


def test_sets_share_the_whole_training_set_and_equal_random_images(tmp_path, trained):
    cache = tmp_path / "cache"
    first = judge(bench(tmp_path / "a", cache), whole=True, judges=JUDGES, one=made())
    assert sorted(images for images, *_ in trained) == [6] * 8 + [40] * 4
    # Another set, another folder: only the set and its random images are new.
    rows = judge(
        bench(tmp_path / "b", cache),
        whole=True,
        judges=JUDGES,
        two=made(seed=3),
        three=made(seed=4),
    )
    assert [images for images, *_ in trained[12:]] == [6] * 12
    assert [row.candidate for row in rows[::2]] == [
        "two",
        "three",
        "random real, 3 per class",
        "whole training set",
    ]
    assert rows[-1].accuracies == first[-1].accuracies
    # Its networks are kept with their running statistics.
    at = bench(tmp_path / "c", cache)
    whole = candidates.whole(candidates.Space.of(made()), DATASET, at.experiment)
    for name, network in JUDGES.items():
        params, stats = at.weights(at.job(whole, name, network))
        test = made().to_model_space(DATASET.test_images)
        accuracy = evaluate.accuracy(network, params, stats, test, DATASET.test_labels, 20)
        assert accuracy in {row.accuracies[0] for row in rows[-2:] if row.network == name}


def test_candidates_of_equal_names_are_told_apart(tmp_path):
    other = made(seed=3)._replace(step_size=0.02)
    at = bench(tmp_path)
    names = [x.name for x in cross_architecture.compared({"a": made(), "b": other}, at, whole=True)]
    assert names[2:] == [
        "random real, 3 per class, rate 0.05",
        "random real, 3 per class, rate 0.02",
        "whole training set",
    ]
    with pytest.raises(UserError, match="ipc = 21 asks for more"):
        cross_architecture.compared({"large": made(per_class=21)}, at, whole=False)


def test_tables_and_picture(tmp_path):
    rows = judge(bench(tmp_path))
    text = cross_architecture.save(tmp_path, rows, CAPTION, "a_$b")
    assert text.startswith(
        f"{CAPTION}\n\n| trained on | learning rate | labels | preprocessing | mlp | convnet_bn |"
    )
    for row in rows:
        assert f"{100 * row.mean:.1f} ± {100 * row.std:.1f} (2)" in text
    assert "| one | 0.05 | soft | per_channel |" in text and "best" not in text
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert len(lines) == 5 and lines[1].startswith("one,mlp,")
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"
    record = json.loads(json.dumps(tables.record(rows[0])))
    assert record["epochs"] == 3 and record["accuracies"] == rows[0].accuracies
    assert record["tested_on"].startswith("20 test images")


def test_the_best_on_test_has_a_column_of_its_own(tmp_path):
    plain = judge(bench(tmp_path), judges=ONE)
    rows = judge(bench(tmp_path, **{"evaluate.test_every": 1}), judges=ONE)
    assert [row.accuracies for row in rows] == [row.accuracies for row in plain]
    assert all(b >= a for row in rows for a, b in zip(row.accuracies, row.best, strict=True))
    assert "| mlp | mlp, best |" in tables.markdown(rows, CAPTION)
    assert "best_mean" in tables.record(rows[0]) and "best_mean" not in tables.record(plain[0])


@pytest.mark.parametrize("soft", [True, False])
def test_fair_scores_are_of_their_definition(tmp_path, soft, trained):
    at = bench(tmp_path)
    (found,) = score(at, soft)
    arms = {name: row.mean for name, row in found.arms.items()}
    assert found.recovery == found.whole.mean - arms[fair_scores.HARD]
    assert found.improvement == arms[fair_scores.OWN] - arms[fair_scores.RANDOM]
    kinds = {name: row.settings["labels"] for name, row in found.arms.items()}
    assert kinds.pop(fair_scores.HARD) == "hard"
    assert set(kinds.values()) == {"soft" if soft else "hard"}
    families = {name: row.settings["augmentation"]["families"] for name, row in found.arms.items()}
    assert families[fair_scores.RANDOM_PLAIN] == [] != families[fair_scores.RANDOM_AUGMENTED]
    # Both sides choose of the same rates, on training images; tests come after.
    rates = {row.settings["learning_rate"] for row in found.arms.values()}
    assert rates <= set(np.float32([0.02, 0.05]).tolist())
    assert all(row.settings["tested_on"].startswith("20 test") for row in found.arms.values())
    assert f"| {found.recovery:.3f} | {found.improvement:.3f} |" in fair_scores.markdown(
        [found], fair_scores.caption(at)
    )
    count = len(trained)
    (again,) = score(bench(tmp_path), soft)
    assert len(trained) == count and again == found


def test_the_rate_that_validates_best_is_chosen_for_each_side(tmp_path, monkeypatch):
    """Accuracies are made up: a learning rate of 0.02 is best, for all but the test images."""

    def faked(*arguments, **options):
        rate, labels = arguments[5], arguments[7]
        validates = len(labels) == 8  # A fifth of the training images.
        best = rate == np.float32(0.02)
        accuracy = np.full(options["num_networks"], 0.9 if best == validates else 0.3)
        if (keep := options["trained"]) and options["first"] == 0:
            keep(0, np.zeros(ONE["mlp"].num_params, np.float32), {})
        return evaluate.Evaluation(accuracy, accuracy, accuracy > 1, accuracy)

    monkeypatch.setattr(evaluate, "evaluate", faked)
    (found,) = score(bench(tmp_path))
    assert {row.settings["learning_rate"] for row in found.arms.values()} == {
        float(np.float32(0.02))
    }
    assert {row.mean for row in found.arms.values()} == {0.3}


def test_random_images_are_none_that_validate(tmp_path):
    at = bench(tmp_path)
    assert np.bincount(DATASET.train_labels[at.validation]).tolist() == [4, 4]
    own = candidates.of_set("one", made(), at.experiment)
    random = candidates.random_real(own, 16, DATASET, at.experiment, without=at.validation)
    images = random.draw(0)[0]
    rest = np.delete(DATASET.train_images, at.validation, axis=0)
    assert np.allclose(np.sort(images, axis=None), np.sort(made().to_model_space(rest), axis=None))


def test_sets_that_are_not_the_configs(tmp_path):
    path = tmp_path / "run" / "distilled.npz"
    path.parent.mkdir()
    distilled_set.write(path, made())
    found = sets.read([path], experiment().config)
    assert list(found) == ["run"]
    assert list(sets.read([path, path], experiment().config)) == [str(path)]
    others = [tmp_path / name / "run" / "distilled.npz" for name in ("a", "b")]
    for other in others:
        other.parent.mkdir(parents=True)
        distilled_set.write(other, made())
    assert list(sets.read(others, experiment().config)) == ["a", "b"]
    assert list(sets.read([path, others[0]], experiment().config)) == [str(path), str(others[0])]
    with pytest.raises(UserError, match=r"images of shape \(4, 4, 1\) for 2 classes.*\(8, 8, 1\)"):
        sets.read([path], digits_ipc1.get_config())
    with pytest.raises(UserError, match="classes of run are dark, bright; those of toys are 0, 1"):
        others = DATASET._replace(class_names=("0", "1"))
        sets.check_data(found, others, experiment().config)
    assert sets.check_data(found, DATASET, experiment().config) == []


def test_a_set_made_from_other_training_images_is_told():
    held_out = experiment(**{"data.validation_share": 0.2}).config
    kept, _ = run_data.hold_out(DATASET, held_out)
    of_kept = made()._replace(provenance={"training_data": loading.fingerprint(kept)})
    assert sets.check_data({"run": of_kept}, DATASET, held_out) == []
    (remark,) = sets.check_data({"run": of_kept}, DATASET, experiment().config)
    assert "run was made from other training images of toys" in remark


def test_a_stored_accuracy_says_under_which_other_settings():
    config = experiment().config
    stored = {"config": json.loads(config.to_json_best_effort())}
    assert sets.stored_accuracy(made(), config) == ""
    own = made()._replace(
        provenance=stored | {"accuracy": {"mean": 0.9, "std": 0.01, "runs": [0.9, 0.9]}}
    )
    same = "stored when it was made: 90.00 ± 1.00 % (2 networks)"
    assert sets.stored_accuracy(own, config) == same
    changed = sets.stored_accuracy(own, protocols.apply(config, "dc"))
    assert changed.startswith(f"{same}, under other settings: ")
    assert "evaluate.epochs: stored 3, asked 301" in changed and "augment.families" in changed


def test_protocols_are_those_of_the_programs():
    config = digits_ipc1.get_config()
    dc, dm, mtt, datm = (protocols.apply(config, name) for name in ("dc", "dm", "mtt", "datm"))
    assert (dc.evaluate.epochs, dc.evaluate.learning_rate) == (301, 0.01)
    assert dc.augment.families == ()
    assert (dm.evaluate.epochs, dm.evaluate.learning_rate) == (1001, 0.01)
    assert (mtt.evaluate.batch_size, datm.evaluate.batch_size) == (256, 128)
    assert mtt.evaluate.learning_rate == 0  # the learned one
    assert config.evaluate.epochs == digits_ipc1.get_config().evaluate.epochs
    with pytest.raises(UserError, match="'datn' is unknown. Did you mean datm.*mtt, datm"):
        protocols.apply(config, "datn")
