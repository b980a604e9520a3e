"""The forecast of an architecture search, timed on this machine."""

from collections.abc import Sequence

import numpy as np

from dpd_jax import flops, networks
from dpd_jax.judging.search.training import Group, Trainer
from dpd_jax.runs import console
from dpd_jax.runs.forecast import long


def forecast(trainer: Trainer, work: Sequence[Group]) -> list[float]:
    """Prints the cost of some groups; returns the seconds of each.

    For each protocol, an epoch of the first and of the last network shape is timed. A straight line
    over the operations of a network gives the others. All shapes compile one program per protocol.
    """
    if not work:
        return []
    costs = np.zeros(len(work))
    compiled = 0.0
    by_network = {group.network: group for group in work}
    known = {network: _operations(group) for network, group in by_network.items()}
    operations = np.array([known[group.network] for group in work], float)
    protocols = list(dict.fromkeys(group.candidate.protocol for group in work))
    with console.Bar("forecast", len(protocols), unit=" protocols") as bar:
        for done, protocol in enumerate(protocols):
            own = [i for i, group in enumerate(work) if group.candidate.protocol == protocol]
            first, last = own[0], own[-1]
            compiling, cheap = trainer.seconds(work[first])
            bar.to(done + 0.5)
            other, dear = trainer.seconds(work[last]) if last != first else (compiling, cheap)
            bar.to(done + 1)
            compiled += len({work[i].network for i in own}) * (compiling + other) / 2
            epoch = np.interp(operations[own], operations[[first, last]], [cheap, dear])
            costs[own] = epoch * protocol.epochs
    console.say("forecast, timed on this machine:")
    for name in dict.fromkeys(group.candidate.name for group in work):
        own = [i for i, group in enumerate(work) if group.candidate.name == name]
        count = sum(len(work[i].members) for i in own)
        epochs = work[own[0]].candidate.protocol.epochs
        console.say(f"  {name}: {count} networks, {epochs:,} epochs: {long(costs[own].sum())}")
    console.say(f"  compilation: {long(compiled)}")
    console.say(f"  in all: {long(costs.sum() + compiled)}")
    return list(costs + compiled / len(work))


def _operations(group: Group) -> int:
    """Of a forward pass of one image by a network of the group's shape."""
    network, one = group.network, group.members[0][0]
    plain = networks.create(
        "convnet",
        image_shape=network.image_shape,
        num_classes=network.num_classes,
        stem_padding=network.module.stem_padding,
        convolution=network.module.convolution,
        **one._asdict(),
    )
    return flops.forward(plain)
