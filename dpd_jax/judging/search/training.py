"""Trains every ConvNet of a space on every candidate of an architecture search."""

import functools
import itertools
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dpd_jax import evaluate
from dpd_jax.augment import Augmentation
from dpd_jax.datasets.model_images import JoinedImages
from dpd_jax.evaluate import EvalState
from dpd_jax.judging.search.candidates import Candidate
from dpd_jax.judging.search.results import SearchResults
from dpd_jax.judging.search.space import Architecture
from dpd_jax.networks import Network
from dpd_jax.runs import console

# Folded into the key of a network, of which `evaluate.init` splits off the streams 0 and 1.
_ORDERS = 2


class Group(NamedTuple):
    """Networks of one shape on one candidate that are still to be trained."""

    network: Network
    candidate: Candidate
    missing: list[tuple[Architecture, int]]  # with the number of the network


class Trainer(NamedTuple):
    """What all networks of a search have in common.

    Attributes:
      images, label_logits: the pool, [p, h, w, c] in model space and [p, k]: the images of every
        set, then the training images. One pool lets candidates share compiled programs.
      augmentation: of all training.
      root: key; network i uses `fold_in(root, i)`, whatever its architecture and candidate.
      at_once: networks trained side by side; speed only, up to rounding.
      test_batch: images tested at a time; speed only.
    """

    images: jax.Array | JoinedImages
    label_logits: jax.Array
    augmentation: Augmentation
    root: jax.Array
    at_once: int
    test_batch: int

    def train(self, group: Group, members: Sequence[tuple[Architecture, int]]) -> list[float]:
        """Trains these networks of a group side by side; returns their accuracies."""
        epochs, state, orders = self._start(group, members)
        chunk, total = evaluate.epochs_a_call(group.candidate.protocol), orders.shape[-2]
        for begin in range(0, total, chunk):
            # The last call may have too few epochs; those beyond the protocol's do nothing.
            rows = jnp.minimum(jnp.arange(begin, begin + chunk), total - 1)
            state, _ = self._call(epochs, state, jnp.take(orders, rows, -2), group.candidate)
        accuracies = []
        for i in range(len(members)):
            trained = (state.params, state.stats)
            if len(members) > 1:
                trained = jax.tree.map(lambda x, i=i: x[i], trained)
            tested = (group.candidate.images, group.candidate.labels)
            accuracies.append(evaluate.accuracy(group.network, *trained, *tested, self.test_batch))
        return accuracies

    def seconds(self, group: Group) -> tuple[float, float]:
        """Seconds of compilation, and of one epoch of as many networks as train side by side."""
        members = group.missing[: self.at_once]
        epochs, state, orders = self._start(group, members)
        protocol = group.candidate.protocol
        chunk = evaluate.epochs_a_call(protocol)
        orders = jnp.take(orders, jnp.zeros(chunk, jnp.int32), -2)
        taken = []
        for left in (1, 1, chunk):
            start = time.monotonic()
            first = state._replace(epoch=jnp.int32(protocol.epochs - left))
            jax.block_until_ready(self._call(epochs, first, orders, group.candidate))
            taken.append((time.monotonic() - start) / left)
            if len(taken) > 1 and taken[-1] > 0.2:
                break  # Long enough to be timed once.
        return max(taken[0] - taken[1], 0.0), taken[-1]

    def _start(self, group, members) -> tuple[Callable, EvalState, jax.Array]:
        """The compiled function, fresh networks, and the order of their images."""
        network, candidate = group.network, group.candidate
        folded = jax.vmap(jax.random.fold_in, (None, 0))
        own = folded(self.root, jnp.array([number for _, number in members]))
        orders = [candidate.orders(jax.random.fold_in(key, _ORDERS)) for key in own]
        choices = [architecture.choice() for architecture, _ in members]
        several = len(members) > 1
        if several:
            init = functools.partial(evaluate.init, network)
            state = jax.vmap(init, out_axes=evaluate.SIDE_BY_SIDE)(own)
            chosen = jax.tree.map(lambda *each: jnp.stack(each), *choices)
        else:
            state, chosen = evaluate.init(network, own[0]), choices[0]
        state = state._replace(stats=state.stats | chosen)
        epochs = evaluate.make_epochs(
            network,
            candidate.protocol,
            self.augmentation,
            evaluate.epochs_a_call(candidate.protocol),
            side_by_side=several,
        )
        return epochs, state, jnp.stack(orders) if several else orders[0]

    def _call(self, epochs, state, orders, candidate):
        return epochs(state, self.images, self.label_logits, candidate.learning_rate, orders)


def groups(
    families: Sequence[tuple[Network, list[Architecture]]],
    candidates: Sequence[Candidate],
    results: SearchResults,
) -> list[Group]:
    """What is still to be trained, shape by shape."""
    found = []
    for (network, members), candidate in itertools.product(families, candidates):
        # By number: a network's accuracy is appended to those of the smaller numbers.
        missing = [
            (architecture, number)
            for number in range(candidate.networks)
            for architecture in members
            if number >= len(results.accuracies(candidate.identity, architecture.name))
        ]
        if missing:
            found.append(Group(network, candidate, missing))
    return found


def search(trainer: Trainer, work: Sequence[Group], costs: Sequence[float], results) -> None:
    """Trains all that is missing and stores every network.

    Args:
      trainer: trains.
      work: the groups, with their forecast seconds `costs`.
      results: the store (SearchResults).
    """
    total, done = sum(costs), 0.0
    with console.Bar("search", 1.0) as bar:
        for group, cost in zip(work, costs, strict=True):
            candidate, missing = group.candidate, group.missing
            for first in range(0, len(missing), trainer.at_once):
                members = missing[first : first + trainer.at_once]
                bar.to(done / total, now=f"{candidate.name}, {members[0][0].name}")
                start = time.monotonic()
                accuracies = trainer.train(group, members)
                names = [architecture.name for architecture, _ in members]
                found = list(zip(names, accuracies, strict=True))
                results.add(candidate.identity, found, time.monotonic() - start)
                done += cost * len(members) / len(missing)
        bar.to(1.0)
