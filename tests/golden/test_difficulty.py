"""EL2N scores against those of the PyTorch network (el2n.npz)."""

import jax.numpy as jnp

from dpd_jax import difficulty, evaluate
from tests import toys
from tests.golden.torch_layout import close, nhwc, to_ours

NETWORK = toys.convnet(width=16, depth=3, image_shape=(32, 32, 3), num_classes=10)


def test_scores(golden):
    numbers = golden("el2n")
    params = to_ours(NETWORK, numbers["flat_params"])
    logits = evaluate.logits(NETWORK, params, {}, nhwc(numbers["images"]), 64)
    close(logits, numbers["logits"], 8e-7, what="logits")
    labels = jnp.asarray(numbers["labels"].astype("int32"))
    close(difficulty.el2n(logits, labels), numbers["scores"], 3e-7, what="scores")
