"""Class-incremental learning: class orders, memories in one space, networks, tables."""

import json

import jax
import numpy as np
import pytest

from configs import digits_ipc1
from dpd_jax import evaluate, synthetic
from dpd_jax.datasets import loading, whitening
from dpd_jax.errors import UserError
from dpd_jax.judging.continual import judge, memories
from dpd_jax.judging.continual import table as table_lib
from dpd_jax.judging.results import Results
from dpd_jax.runs import keys, loop, report, run_data
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.sources import Sources
from dpd_jax.storage import distilled_set
from dpd_jax.synthetic import SyntheticSet


def config(**changes):
    """Random real digits as memories: no experts, no outer steps."""
    changed = digits_ipc1.get_config("mtt")
    changed.update_from_flattened_dict(
        {
            "distill.iterations": 0,
            "data.train_per_class": 10,
            "data.test_images": 60,
            "network.width": 4,
            "evaluate.epochs": 4,
            "evaluate.learning_rate": 0.05,
        }
        | changes
    )
    return changed


def test_class_orders_are_the_permutations_of_numpys_legacy_seeds():
    # R's program lists the order of seed 0 for 100 classes: 26, 86, 2, 55, 75, 93, 16, 73, ...
    assert memories.class_steps(100, 25, 0)[:2] == [(2, 26, 55, 86), (16, 73, 75, 93)]
    for order in range(3):
        steps = memories.class_steps(10, 5, order)
        assert sorted(c for step in steps for c in step) == list(range(10))
    assert memories.class_steps(6, 1, 4) == [tuple(range(6))]
    for steps in (3, 10):  # Unequal steps; steps of one class.
        with pytest.raises(UserError, match=f"{steps} steps do not .* are 1, 2, 5"):
            memories.class_steps(10, steps, 0)


def test_data_of_some_classes_are_those_images_with_new_labels():
    whole = run_data.read(config(), None)
    some = run_data.read(config(**{"data.classes": (7, 2, 4), "num_classes": 3}), None)
    assert some.class_names == ("7", "2", "4")
    for split in ("train", "test"):
        images, labels = (getattr(whole, f"{split}_{kind}") for kind in ("images", "labels"))
        kept = np.isin(labels, (7, 2, 4))
        np.testing.assert_array_equal(getattr(some, f"{split}_images"), images[kept])
        np.testing.assert_array_equal(
            np.array([7, 2, 4])[getattr(some, f"{split}_labels")], labels[kept]
        )
    with pytest.raises(UserError, match="names class 10, but digits has the classes 0 to 9"):
        loading.of_classes(whole, (1, 10))


@pytest.mark.parametrize(
    "classes, message",
    [((1, 2), "2 classes, but num_classes = 3"), ((1, 2, 1), "names a class twice")],
)
def test_classes_that_do_not_fit_the_config_are_refused(classes, message):
    with pytest.raises(UserError, match=message):
        Experiment.from_config(config(**{"data.classes": classes, "num_classes": 3}))


def toy_set(preprocessing, images, classes):
    labels = synthetic.hard_labels(np.arange(len(images)) % classes, classes)
    model = whitening.transform(preprocessing, images)
    made = SyntheticSet(model, labels, np.float32(0.1))
    names = tuple(map(str, range(classes)))
    return distilled_set.make(made, np.arange(len(images)) % classes, preprocessing, names, {})


def test_a_memory_enters_the_space_of_another_exactly():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (30, 4, 4, 3), np.uint8) // (i + 1) for i in range(2)]
    zca = [whitening.fit_zca(some, epsilon=0.1) for some in images]
    for first, second in (zca, [whitening.fit_per_channel(some) for some in images]):
        made = toy_set(second, images[1], 2)
        other = toy_set(first, images[0], 2)
        moved = made.images_in(other.mean, other.matrix)
        np.testing.assert_allclose(moved, whitening.transform(first, images[1]), atol=2e-5)
        assert made.images_in(made.mean, made.matrix) is made.images


def test_labels_over_all_classes_give_the_others_nothing():
    classes, soft = [3, 0], np.array([[2.0, 1.0], [-500.0, -501.0], [900.0, 903.0]], np.float32)
    wide = judge.over_all_classes(soft, classes, 5)
    found = np.asarray(jax.nn.softmax(wide))
    np.testing.assert_array_equal(found[:, classes], jax.nn.softmax(soft))
    assert not found[:, [1, 2, 4]].any() and wide.dtype == np.float32
    hard = np.asarray(synthetic.hard_labels(np.array([0, 1]), 2))
    expected = synthetic.hard_labels(np.array(classes), 5)
    np.testing.assert_array_equal(judge.over_all_classes(hard, classes, 5), expected)


class Work:
    """Two orders of two steps on digits, under a folder."""

    def __init__(self, folder, num_networks=1, orders=2, method="random", **changes):
        asked = Experiment.from_config(config(**changes))
        self.orders = [
            {method: memories.plan(method, asked, folder, steps=2, order=order)}
            for order in range(orders)
        ]
        self.dataset = run_data.read(asked.config, None)
        results = Results(folder / "results.json")
        self.judge = judge.Judge(asked, self.dataset, results, num_networks)
        tasks = memories.flat(self.orders)
        self.sources = memories.StepSources(None, folder, folder / "experts", tasks, self.dataset)

    def rows(self):
        *_, rows = judge.run({"random": self.judge}, self.orders, self.sources)
        return rows


def test_networks_are_trained_on_the_memory_so_far_and_tested_on_the_classes_seen(tmp_path):
    work = Work(tmp_path)
    rows = work.rows()
    assert [(row.order, row.step, row.seen) for row in rows] == [
        (0, 0, 5), (0, 1, 10), (1, 0, 5), (1, 1, 10),
    ]  # fmt: skip
    assert not (tmp_path / "experts").exists(), "nothing reads experts"

    # The same by hand: one real image of each class seen, chosen by the run; hard labels.
    asked, (tasks,) = work.judge._experiment, work.orders[1].values()
    scale = whitening.per_channel(asked.config.data.mean, asked.config.data.std)
    classes = np.random.RandomState(1).permutation(10)
    for step, row in enumerate(rows[2:]):
        pictures = [task.distilled_set().pictures for task in tasks[: step + 1]]
        seen = np.concatenate([np.sort(classes[5 * s : 5 * s + 5]) for s in range(step + 1)])
        for image, label in zip(np.concatenate(pictures), seen, strict=True):
            own = work.dataset.train_images[work.dataset.train_labels == label]
            assert (own == image).all((1, 2, 3)).any()
        tested = np.isin(work.dataset.test_labels, seen)
        root = jax.random.fold_in(jax.random.key(1), keys.EVALUATION)
        expected = evaluate.evaluate(
            asked.network,
            asked.protocol,
            asked.augmentation,
            whitening.transform(scale, np.concatenate(pictures)),
            synthetic.hard_labels(seen, 10),
            0.05,
            whitening.transform(scale, work.dataset.test_images[tested]),
            work.dataset.test_labels[tested],
            jax.random.fold_in(jax.random.fold_in(root, step), 0),
            num_networks=1,
            at_once=1,
            test_batch=asked.config.evaluate.test_batch,
        )
        assert row.accuracies == expected.accuracies.tolist()


def test_what_is_stored_is_not_done_again(tmp_path, monkeypatch):
    whole = Work(tmp_path / "whole", num_networks=2).rows()

    # Stopped in the second network of order 0, continued, and asked for more.
    done, train = [], evaluate.evaluate

    def stop_after_three(*arrays, **options):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(train(*arrays, **options))
        return done[-1]

    monkeypatch.setattr(evaluate, "evaluate", stop_after_three)
    with pytest.raises(KeyboardInterrupt):
        Work(tmp_path / "part", num_networks=2, orders=1).rows()
    monkeypatch.setattr(evaluate, "evaluate", train)
    rerun = Work(tmp_path / "part", num_networks=2)
    assert rerun.judge.missing(rerun.orders[0]["random"]) == [0, 1]
    assert rerun.rows() == whole
    again = Work(tmp_path / "part", num_networks=2)
    monkeypatch.setattr(evaluate, "evaluate", None)
    monkeypatch.setattr(loop, "_run", None)
    assert again.rows() == whole
    with pytest.raises(UserError, match="another config:\n  ipc: stored 1, asked 2"):
        Work(tmp_path / "part", ipc=2)


def test_a_memory_is_an_ordinary_run_without_its_evaluation(tmp_path):
    work = Work(tmp_path, orders=1)
    task = memories.flat(work.orders)[1]
    loop.run(task.experiment, task.workdir, work.sources, evaluated=False)
    made = task.distilled_set()
    assert task.done and not report.finished(task.workdir, task.experiment.config)
    assert made.class_names == tuple(map(str, task.classes)) and len(made.images) == 5

    own = Sources(None, tmp_path, tmp_path / "experts")
    loop.run(task.experiment, task.workdir, own)
    assert report.finished(task.workdir, task.experiment.config)
    assert task.distilled_set().provenance["sha256"] == made.provenance["sha256"]

    longer = task.experiment.config.copy_and_resolve_references()
    longer.distill.iterations = 4
    assert not report.distilled(task.workdir, longer)
    (task.workdir.path / "distilled.npz").write_bytes(b"damaged")
    assert not task.done


def test_tables_are_over_orders_and_networks(tmp_path):
    rows = [
        judge.Row("a_$b", order, step, 2 + 2 * step, 0.01 + 0.02 * order, [0.5, 0.5 + order / 5])
        for order in range(2)
        for step in range(2)
    ]
    text = table_lib.write(tmp_path, rows, "How.", "title_$")
    assert text == (tmp_path / "table.md").read_text()
    assert "| a_$b | 0.02 | 55.0 ± 8.7 (4) | 55.0 ± 8.7 (4) |" in text
    head, first, _ = (tmp_path / "table.csv").read_text().splitlines()
    assert head.startswith("memory,classes_seen,mean,std,networks")
    assert first == "a_$b,2,0.550000,0.086603,4,0.02,0.5;0.5;0.5;0.7"
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    json.dumps(rows)
