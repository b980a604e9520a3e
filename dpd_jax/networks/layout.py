"""The position of each parameter in the flat vector, here and in PyTorch.

PAD masks weights by their position in PyTorch's vector, and experts of PyTorch programs are kept in
its order. The order of layers is the same in both vectors, from shallow to deep. Within a
layer our vector has the order of a raveled linen tree: the bias before the kernel, kernels
[h, w, in, out], and classifiers of [h, w, channel] maps. PyTorch has the weight before the bias,
kernels [out, in, h, w], and classifiers of [channel, h, w] maps.
"""

import functools
import itertools
import math
from typing import Any, NamedTuple

import jax
import numpy as np

# Number of axes -> our axes in PyTorch's order: vectors, matrices, norms with a scale per element
# of the map, kernels.
_PYTORCH_AXES = {1: (0,), 2: (1, 0), 3: (2, 0, 1), 4: (3, 2, 0, 1)}


class Parameter(NamedTuple):
    """A parameter array and its position in the flat vector."""

    path: str  # "block_0/conv/kernel"
    shape: tuple[int, ...]
    offset: int  # of its first element

    @property
    def layer(self) -> str:
        return self.path.rpartition("/")[0]

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def part(self) -> slice:
        """Its slice of the flat vector."""
        return slice(self.offset, self.offset + self.size)


def parameters(tree: Any) -> tuple[Parameter, ...]:
    """The arrays of a parameter tree (or their shapes) in the order of its raveled vector."""
    found, offset = [], 0
    for path, array in jax.tree.leaves_with_path(tree):
        parameter = Parameter(
            jax.tree_util.keystr(path, simple=True, separator="/"), array.shape, offset
        )
        found.append(parameter)
        offset += parameter.size
    return tuple(found)


@functools.lru_cache(maxsize=16)
def places_in_pytorch(parameters: tuple[Parameter, ...]) -> np.ndarray:
    """The position in PyTorch's vector of each coordinate of our flat vector.

    The inputs of a matrix are assumed to be the outputs of the kernel before it. `parameters` are
    the arrays of the vector, in order. The result is int64 [P].
    """
    places = np.empty(sum(parameter.size for parameter in parameters), np.int64)
    first, channels = 0, 1
    for parameter in in_order_of_pytorch(parameters):
        own = parameter.offset + np.arange(parameter.size).reshape(parameter.shape)
        places[_as_pytorch(own, channels).ravel()] = np.arange(first, first + parameter.size)
        first += parameter.size
        if len(parameter.shape) in (2, 4):
            channels = parameter.shape[-1]
    return places


def in_order_of_pytorch(parameters: tuple[Parameter, ...]) -> list[Parameter]:
    """The arrays in the order of `parameters()` of PyTorch; `shape_in_pytorch` has their shapes."""
    layers = itertools.groupby(parameters, lambda parameter: parameter.layer)
    return [
        parameter
        for _, layer in layers
        for parameter in sorted(layer, key=lambda parameter: parameter.path.endswith("/bias"))
    ]


def shape_in_pytorch(parameter: Parameter) -> tuple[int, ...]:
    """The shape of this array in PyTorch."""
    return tuple(parameter.shape[axis] for axis in _PYTORCH_AXES[len(parameter.shape)])


def _as_pytorch(array: np.ndarray, channels: int) -> np.ndarray:
    """An array with PyTorch's axes. `channels`: those of the map that a classifier reads."""
    if array.ndim == 2:
        if len(array) % channels:  # Its input is not such a map.
            channels = 1
        return array.reshape(-1, channels, array.shape[1]).transpose(2, 1, 0)
    return array.transpose(_PYTORCH_AXES[array.ndim])
