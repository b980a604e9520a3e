"""Four whole iterations of the released DATM loop, its gate and momenta included."""

import jax
import jax.numpy as jnp
import optax

from dpd_jax import matching as matching_lib
from dpd_jax import student as student_lib
from dpd_jax.optimizers import Rule
from dpd_jax.synthetic import SyntheticSet
from tests import toys
from tests.golden.test_student import network, synthetic_set
from tests.golden.torch_layout import close, to_ours


def test_outer_loop(golden):
    numbers = golden("outer_datm")
    net = network(16)
    start = jnp.asarray(to_ours(net, numbers["start_params"]))
    target = jnp.asarray(to_ours(net, numbers["target_params"]))
    student = toys.student(syn_steps=3)
    rules = [
        Rule("sgd", float(rate), float(momentum))
        for rate, momentum in zip(numbers["outer_lr"], numbers["outer_momentum"], strict=True)
    ]
    outer = toys.outer(
        images=rules[0],
        labels=rules[1],
        step_size=rules[2],
        step_size_update="plain",
        initial_step_size=float(numbers["syn_lr"]),
    )
    optimizer = outer.optimizer()

    @jax.jit
    def gradient(syn, index):
        def loss(syn):
            seen = student_lib.train(
                start,
                syn,
                index,
                jax.random.split(jax.random.key(0), 3),
                jnp.ones(()),
                network=net,
                student=student,
                matched_steps=(3,),
            )
            return matching_lib.normalised_distance(
                seen[-1], target, start, jnp.ones_like(start) > 0
            )

        return jax.value_and_grad(loss)(syn)

    syn: SyntheticSet = synthetic_set(numbers, hard=False)
    state = optimizer.init(syn)
    for i, index in enumerate(numbers["batch_index"]):
        loss, gradients = gradient(syn, jnp.asarray(index, jnp.int32))
        close(loss, numbers["losses"][i], 5e-7, what=f"loss {i}")
        if loss <= numbers["threshold"][i]:
            updates, state = optimizer.update(gradients, state, syn)
            syn = optax.apply_updates(syn, updates)
        close(jnp.moveaxis(syn.images, -1, 1), numbers["images_after"][i], 1e-6, what="images")
        close(syn.labels, numbers["label_logits_after"][i], 1e-6, what="labels")
        close(syn.step_size, numbers["syn_lr_after"][i], 5e-7, what="step size")
