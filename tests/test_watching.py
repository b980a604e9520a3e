"""What can be seen of a run while it goes on: sets, pictures, curves, events."""

import sys
import threading

import jax.numpy as jnp
import numpy as np
import pytest

from dpd_jax.errors import UserError
from dpd_jax.networks.layout import Parameter
from dpd_jax.plots import run_curves
from dpd_jax.runs import tensorboard, watching
from dpd_jax.runs.watching import Watcher
from dpd_jax.synthetic import SyntheticSet


def toy_set(value=1.0):
    return SyntheticSet(jnp.full((2, 1, 1, 1), value), jnp.zeros((2, 2)), jnp.float32(0.1))


def test_every_set_is_written_and_pictures_rest(monkeypatch):
    written, drawn, now = [], [], [100.0]
    monkeypatch.setattr(watching.time, "monotonic", lambda: now[0])

    def draw(step, result):
        drawn.append(step)
        now[0] += 1.0

    with Watcher(lambda step, result: written.append(step), draw) as watcher:
        for step in range(1, 50):
            watcher.offer(step, toy_set())
            watcher.wait()
            now[0] += 1.0
    assert written == list(range(1, 50)), "every set"
    assert drawn == [1, 21, 41], "pictures, which take 1 s, every 20 s or more"
    watcher.show(50, toy_set())
    assert written[-1] == drawn[-1] == 50


def test_what_is_written_is_the_set_as_it_was_offered():
    go_on, found = threading.Event(), []

    def write(step, result):
        go_on.wait(10)
        found.append((step, result))

    with Watcher(write, lambda step, result: None) as watcher:
        offered = toy_set(3.0)
        watcher.offer(1, offered)
        watcher.offer(2, toy_set(4.0))  # Left out, because the first is still being written.
        offered.images.delete()  # As the next step does, which takes over the buffers.
        go_on.set()
    ((step, result),) = found
    assert step == 1 and isinstance(result.images, np.ndarray) and (result.images == 3).all()


def test_an_error_while_writing_reaches_the_run():
    def write(step, result):
        raise UserError("the disk is full")

    with Watcher(write, lambda step, result: None) as watcher:
        watcher.offer(1, toy_set())
        with pytest.raises(UserError, match="the disk is full"):
            watcher.wait()
        watcher.wait()  # Told once.


LINES = [
    {"step": 0, "seconds": 0.0, "validation_accuracy": [0.25, 0.75]},
    {"step": 5, "seconds": 120.0, "loss": 0.5, "step_size": 0.1, "dropped": [0.0, 0.5]},
    {"step": 9, "seconds": 240.0, "loss": None, "step_size": 0.2, "dropped": [0.5, 0.5]},
]


def test_curves_are_what_was_logged_over_steps_and_time():
    rows = run_curves.panels(LINES, [1, 3], expert_seconds=90.0)
    curves = {row[0].y: [panel.curves[0] for panel in row] for row in rows}
    assert {name: list(c[0].x) for name, c in curves.items()} == {
        "validation accuracy, %": [0],
        "matching loss": [5],
        "step size": [5, 9],
        "weights left out, %": [5, 9],
    }
    accuracy, _ = curves["validation accuracy, %"]
    assert list(accuracy.means) == [50.0] and list(accuracy.stds) == [25.0]
    left_out, over_time = curves["weights left out, %"]
    np.testing.assert_allclose(left_out.means, [37.5, 50.0])
    assert rows[0][1].x == "minutes, experts included"
    np.testing.assert_allclose(over_time.x, [3.5, 5.5])


def test_curves_of_other_runs():
    # Gradient and distribution matching: no shares, no experts. An older version: no seconds.
    lines = [{k: v for k, v in line.items() if k != "dropped"} for line in LINES[1:]]
    rows = run_curves.panels(lines, [1, 3], 0.0)
    assert [row[0].y for row in rows] == ["matching loss", "step size"]
    assert [panel.x for panel in rows[0]] == ["outer step", "seconds"]
    rows = run_curves.panels(lines, [1, 3], None)
    assert [panel.x for panel in rows[0]] == ["outer step", "seconds, without experts"]
    old = [{k: v for k, v in line.items() if k != "seconds"} for line in lines]
    assert [len(row) for row in run_curves.panels(old, [1, 3], None)] == [1, 1]
    assert run_curves.panels([], [1, 3], None) == []
    fixed = [line | {"step_size": 0.1} for line in lines]
    assert [row[0].y for row in run_curves.panels(fixed, [1, 3], 0.0)] == ["matching loss"]


def test_curves_are_drawn(tmp_path):
    parameters = [Parameter("kernel", (1,), 0), Parameter("bias", (3,), 1)]
    run_curves.save(tmp_path / "a.png", [], parameters, title="", expert_seconds=None)
    assert not (tmp_path / "a.png").exists()
    run_curves.save(tmp_path / "a.png", LINES, parameters, title="a_$b", expert_seconds=1.0)
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_events_hold_the_numbers(tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto import event_pb2

    events = tensorboard.Events(tmp_path, 0)
    logged = {name: value for name, value in LINES[1].items() if name != "step"}
    events.log(5, logged | {"validation_accuracy": [0.25, 0.75]})
    events.close()
    (file,) = tmp_path.iterdir()
    found, data = {}, file.read_bytes()
    while data:  # Length, checksum, event, checksum.
        length = int.from_bytes(data[:8], "little")
        event = event_pb2.Event.FromString(data[12 : 12 + length])
        found |= {value.tag: (event.step, value.simple_value) for value in event.summary.value}
        data = data[16 + length :]
    assert found == {
        "seconds": (5, 120.0),
        "loss": (5, 0.5),
        "step_size": (5, pytest.approx(0.1)),
        "validation_accuracy": (5, 0.5),
    }


def test_events_need_their_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UserError, match="pip install"):
        tensorboard.check()
