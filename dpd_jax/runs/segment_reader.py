"""Segments of expert trajectories, read ahead of the step that needs them."""

import collections
import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np

from dpd_jax import curriculum as curriculum_lib
from dpd_jax.curriculum import Curriculum
from dpd_jax.distill import TrajectorySegment
from dpd_jax.storage.trajectories import TrajectoryStore

_AHEAD = 4  # Steps read in advance; a read takes some 30 ms, most of it whatever its size.
_BLOCK = 64  # Steps drawn at once: a draw takes a millisecond, as many take hardly more.


@functools.partial(jax.jit, static_argnames=("curriculum", "num_experts", "segments"))
def _draws(raw_key, first, *, curriculum, num_experts, segments) -> curriculum_lib.Draw:
    """The draws of a block of steps from `first` on, [_BLOCK, K] each."""
    key = jax.random.wrap_key_data(raw_key)
    steps = first + np.arange(_BLOCK, dtype=np.int32)
    visits = steps[:, None] * segments + np.arange(segments, dtype=np.int32)[None]

    def one(step, visit):
        return curriculum_lib.draw(key, step, visit, curriculum, num_experts)

    return jax.vmap(jax.vmap(one, (None, 0)))(steps, visits)


class SegmentReader:
    """The segments of each outer step, a function of (key, step) alone.

    Snapshots once read stay in memory up to a bound, the least recently used
    leaving first. Where all that can be drawn fits, an expert is read at once.
    """

    def __init__(
        self,
        store: TrajectoryStore,
        curriculum: Curriculum,
        key: jax.Array,
        *,
        experts: Sequence[int],
        segments: int,
        offsets: tuple[int, ...],
        cache_gigabytes: float,
    ):
        """Reads, for a start epoch i, the epochs i + offset for each of `offsets`, 0 first.

        `experts` are the numbers, in the store, of those that are drawn from.
        """
        self._store = store
        self._offsets = offsets
        self._cache_bytes = cache_gigabytes * 1e9
        self._cache: collections.OrderedDict = collections.OrderedDict()
        self._held = 0
        self._experts = tuple(experts)
        self._last_epoch = curriculum.last_epoch
        self._drawn: tuple[int, curriculum_lib.Draw] | None = None  # The last block, its number.

        # Every draw begins with the same key, on purpose.
        self._draws = functools.partial(
            _draws,
            jax.random.key_data(key),
            curriculum=curriculum,
            num_experts=len(self._experts),
            segments=segments,
        )

    def between(self, first: int, last: int) -> Iterator[tuple[int, TrajectorySegment]]:
        """(step, its segments with leading axis K) for first <= step < last, read ahead."""
        with ThreadPoolExecutor(1, thread_name_prefix="segments") as pool:
            waiting: collections.deque = collections.deque()
            try:
                for step in range(first, last):
                    waiting.append((step, pool.submit(self.read, step)))
                    if len(waiting) > _AHEAD:
                        done, future = waiting.popleft()
                        yield done, future.result()
                while waiting:
                    done, future = waiting.popleft()
                    yield done, future.result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def read(self, step: int) -> TrajectorySegment:
        """The segments of one step, with leading axis K."""
        places, starts = self._draw(step)
        params = [
            np.stack(self._snapshots(self._experts[place], [int(start) + o for o in self._offsets]))
            for place, start in zip(places, starts, strict=True)
        ]
        return TrajectorySegment(np.stack(params), np.asarray(starts, np.int32))

    def _draw(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Places among the experts, and start epochs, of one step, [K] each."""
        block, place = divmod(step, _BLOCK)
        if self._drawn is None or self._drawn[0] != block:
            self._drawn = block, jax.device_get(self._draws(np.int32(block * _BLOCK)))
        draws = self._drawn[1]
        return draws.expert[place], draws.start_epoch[place]

    def _snapshots(self, expert: int, epochs: list[int]) -> list[np.ndarray]:
        """Weights [P] of some epochs of an expert."""
        missing = [epoch for epoch in epochs if (expert, epoch) not in self._cache]
        found = {e: self._cache[expert, e] for e in epochs if (expert, e) in self._cache}
        if missing:
            for epoch, row in self._read(expert, missing):
                found[epoch] = self._cache[expert, epoch] = row
                self._held += row.nbytes
        for epoch in epochs:
            self._cache.move_to_end((expert, epoch))
        while self._held > self._cache_bytes and len(self._cache) > 1:
            self._held -= self._cache.popitem(last=False)[1].nbytes
        return [found[epoch] for epoch in epochs]

    def _read(self, expert: int, epochs: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        """(epoch, weights) of these epochs, or of all that can be drawn if there is room."""
        first = self._store.read(expert, epochs)
        whole = range(self._last_epoch + 1)
        if first[0].nbytes * len(whole) * len(self._experts) <= self._cache_bytes:
            rest = [e for e in whole if e not in epochs and (expert, e) not in self._cache]
            yield from zip(rest, self._store.read(expert, rest) if rest else (), strict=True)
        # Copies: a row by itself would hold on to all that was read with it.
        yield from ((epoch, np.array(row)) for epoch, row in zip(epochs, first, strict=True))
