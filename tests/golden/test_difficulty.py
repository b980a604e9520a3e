"""EL2N scores against those computed in PyTorch (el2n.npz)."""

import jax.numpy as jnp

from dpd_jax import el2n
from tests.golden.torch_layout import close


def test_scores(golden):
    numbers = golden("el2n")
    labels = jnp.asarray(numbers["labels"].astype("int32"))
    close(el2n.el2n(jnp.asarray(numbers["logits"]), labels), numbers["scores"], 3e-7)
