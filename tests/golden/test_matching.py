"""Pruned losses and their gradients against the original programs' runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpd_jax import matching as matching_lib
from tests.golden import test_student
from tests.golden.torch_layout import close, to_ours, to_theirs

VARIANTS = {
    "dpd": dict(pruning_rate=0.1),
    "pad_low25": dict(pruning_rate=0.25, pruned="smallest"),
    "pad_depth25": dict(masks=("depth",), depth_ratio=0.25),
    "ddpp_signed": dict(masks=("ratio",), ratio_signed=True),
    "ddpp_abs": dict(masks=("ratio",), ratio_signed=False),
}
SPREAD = {  # of grad_student and grad_images, from the table of the golden files
    "dpd": (1e-4, 6e-6),
    "pad_low25": (3e-5, 4e-6),
    "pad_depth25": (3e-5, 3e-6),
    "ddpp_signed": (4e-5, 3e-6),
    "ddpp_abs": (4e-5, 3e-6),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_mask_and_loss(golden, variant):
    numbers = golden("pruned", variant)
    net = test_student.network(16)
    student, target, start = (
        jnp.asarray(to_ours(net, numbers[name]))
        for name in ("student_params", "target_params", "start_params")
    )
    matching = matching_lib.Matching(**VARIANTS[variant])
    keep = matching_lib.keep_mask(student, target, start, matching, net.parameters)
    np.testing.assert_array_equal(to_theirs(net, keep), numbers[f"{variant}/mask"].astype(bool))

    def loss(student):
        keep = matching_lib.keep_mask(student, target, start, matching, net.parameters)
        return matching_lib.normalised_distance(student, target, start, keep)

    value, gradient = jax.value_and_grad(loss)(student)
    close(value, numbers[f"{variant}/loss"], 3e-7, what="loss")
    close(
        to_theirs(net, gradient),
        numbers[f"{variant}/grad_student"],
        SPREAD[variant][0],
        what="student",
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradient_through_all_steps(golden, variant):
    numbers = golden("pruned", variant)
    net = test_student.network(16)
    keep = jnp.asarray(to_ours(net, numbers[f"{variant}/mask"]).astype(bool))
    loss, gradients, _ = test_student.value_and_grad(net, numbers, "exact", False, keep)
    close(loss, numbers[f"{variant}/loss"], 3e-7, what="loss")
    close(
        jnp.moveaxis(gradients.images, -1, 1),
        numbers[f"{variant}/grad_images"],
        SPREAD[variant][1],
        what="images",
    )
    close(gradients.labels, numbers[f"{variant}/grad_label_logits"], 4e-6, what="labels")
    close(gradients.step_size, numbers[f"{variant}/grad_lr"], 5e-6, what="step size")
