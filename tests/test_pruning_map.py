"""The pruning map: the lines it reads, the means in its cells, the picture."""

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


def test_a_cell_over_steps_is_the_mean_of_the_steps_in_its_interval():
    data = log()
    edges, cells = pruning_map.over_steps(data)
    assert cells.shape == (3, 60) and edges[0] == 0 and edges[-1] == data.steps[-1]
    for column in range(60):
        inside = (data.steps > edges[column]) & (data.steps <= edges[column + 1])
        np.testing.assert_allclose(cells[:, column], data.shares[inside].mean(0))


def test_a_cell_over_start_epochs_is_the_mean_of_the_segments_that_started_there():
    data = log()
    cells = pruning_map.over_epochs(data)
    assert cells.shape == (3, 6)
    for epoch in range(6):
        rows = [
            data.shares[step]
            for step in range(len(data.steps))
            for start in data.epochs[step]
            if start == epoch
        ]
        if rows:
            np.testing.assert_allclose(cells[:, epoch], np.mean(rows, 0))
        else:
            assert np.isnan(cells[:, epoch]).all()


def test_a_run_of_one_step_and_one_of_few_are_drawn():
    for count in (1, 3):
        data = log(count, segments=1)
        canvas = pruning_map.draw(data, ["a", "b_$", "c"], np.array([5, 10, 15]), title="a_$b")
        drawn = io.BytesIO()
        canvas.print_png(drawn)
        assert drawn.getvalue()[:4] == b"\x89PNG"
        bars, steps, _, _ = canvas.figure.axes
        widths = [bar.get_width() for bar in bars.patches]
        np.testing.assert_allclose(widths, 100 * data.shares.mean(0))
        weighted = 100 * (data.shares.mean(0) @ [5, 10, 15]) / 30
        np.testing.assert_allclose(bars.lines[0].get_xdata(), weighted)
        np.testing.assert_allclose(
            np.ravel(steps.collections[0].get_array()), 100 * data.shares.T.ravel()
        )


@pytest.mark.parametrize("masked", [True, False])
def test_a_run_writes_its_map_only_if_weights_were_masked(tmp_path, masked):
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


def test_lines_without_masks_are_ignored():
    lines = [{"step": 1}, {"step": 2, "start_epochs": [4], "dropped": [0.5, 0.0]}]
    data = pruning_map.read(lines)
    assert data.steps.tolist() == [2] and data.epochs.tolist() == [[4]]
    assert pruning_map.read(lines[:1]) is None
