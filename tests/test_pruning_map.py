"""The pruning map: which lines it reads, what its cells are the mean of, that it is drawn."""

import io
import json

import numpy as np
import pytest

from configs import digits_ipc1
from dpd_jax.plots import pruning_map
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.workdir import Workdir


def log(count=200, segments=2, parameters=3, every=7, seed=0):
    draw = np.random.default_rng(seed)
    return pruning_map.Log(
        every * np.arange(1, count + 1),
        draw.choice([0, 1, 2, 5], (count, segments)),
        draw.random((count, parameters)),
    )


def test_a_cell_over_steps_is_the_mean_of_the_steps_in_its_stretch():
    told = log()
    edges, cells = pruning_map.over_steps(told)
    assert cells.shape == (3, 60) and edges[0] == 0 and edges[-1] == told.steps[-1]
    for column in range(60):
        inside = (told.steps > edges[column]) & (told.steps <= edges[column + 1])
        np.testing.assert_allclose(cells[:, column], told.shares[inside].mean(0))


def test_a_cell_over_start_epochs_is_the_mean_of_the_segments_that_started_there():
    told = log()
    cells = pruning_map.over_epochs(told)
    assert cells.shape == (3, 6)
    for epoch in range(6):
        rows = [
            told.shares[step]
            for step in range(len(told.steps))
            for start in told.epochs[step]
            if start == epoch
        ]
        if rows:
            np.testing.assert_allclose(cells[:, epoch], np.mean(rows, 0))
        else:
            assert np.isnan(cells[:, epoch]).all()


def test_a_run_of_one_step_and_one_of_few_are_drawn():
    for count in (1, 3):
        told = log(count, segments=1)
        canvas = pruning_map.draw(told, ["a", "b_$", "c"], np.array([5, 10, 15]), title="a_$b")
        drawn = io.BytesIO()
        canvas.print_png(drawn)
        assert drawn.getvalue()[:4] == b"\x89PNG"
        bars, steps, _, _ = canvas.figure.axes
        widths = [bar.get_width() for bar in bars.patches]
        np.testing.assert_allclose(widths, 100 * told.shares.mean(0))
        weighted = 100 * (told.shares.mean(0) @ [5, 10, 15]) / 30
        np.testing.assert_allclose(bars.lines[0].get_xdata(), weighted)
        np.testing.assert_allclose(
            np.ravel(steps.collections[0].get_array()), 100 * told.shares.T.ravel()
        )


@pytest.mark.parametrize("masked", [True, False])
def test_a_run_leaves_its_map_where_something_was_masked(tmp_path, masked):
    experiment = Experiment.from_config(digits_ipc1.get_config())
    shares = {"dropped": [0.1] * len(experiment.network.parameters)} if masked else {}
    lines = [json.dumps({"step": s, "start_epochs": [s % 2], **shares}) for s in (10, 20)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 30, "star')
    pruning_map.save(
        tmp_path / "pruning.png",
        Workdir(tmp_path, experiment.config).metrics(),
        experiment.network.parameters,
        title="a run",
    )
    assert (tmp_path / "pruning.png").exists() == masked


def test_lines_of_before_there_were_masks_are_left_out():
    lines = [{"step": 1}, {"step": 2, "start_epochs": [4], "dropped": [0.5, 0.0]}]
    told = pruning_map.read(lines)
    assert told.steps.tolist() == [2] and told.epochs.tolist() == [[4]]
    assert pruning_map.read(lines[:1]) is None
