"""Moves flat vectors between PyTorch's parameter order and ours.

The golden files hold vectors in PyTorch's registration order (weight, bias,
layer by layer; convolutions OIHW; the classifier reads a (C, H, W) map). Ours
are raveled linen trees (bias before kernel, HWIO, (H, W, C)).
"""

import jax
import numpy as np
from flax import traverse_util
from jax.flatten_util import ravel_pytree


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


def convnet_permutation(network) -> np.ndarray:
    """Index array p with `ours = theirs[p]` for a ConvNet.

    `network` is a dpd_jax Network; its leaves name paths, shapes and order.
    Only layers `block_*/conv`, `block_*/norm` and `classifier` are known.
    """
    shapes = {parameter.path: parameter.shape for parameter in network.parameters}
    blocks = sorted({p.split("/")[0] for p in shapes if p.startswith("block_")})
    parts, offset = {}, 0

    def take(path, torch_shape, arrange):
        nonlocal offset
        size = int(np.prod(torch_shape))
        index = np.arange(offset, offset + size).reshape(torch_shape)
        offset += size
        parts[path] = arrange(index)

    channels = None
    for block in blocks:
        h, w, i, o = shapes[f"{block}/conv/kernel"]
        take(f"{block}/conv/kernel", (o, i, h, w), lambda a: a.transpose(2, 3, 1, 0))
        take(f"{block}/conv/bias", (o,), lambda a: a)
        if f"{block}/norm/scale" in shapes:
            shape = shapes[f"{block}/norm/scale"]
            torch_shape = shape if len(shape) == 1 else (shape[2], shape[0], shape[1])
            arrange = (lambda a: a) if len(shape) == 1 else (lambda a: a.transpose(1, 2, 0))
            take(f"{block}/norm/scale", torch_shape, arrange)
            take(f"{block}/norm/bias", torch_shape, arrange)
        channels = o
    features, classes = shapes["classifier/kernel"]
    side = round((features / channels) ** 0.5)
    take(
        "classifier/kernel",
        (classes, channels, side, side),
        lambda a: a.transpose(2, 3, 1, 0).reshape(features, classes),
    )
    take("classifier/bias", (classes,), lambda a: a)
    tree = traverse_util.unflatten_dict({tuple(k.split("/")): v for k, v in parts.items()})
    return np.asarray(ravel_pytree(jax.tree.map(lambda a: a.astype(np.int32), tree))[0])


def to_ours(network, flat):
    """A PyTorch-order vector [P] in our order."""
    return np.asarray(flat)[convnet_permutation(network)]


def to_theirs(network, flat):
    """Our vector [P] in PyTorch's order."""
    out = np.empty(network.num_params, np.asarray(flat).dtype)
    out[convnet_permutation(network)] = np.asarray(flat)
    return out
