"""AST's expert loss, balance, perturbation and student against its released program.

Where the paper differs from the program, the numbers are of the paper's formula.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpd_jax import alignment, experts, smoothing
from dpd_jax import matching as matching_lib
from dpd_jax import student as student_lib
from tests import toys
from tests.golden.test_student import network, synthetic_set
from tests.golden.torch_layout import close, nhwc, to_ours, to_theirs

NETWORK = toys.convnet(width=16, depth=2, image_shape=(32, 32, 3), num_classes=10)
PAPER = toys.smoothing(loss_scale=0.5, loss_scale_epochs=5, gradient_penalty=1.0)
# The program's factors on the cross entropy are .5, .55, ... .95 and then 1.
RELEASED = toys.smoothing(
    loss_scale=0.5, loss_scale_epochs=10, gradient_penalty=2.0, penalty_norm="pixel"
)
EPOCHS = {"paper": 0, "code_decay0.5": 0, "code_augmented": 4, "code_decay1": 10}


@pytest.mark.parametrize("chosen", [PAPER, RELEASED], ids=["paper", "released"])
def test_expert_loss(golden, chosen):
    numbers = golden("ast_gradient_penalty")
    images, labels = jnp.asarray(nhwc(numbers["images"])), jnp.asarray(numbers["labels"], jnp.int32)
    index = jnp.arange(len(images), dtype=jnp.int32)
    params = jnp.asarray(to_ours(NETWORK, numbers["flat_params"]))

    @jax.jit
    def run(params, seen, epoch):
        def loss(params):
            plain, key = toys.augmentation(), jax.random.key(0)
            entropy = experts.batch_loss(NETWORK, plain, params, seen, labels, index, key)
            return smoothing.smoothed(NETWORK, chosen, entropy, params, images, index, epoch)

        return jax.value_and_grad(loss)(params)

    for variant, epoch in EPOCHS.items():
        if (chosen is PAPER) != (variant == "paper"):
            continue
        seen = numbers.get(f"{variant}/ce_images", numbers["images"])
        loss, gradient = run(params, jnp.asarray(nhwc(seen)), jnp.asarray(epoch))
        close(loss, numbers[f"{variant}/loss"], 1e-7, what=f"{variant} loss")
        spread = 4e-6 if variant == "paper" else 1e-6
        close(to_theirs(NETWORK, gradient), numbers[f"{variant}/grad_flat"], spread, what=variant)


@pytest.mark.parametrize("name, choice", [("nu_paper", "log"), ("nu_code", "log5")])
def test_balance(golden, name, choice):
    numbers = golden("ast_balance_perturb")
    largest = int(numbers["max_start_epoch"])
    chosen = toys.alignment(balance=choice, max_start_epoch=largest)
    starts = jnp.asarray(numbers["start_epoch"], jnp.int32)
    ours = jax.vmap(lambda start: alignment.balance(start, chosen))(starts)
    close(ours, numbers[name], 4e-8, what=name)


@pytest.mark.parametrize(
    "name, form, strength", [("perturbed_paper", "filter", 0.1), ("perturbed_code", "tensor", 1.0)]
)
def test_perturbation(golden, name, form, strength):
    numbers = golden("ast_balance_perturb")
    noise = np.full(NETWORK.num_params, np.nan, np.float32)  # Only kernels have any.
    places = to_theirs(NETWORK, np.arange(NETWORK.num_params))
    offset = 0
    for number, size in enumerate((3, 16)):
        drawn = numbers[f"normal_draw{number}"].ravel()
        noise[places[offset : offset + drawn.size]] = drawn
        offset += 16 * 9 * size + 3 * 16  # Kernel, bias, norm's scale and shift.
    chosen = toys.alignment(perturbation=strength, perturbation_form=form)
    params = jnp.asarray(to_ours(NETWORK, numbers["flat_params"]))
    moved = alignment.perturb(params, jnp.asarray(noise), NETWORK.parameters, chosen)
    close(to_theirs(NETWORK, moved), numbers[name], 3e-8, what=name)


def test_student_with_momentum_balance_and_intermediate_matching(golden):
    numbers = golden("unroll_ast")
    net = network(16)
    kinds = {"final_only": "none", "sum": "equal", "adaptive": "adaptive"}
    chosen = {
        name: toys.alignment(
            expert_epochs=3,
            max_start_epoch=int(numbers["max_start_epoch"]),
            balance="log5",
            intermediate=intermediate,
            intermediate_steps="stride",
        )
        for name, intermediate in kinds.items()
    }
    student = toys.student(
        syn_steps=7, momentum=float(numbers["momentum"]), alignment=chosen["sum"]
    )
    expert = jnp.stack([jnp.asarray(to_ours(net, params)) for params in numbers["expert"]])

    @jax.jit
    def run(syn, weights):
        def loss(syn):
            seen = student_lib.train(
                expert[0],
                syn,
                jnp.asarray(numbers["batch_index"], jnp.int32),
                jax.random.split(jax.random.key(0), 7),
                alignment.balance(jnp.asarray(numbers["start_epoch"]), chosen["sum"]),
                network=net,
                student=student,
                matched_steps=student.matched_steps,
            )
            everything = jnp.ones(expert[0].shape, bool)
            parts = jnp.stack(
                [
                    matching_lib.normalised_distance(s, target, expert[0], everything)
                    for s, target in zip(seen, expert[1:], strict=True)
                ]
            )
            return jnp.vdot(weights, parts), seen

        return jax.value_and_grad(loss, has_aux=True)(syn)

    for name, variant in chosen.items():
        padded = (0.0,) * (3 - len(variant.weights)) + variant.weights
        (loss, seen), gradients = run(synthetic_set(numbers, hard=True), jnp.asarray(padded))
        close(loss, numbers[f"{name}/loss"], 2e-7, what=f"{name} loss")
        images = jnp.moveaxis(gradients.images, -1, 1)
        close(images, numbers[f"{name}/grad_images"], 3e-6, what=f"{name} images")
        close(gradients.step_size, numbers[f"{name}/grad_lr"], 4e-7, what=f"{name} step size")
    for step, params in zip((2, 4, 7), seen, strict=True):
        close(to_theirs(net, params), numbers["student_params"][step], 6e-7, what=f"step {step}")
