"""Experts of the PyTorch programs: their files replay_buffer_0.pt, replay_buffer_1.pt, ...

A file is a list of experts, an expert a list of snapshots, the first one before training and one
after each epoch, and a snapshot the list of a network's parameters in PyTorch's order.
"""

import glob
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from dpd_jax.errors import UserError
from dpd_jax.interchange import pytorch_files
from dpd_jax.networks import Network, layout
from dpd_jax.networks.convnet import ConvNet
from dpd_jax.storage.trajectories import TrajectoryStore


def find(pattern: pathlib.Path) -> list[pathlib.Path]:
    """The files of a pattern such as "buffers/replay_buffer_*.pt", in the order of their numbers.

    Raises:
      UserError: if there is none.
    """
    found = [pathlib.Path(name) for name in glob.glob(str(pattern))]
    if not found:
        raise UserError(f"no file is called {pattern}.")
    return sorted(found, key=lambda path: (path.parent, _number(path), path.name))


def check(paths: Sequence[pathlib.Path], network: Network) -> int:
    """Checks the layout of all files, without reading weights; returns the number of experts.

    Raises:
      UserError: for a file that is no such list, experts of another network than this one, and a
        network that is no ConvNet.
    """
    if not isinstance(network.module, ConvNet):
        raise UserError(
            f"experts of PyTorch programs can be imported for ConvNets only, but the network is "
            f"a {type(network.module).__name__}. Set network.name=convnet."
        )
    wanted = [
        layout.shape_in_pytorch(parameter)
        for parameter in layout.in_order_of_pytorch(network.parameters)
    ]
    count = 0
    for path in paths:
        for place, snapshots in enumerate(_experts(path)):
            for epoch, snapshot in enumerate(snapshots):
                shapes = [tuple(tensor.shape) for tensor in snapshot]
                if shapes != wanted:
                    raise UserError(
                        f"{path}, expert {place}, epoch {epoch} is of another network than the "
                        f"config's:\n  file:   {_described(shapes)}\n  config: "
                        f"{_described(wanted)}\nSet network.width, depth and norm, or choose the "
                        "config of the data set."
                    )
            count += 1
    return count


def copy(
    paths: Sequence[pathlib.Path],
    network: Network,
    store: TrajectoryStore,
    progress: Callable[[int], None],
) -> dict[int, list[int]]:
    """Writes the experts of the files into a store, numbered from 0 in the order of the files.

    Experts that the store has already are compared with those of the files, so the same call
    continues an interrupted one.

    Args:
      paths: files that `check` accepts.
      network: gives the layout of our vector.
      store: for experts of this network.
      progress: called with the number of experts that are done.

    Returns:
      The epochs of each expert.

    Raises:
      UserError: if weights are not finite, the store has another expert of the same number, or
        the errors of `TrajectoryStore.write`.
    """
    places = layout.places_in_pytorch(network.parameters)
    present = store.experts()
    copied: dict[int, list[int]] = {}
    for path in paths:
        for place, tensors in enumerate(_experts(path)):
            expert = len(copied)
            snapshots = {epoch: _vector(tensor)[places] for epoch, tensor in enumerate(tensors)}
            for epoch, snapshot in snapshots.items():
                if not np.isfinite(snapshot).all():
                    raise UserError(
                        f"{path}, expert {place}: the weights of epoch {epoch} are not finite. "
                        "Leave this file out of --buffers."
                    )
            if expert not in present:
                store.write(expert, snapshots)
            elif not store.holds(expert, snapshots):
                raise UserError(
                    f"{store.path(expert)} is another expert than number {place} of {path}. Name "
                    "another --experts_dir for these files."
                )
            copied[expert] = list(snapshots)
            progress(len(copied))
    return copied


def _number(path: pathlib.Path) -> int:
    """The last number in a file's name, so that 10 comes after 9."""
    numbers = re.findall(r"\d+", path.stem)
    return int(numbers[-1]) if numbers else -1


def _experts(path: pathlib.Path) -> Iterator[list]:
    """The experts of a file, each a list of snapshots."""
    tensor = pytorch_files.torch().Tensor
    experts = pytorch_files.load(path)

    def is_list(value, kind) -> bool:
        return (
            isinstance(value, list | tuple)
            and bool(value)
            and all(isinstance(part, kind) for part in value)
        )

    if not is_list(experts, (list, tuple)):
        raise UserError(f"{path} is no buffer of experts: it is no list of lists.")
    for place, snapshots in enumerate(experts):
        if not is_list(snapshots, (list, tuple)) or not all(is_list(s, tensor) for s in snapshots):
            raise UserError(
                f"{path} is no buffer of experts: expert {place} is no list of lists of tensors."
            )
        yield snapshots


def _vector(tensors: Sequence) -> np.ndarray:
    """The values of a snapshot in PyTorch's order, float32 [P]."""
    return np.concatenate([tensor.detach().float().numpy().ravel() for tensor in tensors])


def _described(shapes: Sequence[tuple[int, ...]]) -> str:
    """The shapes of a snapshot in the words of the config, as far as they tell."""
    kernels = [shape for shape in shapes if len(shape) == 4]
    matrices = [shape for shape in shapes if len(shape) == 2]
    words = [f"{len(shapes)} arrays of {sum(map(np.prod, shapes)):,} weights in all"]
    if kernels:
        words.append(f"depth {len(kernels)}, width {kernels[0][0]}, {kernels[0][1]} channel(s)")
    if matrices:
        words.append(f"{matrices[-1][0]} classes of {matrices[-1][1]} features")
    return ", ".join(words)
