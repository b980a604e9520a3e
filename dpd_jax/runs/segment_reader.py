"""Segments of expert trajectories, read before the outer step that needs them."""

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

_AHEAD = 4  # Steps read in advance; a read takes about 30 ms, for small segments too.
_BLOCK = 64  # Steps drawn at once; this takes little longer than the 1 ms of a single draw.


@functools.partial(jax.jit, static_argnames=("curriculum", "num_experts", "segments"))
def _draws(raw_key, first, *, curriculum, num_experts, segments) -> curriculum_lib.Draw:
    """The draws of a block of steps that starts at `first`, [_BLOCK, K] each."""
    key = jax.random.wrap_key_data(raw_key)
    steps = first + np.arange(_BLOCK, dtype=np.int32)
    visits = steps[:, None] * segments + np.arange(segments, dtype=np.int32)[None]

    def one(step, visit):
        return curriculum_lib.draw(key, step, visit, curriculum, num_experts)

    return jax.vmap(jax.vmap(one, (None, 0)))(steps, visits)


class SegmentReader:
    """Reads the segments of each outer step; they depend only on (key, step).

    Snapshots stay in a cache of limited size, which drops the least recently used first. If
    all snapshots that can be drawn fit the cache, each expert is read as a whole.
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
        """Prepares the reader; nothing is read yet.

        Args:
          store: the experts.
          curriculum: of the start epochs.
          key: of all draws.
          experts: the numbers, in the store, of the experts to draw from.
          segments: K, the number of segments per step.
          offsets: the epochs of a segment, relative to its start epoch; the first is 0.
          cache_gigabytes: the size of the cache, in 10^9 bytes.
        """
        self._store = store
        self._offsets = offsets
        self._cache_bytes = cache_gigabytes * 1e9
        self._cache: collections.OrderedDict = collections.OrderedDict()
        self._held = 0
        self._experts = tuple(experts)
        self._last_epoch = curriculum.last_epoch
        self._drawn: tuple[int, curriculum_lib.Draw] | None = (
            None  # The number and the draws of the last block.
        )

        # All draws use the same key: `curriculum.draw` folds in their numbers.
        self._draws = functools.partial(
            _draws,
            jax.random.key_data(key),
            curriculum=curriculum,
            num_experts=len(self._experts),
            segments=segments,
        )

    def between(self, first: int, last: int) -> Iterator[tuple[int, TrajectorySegment]]:
        """(step, its segments [K, ...]) for first <= step < last, read in advance."""
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
        """The segments of one step, [K, ...]."""
        places, starts = self._draw(step)
        params = [
            np.stack(self._snapshots(self._experts[place], [int(start) + o for o in self._offsets]))
            for place, start in zip(places, starts, strict=True)
        ]
        return TrajectorySegment(np.stack(params), np.asarray(starts, np.int32))

    def _draw(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The positions in `experts` and the start epochs of one step, [K] each."""
        block, place = divmod(step, _BLOCK)
        if self._drawn is None or self._drawn[0] != block:
            self._drawn = block, jax.device_get(self._draws(np.int32(block * _BLOCK)))
        draws = self._drawn[1]
        return draws.expert[place], draws.start_epoch[place]

    def _snapshots(self, expert: int, epochs: list[int]) -> list[np.ndarray]:
        """Weights [P] of these epochs of an expert."""
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
        """(epoch, weights) of these epochs, or of all that can be drawn if the cache has room."""
        first = self._store.read(expert, epochs)
        whole = range(self._last_epoch + 1)
        if first[0].nbytes * len(whole) * len(self._experts) <= self._cache_bytes:
            rest = [e for e in whole if e not in epochs and (expert, e) not in self._cache]
            yield from zip(rest, self._store.read(expert, rest) if rest else (), strict=True)
        # Copies: a view of one row would keep all rows in memory.
        yield from ((epoch, np.array(row)) for epoch, row in zip(epochs, first, strict=True))
