"""The growing upper bound of the released DATM loop, and FTD's average."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dpd_jax import curriculum as curriculum_lib
from dpd_jax.curriculum import Curriculum
from tests.golden.torch_layout import close


def test_upper_bound(golden):
    numbers = golden("eval_bookkeeping")
    for (first, last, end), bounds in zip(
        numbers["upper_settings"], numbers["upper_bound"], strict=True
    ):
        if last > first and end % (last - first):
            continue  # Their interval is not a whole number of steps; no paper uses one.
        interval = int(end // (last - first)) if last > first else 0
        curriculum = Curriculum(
            expert_epochs=2,
            min_start_epoch=0,
            current_max_start_epoch=int(first),
            max_start_epoch=int(last),
            expansion_interval=interval,
            inclusive=False,
        )
        ours = jax.vmap(functools.partial(curriculum_lib.upper_bound, curriculum=curriculum))(
            jnp.asarray(numbers["upper_iterations"], jnp.int32)
        )
        np.testing.assert_array_equal(ours, bounds)


def test_average(golden):
    numbers = golden("eval_bookkeeping")
    average = numbers["ema_sequence"][0]
    for images in numbers["ema_sequence"][1:]:
        average = optax.incremental_update(images, average, 1 - 0.999)
    close(average, numbers["ema_images"], 5e-8)
