"""The spaces of ConvNets that an architecture search chooses from."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from dpd_jax.networks import Network, convnet, convnet_family, convolution
from dpd_jax.networks.convnet_family import ConvNetFamily

# "720": the grid of Zhao, Mopuri and Bilen (2021), which later papers use. "small" is ours; it is
# for digits and Fashion-MNIST on two cores.
SPACES: dict[str, dict[str, tuple]] = {
    "720": {
        "width": (32, 64, 128, 256),
        "depth": (1, 2, 3, 4),
        "norm": ("none", "batch", "layer", "instance", "group"),
        "pooling": ("none", "max", "average"),
        "activation": ("sigmoid", "relu", "leaky_relu"),
    },
    "small": {
        "width": (8, 16),
        "depth": (1, 2, 3),
        "norm": ("none", "batch", "instance"),
        "pooling": ("max", "average"),
        "activation": ("sigmoid", "relu"),
    },
}


class Architecture(NamedTuple):
    """One ConvNet of a space; the fields are options of `convnet.ConvNet`."""

    width: int
    depth: int
    norm: str
    pooling: str
    activation: str

    @property
    def name(self) -> str:
        """For example "w32-d3-instance-average-relu"."""
        return f"w{self.width}-d{self.depth}-{self.norm}-{self.pooling}-{self.activation}"

    def choice(self) -> dict[str, Any]:
        """The statistics that make its family this ConvNet."""
        return convnet_family.choice(self.norm, self.activation, self.pooling)


def space(name: str) -> list[Architecture]:
    """All architectures of a space, a name in SPACES."""
    return [Architecture(*values) for values in itertools.product(*SPACES[name].values())]


def fits(architecture: Architecture, image_shape: tuple[int, int, int], stem_padding: int) -> bool:
    """Whether the images allow so many poolings."""
    side = min(image_shape[:2]) + 2 * (stem_padding - 1)
    return architecture.depth <= convnet.deepest(side, architecture.pooling)


def families(
    architectures: Sequence[Architecture],
    *,
    image_shape: tuple[int, int, int],
    num_classes: int,
    stem_padding: int,
    method: str,
    precision: str = "float32",
) -> list[tuple[Network, list[Architecture]]]:
    """Networks, each with the architectures of its shape, the cheapest shapes first.

    `method` is `network.convolution`, and `precision` is `network.precision`.
    """
    members: dict[tuple[bool, int, int], list[Architecture]] = {}
    for one in architectures:
        members.setdefault((one.pooling != "none", one.width, one.depth), []).append(one)
    found = []
    for pooled, width, depth in sorted(members, key=lambda key: (not key[0], *key[1:])):
        module = ConvNetFamily(
            num_classes=num_classes,
            width=width,
            depth=depth,
            pooled=pooled,
            stem_padding=stem_padding,
            convolution=convolution.resolve(method),
        )
        network = Network(module, image_shape, num_classes, precision)
        found.append((network, members[pooled, width, depth]))
    return found
