"""The benchmark: its counts, rows and table."""

import jax
import pytest

from configs import cifar10_ipc1, digits_ipc1
from dpd_jax import flops
from dpd_jax.benchmarks import cases, device, timing
from dpd_jax.benchmarks import table as table_lib
from dpd_jax.runs.experiment import Experiment
from dpd_jax.storage import trajectories
from experiments import benchmark_torch
from tests import toys

# The fields of every row.
FIELDS = {"what", "gradient", "steps", "batch", "width", "seconds", "flops", "temp_bytes"}
FIELDS |= {"matmul_flops_per_second", "fraction_of_matmul", "augmentation", "compile_seconds"}


def closed_form(network, size) -> int:
    module = network.module
    return benchmark_torch.forward_flops(
        size=size,
        channels=network.image_shape[-1],
        width=module.width,
        depth=module.depth,
        classes=network.num_classes,
    )


@pytest.mark.parametrize("convolution", ["lax", "patches"])
def test_the_papers_network_has_the_operations_of_its_closed_form(convolution):
    config = cifar10_ipc1.get_config()
    config.network.convolution = convolution
    network = Experiment.from_config(config).network
    assert network.num_params == 320_010
    assert flops.forward(network) == closed_form(network, 32) == 101_490_688
    assert round(flops.student(network, "exact", steps=10, batch=10) / 1e9) == 91
    assert flops.expert(network, "gsam", steps=2, batch=3) == 36 * 101_490_688


def test_operations_with_stem_padding_and_group_norm():
    network = toys.convnet(width=4, depth=2, image_shape=(8, 8, 1), stem_padding=3, norm="group")
    assert flops.forward(network) == closed_form(network, 12)


def test_rows_and_table(monkeypatch):
    """Every work on toy shapes, traced but not compiled: fields, counts, and the table."""

    def traced(function, *arguments):
        jax.eval_shape(function, *arguments)
        return lambda *given: given[:2], 1.5, 100

    config = digits_ipc1.get_config()
    config.network.width, config.network.depth = 2, 1
    config.experts.batch_size = 4
    config.augment.families = ("flip",)
    config.curriculum.current_max_start_epoch = config.curriculum.max_start_epoch = 0
    monkeypatch.setattr(timing, "_BUDGET", 0)
    monkeypatch.setattr(device, "compiled", traced)
    monkeypatch.setattr(cases, "_host_seconds", lambda experiment: {"host_seconds": 1.0})
    monkeypatch.setattr(trajectories, "STORAGE", ("float16",))
    experiment = Experiment.from_config(config)
    product = device.float32_product((8, 8, 8))
    wanted = cases.Sweep(gradients=("tesla",), steps=(2,), batches=(12,))
    rows = []
    with jax.debug_key_reuse(False):  # Steps and readers fold into the same key again and again.
        for works in cases.WORKS.values():
            for group in works(experiment, wanted):
                rows += timing.measure(group, product)

    assert all(row.keys() >= FIELDS for row in rows)
    forward = closed_form(experiment.network, 8)
    counted = [(row["what"], row["augmentation"], row["flops"] / forward) for row in rows]
    assert counted == [
        ("distill_step", False, 7 * 2 * 12),
        ("distill_step", True, 7 * 2 * 12),
        ("expert_training", True, 6 * 2 * 4),
        ("evaluation", True, 5 * 3 * 10 * 10),
        ("evaluation", True, 5 * 3 * 10 * 10),
        ("store_read", None, 0),
    ]
    for row in rows[:5]:
        rate = row["flops"] / row["seconds"]
        assert row["fraction_of_matmul"] == pytest.approx(rate / row["matmul_flops_per_second"])
    assert rows[5]["storage"] == "float16"
    assert rows[5]["store_bytes"] == config.experts.num_experts * rows[5]["bytes_per_expert"] > 0

    head, *lines = table_lib.text(rows).splitlines()
    assert head.split()[:4] == ["what", "kind", "steps", "batch"] and len(lines) == len(rows)
    assert lines[1].split()[:5] == ["distill_step", "tesla", "augmented", "2", "12"]


def test_a_work_that_does_not_fit_keeps_its_row_and_says_why(monkeypatch):
    row = {"what": "distill_step", "gradient": "unroll", "temp_bytes": 100, "augmentation": None}
    monkeypatch.setattr(device, "free_memory_bytes", lambda: 99)

    def fails():
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory\nlong story")

    group = [
        cases._work(row | {"flops": 1, "steps": 1, "batch": 1}, fails),
        timing.Work(row | {"what": "evaluation", "gradient": None, "flops": 1}, fails),
    ]
    rows = timing.measure(group, device.float32_product((8, 8, 8)))
    assert [row["seconds"] for row in rows] == [None, None]
    text = table_lib.text(rows)
    assert "not run: 0.0 GiB" in text and "RESOURCE_EXHAUSTED: out of memory" in text
