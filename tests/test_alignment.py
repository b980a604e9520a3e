"""AST's balance, intermediate matching and perturbed start, and that the loss uses them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpd_jax import alignment, distill, trajectory_matching
from dpd_jax import student as student_lib
from dpd_jax.errors import UserError
from dpd_jax.trajectory_matching import TrajectorySegment
from tests import toys

NETWORK = toys.convnet()


def test_balance_weighs_late_starts_more_and_is_off_by_choice():
    starts = jnp.arange(21)
    nu = jax.vmap(lambda s: alignment.balance(s, toys.alignment(balance="log")))(starts)
    assert nu[0] == 1 / nu[20] and (np.diff(nu) > 0).all() and nu[9] < 1 < nu[10]
    assert alignment.balance(jnp.asarray(3), toys.alignment()) == 1


@pytest.mark.parametrize(
    "choices, steps, weights, offsets",
    [
        (dict(expert_epochs=3), (8,), (1,), (0, 3)),
        (dict(expert_epochs=3, intermediate="equal"), (2, 5, 8), (1, 1, 1), (0, 1, 2, 3)),
        (
            dict(expert_epochs=3, intermediate="adaptive", intermediate_steps="stride"),
            (2, 4, 8),
            (1 / 3, 2 / 3, 1),
            (0, 1, 2, 3),
        ),
    ],
)
def test_intermediate_matching(choices, steps, weights, offsets):
    chosen = toys.alignment(**choices)
    assert chosen.matched_steps(8) == steps
    assert chosen.weights == weights and chosen.offsets == offsets


@pytest.mark.parametrize("form", ["filter", "tensor"])
def test_perturbation_moves_the_kernels_of_convolutions_by_its_share(form):
    params = NETWORK.init(jax.random.key(0))
    noise = jax.random.normal(jax.random.key(1), params.shape)
    chosen = toys.alignment(perturbation=0.1, perturbation_form=form)
    moved = alignment.perturb(params, noise, NETWORK.parameters, chosen)
    for parameter in NETWORK.parameters:
        before, after = (
            x[parameter.offset : parameter.offset + parameter.size] for x in (params, moved)
        )
        if len(parameter.shape) < 4:
            np.testing.assert_array_equal(before, after)
            continue
        before, after = (np.asarray(x).reshape(parameter.shape) for x in (before, after))
        if form == "filter":
            share = [
                np.linalg.norm(after[..., f] - before[..., f]) / np.linalg.norm(before[..., f])
                for f in range(parameter.shape[-1])
            ]
            np.testing.assert_allclose(share, 0.1, rtol=1e-4)
        else:
            relative = (after - before) / before
            np.testing.assert_allclose(np.linalg.norm(relative), 0.1, rtol=1e-3)


def test_the_loss_is_the_weighted_sum_from_the_perturbed_start(monkeypatch):
    """With a student whose final weights are given: no network, nothing compiled."""
    chosen = toys.alignment(
        expert_epochs=3,
        balance="log5",
        intermediate="adaptive",
        perturbation=0.1,
    )
    student = toys.student(syn_steps=7, alignment=chosen)
    keys = jax.random.split(jax.random.key(0), 7)
    params = jnp.stack([NETWORK.init(key) for key in keys[:4]])
    seen = jnp.stack([NETWORK.init(key) for key in keys[4:]])
    asked = {}

    def train(start, synthetic, index, keys, scale, *, network, student, matched_steps):
        asked.update(start=start, scale=scale, matched_steps=matched_steps)
        return seen

    monkeypatch.setattr(student_lib, "train", train)
    synthetic = distill.SyntheticSet(jnp.zeros((3, 8, 8, 1)), jnp.zeros((3, 3)), jnp.asarray(0.1))

    def loss(key):
        return trajectory_matching.segment_loss(
            synthetic,
            TrajectorySegment(params, jnp.asarray(4)),
            jax.random.key(key),
            network=NETWORK,
            student=student,
            matching=toys.matching(pruning_rate=0.0),
        )[0]

    first = loss(5)
    start = asked["start"]
    assert asked["matched_steps"] == (2, 4, 7)
    np.testing.assert_allclose(asked["scale"], np.log(5) / np.log(6 + 8), rtol=1e-6)
    assert np.any(start != params[0])
    parts = [
        jnp.sum((s - t) ** 2) / jnp.sum((start - t) ** 2)
        for s, t in zip(seen, params[1:], strict=True)
    ]
    np.testing.assert_allclose(first, parts[0] / 3 + parts[1] * 2 / 3 + parts[2], rtol=1e-5)
    loss(6)
    assert np.any(asked["start"] != start)  # Drawn anew for every segment.


@pytest.mark.parametrize(
    "changes",
    [
        dict(balance="linear"),
        dict(balance_offset=1.0),
        dict(intermediate="some"),
        dict(intermediate_steps="odd"),
        dict(perturbation=-0.1),
        dict(perturbation=float("inf")),
        dict(perturbation_form="weight"),
    ],
    ids=str,
)
def test_impossible_choices_are_refused_by_name(changes):
    with pytest.raises(UserError, match=f"alignment.{next(iter(changes))}"):
        toys.alignment(**changes)


def test_intermediate_matching_without_epochs_or_steps_is_refused_with_the_reason():
    with pytest.raises(UserError, match="expert_epochs = 1 leaves none"):
        toys.alignment(expert_epochs=1, intermediate="equal")
    many = toys.alignment(expert_epochs=5, intermediate="equal")
    with pytest.raises(UserError, match="5 of its steps.*syn_steps = 4 are fewer"):
        toys.student(syn_steps=4, alignment=many)
    assert toys.student(syn_steps=5, alignment=many).matched_steps == (1, 2, 3, 4, 5)
