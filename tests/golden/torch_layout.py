"""Moves flat vectors between PyTorch's parameter order and ours.

The golden files hold vectors in PyTorch's order, ours have another (`dpd_jax/networks/layout.py`).
"""

import numpy as np

from dpd_jax.networks import layout


def nhwc(images):
    """NCHW -> NHWC."""
    return np.moveaxis(np.asarray(images), 1, -1)


def close(ours, theirs, spread, *, what=""):
    """Asserts the tolerance of the golden files, relative to the largest magnitude.

    It is 20 x spread, and at least 5e-6.
    """
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, (what, ours.shape, theirs.shape)
    tolerance = max(20 * spread, 5e-6)
    error = np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs))
    assert error <= tolerance, f"{what}: relative error {error:.2e} > {tolerance:.2e}"


def to_ours(network, flat):
    """A PyTorch-order vector [P] in our order."""
    return np.asarray(flat)[layout.places_in_pytorch(network.parameters)]


def to_theirs(network, flat):
    """Our vector [P] in PyTorch's order."""
    out = np.empty(network.num_params, np.asarray(flat).dtype)
    out[layout.places_in_pytorch(network.parameters)] = np.asarray(flat)
    return out
