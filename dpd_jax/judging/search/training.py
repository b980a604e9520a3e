"""Trains every ConvNet of a space on every candidate of an architecture search."""

import functools
import itertools
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
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
from dpd_jax.runs import console, shared_work

# Folded into the key of a network, of which `evaluate.init` splits off the streams 0 and 1.
_ORDERS = 2


class Group(NamedTuple):
    """Networks of one shape on one candidate that train side by side."""

    network: Network
    candidate: Candidate
    members: list[tuple[Architecture, int]]  # with the number of the network


class Trainer(NamedTuple):
    """What all networks of a search have in common.

    Attributes:
      images, label_logits: the pool, [p, h, w, c] in model space and [p, k]: the images of every
        set, then the training images. One pool lets candidates share compiled programs.
      augmentation: of all training.
      root: key; network i uses `fold_in(root, i)`, whatever its architecture and candidate.
      test_batch: images tested at a time; speed only.
    """

    images: jax.Array | JoinedImages
    label_logits: jax.Array
    augmentation: Augmentation
    root: jax.Array
    test_batch: int

    def train(self, group: Group) -> list[float]:
        """Trains the networks of a group side by side; returns their accuracies."""
        epochs, state, orders = self._start(group)
        chunk, total = evaluate.epochs_a_call(group.candidate.protocol), orders.shape[-2]
        for begin in range(0, total, chunk):
            # The last call may have too few epochs; those beyond the protocol's do nothing.
            rows = jnp.minimum(jnp.arange(begin, begin + chunk), total - 1)
            state, _ = self._call(epochs, state, jnp.take(orders, rows, -2), group.candidate)
        accuracies = []
        for i in range(len(group.members)):
            trained = (state.params, state.stats)
            if len(group.members) > 1:
                trained = jax.tree.map(lambda x, i=i: x[i], trained)
            tested = (group.candidate.images, group.candidate.labels)
            accuracies.append(evaluate.accuracy(group.network, *trained, *tested, self.test_batch))
        return accuracies

    def seconds(self, group: Group) -> tuple[float, float]:
        """Seconds of compilation, and of one epoch of a group."""
        epochs, state, orders = self._start(group)
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

    def _start(self, group: Group) -> tuple[Callable, EvalState, jax.Array]:
        """The compiled function, fresh networks, and the order of their images."""
        network, candidate, members = group
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
    at_once: int,
) -> list[Group]:
    """All networks of a search, shape by shape, in groups of up to `at_once`."""
    found = []
    for (network, shape), candidate in itertools.product(families, candidates):
        members = list(itertools.product(range(candidate.networks), shape))
        for first in range(0, len(members), at_once):
            own = [(architecture, number) for number, architecture in members[first:][:at_once]]
            found.append(Group(network, candidate, own))
    return found


def missing(work: Sequence[Group], results: SearchResults) -> dict[int, Group]:
    """The groups of `work` with the networks that are still to be trained, by their places."""
    stored, found = results.networks(), {}
    for place, group in enumerate(work):
        identity = group.candidate.identity
        left = [one for one in group.members if (identity, one[0].name, one[1]) not in stored]
        if left:
            found[place] = group._replace(members=left)
    return found


def search(
    trainer: Trainer,
    work: Sequence[Group],
    seconds: Mapping[int, float],
    results: SearchResults,
    folder: pathlib.Path,
    settings: str,
) -> None:
    """Trains all that is missing and stores every network.

    Other processes may do the same: each group is trained by one of them.

    Args:
      trainer: trains.
      work: the groups.
      seconds: the forecast of those with missing networks, by their place in `work`.
      results: the store.
      folder: of the search, in which other processes have the same `settings`.
    """

    def show(now: str) -> None:
        left = sum(seconds[place] for place in missing(work, results))
        bar.to(1 - left / sum(seconds.values()), now=now)

    def train(places: list[int]) -> None:
        group = missing(work, results)[places[0]]
        show(f"{group.candidate.name}, {group.members[0][0].name}")
        start = time.monotonic()
        accuracies = trainer.train(group)
        found = [(a.name, n, x) for (a, n), x in zip(group.members, accuracies, strict=True)]
        results.add(group.candidate.identity, found, time.monotonic() - start)

    with console.Bar("search", 1.0) as bar:
        shared_work.share(
            lambda: list(missing(work, results)),
            train,
            lambda _: show("waiting for other processes"),
            folder=folder,
            flag="--workdir",
            at_once=1,
            settings=settings,
        )
        bar.to(1.0)
