"""Evaluation against MTT's, DATM's and AST's own runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpd_jax import evaluate
from dpd_jax.evaluate import EvalState, Evaluation, Protocol
from dpd_jax.synthetic import hard_labels
from tests import toys
from tests.golden.torch_layout import close, nhwc, to_ours, to_theirs

# (params, losses, test loss): the README's measured spread of each.
SPREAD = {"hard": (2e-5, 1e-5, 1e-5), "soft": (7e-7, 1e-7, 2e-7)}


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_sgd_steps_agree_with_the_released_programs(golden, kind):
    """37 steps with the drop and the new optimiser after 20."""
    numbers = golden("sgd_eval")
    network = toys.convnet(width=16, image_shape=(32, 32, 3), num_classes=10)
    protocol = Protocol(
        epochs=37,
        batch_size=16,
        momentum=float(numbers["momentum"]),
        weight_decay=float(numbers["weight_decay"]),
        decay_epoch=20,
        decay_factor=0.1,
        decay_momentum=float(numbers["momentum"]),
        reset_momentum=True,
    )
    labels = {"hard": hard_labels(numbers["labels"], 10), "soft": numbers["label_logits"]}[kind]
    rate = float(numbers[f"{kind}/lr"][0])
    start = to_ours(network, numbers["flat_params"])
    state = EvalState(
        params=jnp.asarray(start),
        stats={},
        velocity=jnp.zeros_like(start),
        key=jax.random.key(0),
        epoch=jnp.zeros((), jnp.int32),
    )
    epoch = evaluate.make_epochs(network, protocol, toys.augmentation(), 1, side_by_side=False)
    params_spread, loss_spread, test_spread = SPREAD[kind]
    losses = []
    for step, order in enumerate(numbers["batch_index"], 1):
        state, loss = epoch(
            state, nhwc(numbers["images"]), labels, rate, order[None].astype(np.int32)
        )
        losses.append(float(loss[0]))
        if (stored := f"{kind}/params_step{step}") in numbers:
            # After one step two correct runs have not yet drifted apart.
            spread = min(9e-7, params_spread) if step == 1 else params_spread
            close(to_theirs(network, state.params), numbers[stored], spread, what=stored)
    close(losses, numbers[f"{kind}/loss_train"], loss_spread, what="training losses")

    test = (nhwc(numbers["test_images"]), numbers["test_labels"])
    logits = evaluate.logits(network, state.params, {}, test[0], 25)
    loss = -np.mean(np.asarray(jax.nn.log_softmax(logits))[np.arange(64), test[1]])
    close(loss, numbers[f"{kind}/loss_test"], test_spread, what="test loss")
    accuracy = evaluate.accuracy(network, state.params, {}, *test, 25)
    assert accuracy == pytest.approx(float(numbers[f"{kind}/acc_test"]), abs=1e-7)


@pytest.mark.parametrize(
    ("program", "weight_decay", "decay_factor", "decay_momentum"),
    [("mtt", 5e-4, 0.1, 0.9), ("datm", 5e-4, 0.1, 0.9), ("ast", 1e-3, 0.5, 0.8)],
)
def test_schedule_agrees_with_the_released_programs(
    golden, program, weight_decay, decay_factor, decay_momentum
):
    numbers = golden("eval_bookkeeping")
    protocol = Protocol(
        epochs=1001,
        batch_size=256,
        momentum=0.9,
        weight_decay=weight_decay,
        decay_epoch=502,
        decay_factor=decay_factor,
        decay_momentum=decay_momentum,
        reset_momentum=True,
    )
    assert len(numbers[f"{program}/lr_per_epoch"]) == protocol.epochs
    rates, momenta, emptied = jax.vmap(
        lambda epoch: evaluate.schedule(protocol, float(numbers["lr_net"]), epoch)
    )(jnp.arange(protocol.epochs))
    close(rates, numbers[f"{program}/lr_per_epoch"], 2e-8)
    close(momenta, numbers[f"{program}/momentum_per_epoch"], 3e-8)
    np.testing.assert_array_equal(emptied, numbers[f"{program}/new_optimizer"])
    decays = np.full(protocol.epochs, protocol.weight_decay, np.float32)
    close(decays, numbers[f"{program}/weight_decay_per_epoch"], 5e-8)


def test_mean_and_deviation_are_those_of_the_released_program(golden):
    numbers = golden("eval_bookkeeping")
    for accuracies, mean, std in zip(
        numbers["accs"], numbers["accs_mean"], numbers["accs_std"], strict=True
    ):
        nothing = np.zeros(len(accuracies))
        result = Evaluation(accuracies, nothing, nothing.astype(bool), accuracies)
        assert result.mean == pytest.approx(float(mean), rel=1e-6)
        assert result.std == pytest.approx(float(std), rel=1e-5)
