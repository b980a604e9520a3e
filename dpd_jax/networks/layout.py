"""The position of each parameter in the flat vector, here and in PyTorch.

PAD masks weights by their position in PyTorch's vector. The order of layers is the same in both
vectors, from shallow to deep. Within a layer our vector has the order of a raveled linen tree: the
bias before the kernel, kernels [h, w, in, out], and classifiers of [h, w, channel] maps. PyTorch
has the weight before the bias, kernels [out, in, h, w], and classifiers of [channel, h, w] maps.
"""

import functools
import itertools
import math
from typing import Any, NamedTuple

import jax
import numpy as np


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
    for _, layer in itertools.groupby(parameters, lambda parameter: parameter.layer):
        for parameter in sorted(layer, key=lambda parameter: parameter.path.endswith("/bias")):
            own = parameter.offset + np.arange(parameter.size).reshape(parameter.shape)
            places[_as_pytorch(own, channels).ravel()] = np.arange(first, first + parameter.size)
            first += parameter.size
            if len(parameter.shape) in (2, 4):
                channels = parameter.shape[-1]
    return places


def _as_pytorch(array: np.ndarray, channels: int) -> np.ndarray:
    """An array with PyTorch's axes. `channels`: those of the map that a classifier reads."""
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    if array.ndim == 3:  # A norm with one scale per element of the map.
        return array.transpose(2, 0, 1)
    if array.ndim == 2:
        if len(array) % channels:  # Its input is not such a map.
            channels = 1
        return array.reshape(-1, channels, array.shape[1]).transpose(2, 1, 0)
    return array
