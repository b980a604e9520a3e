"""What a run says of itself at its end."""

from dpd_jax.runs import report


def said(troubles, steps):
    figures = {"mean": 0.8, "std": 0.01, "runs": [0.8]}
    found = {"accuracy": figures, "random_real": figures, "seconds": {"distill": 1.0}}
    found |= {"peak_memory_bytes": 2**20, "steps": steps}
    return report._lines(found | report._undone([{"trouble": t} for t in troubles]))


def test_undone_steps_are_reported_with_their_most_frequent_cause():
    assert "steps undone" not in said([0.0, 0.0], 2)
    assert "steps undone" not in said([], 0)  # A coreset is not trained.
    few = said([0.0, 16.0, 16.0, 128.0], 40)["steps undone"]
    assert few.startswith("3: the matching loss is above guard.max_loss")
    many = said([0.0, 16.0, 16.0, 128.0, 16.0], 40)["steps undone"]
    assert many.startswith("4: ") and "learned less" in many and "learned less" not in few
