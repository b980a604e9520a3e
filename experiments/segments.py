"""Segments of expert trajectories, read ahead of the step that needs them."""

import collections
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np

from dpd_jax import curriculum as curriculum_lib
from dpd_jax.curriculum import Curriculum
from dpd_jax.distill import Segment
from dpd_jax.trajectories import TrajectoryStore

_AHEAD = 4  # Steps read in advance; a read is some 25 ms, a step at least as much.


class SegmentReader:
    """The segments of each outer step, a function of (key, step) alone.

    Snapshots once read stay in memory up to a bound, the least recently used
    leaving first.
    """

    def __init__(
        self,
        store: TrajectoryStore,
        curriculum: Curriculum,
        key: jax.Array,
        *,
        num_experts: int,
        segments: int,
        offsets: tuple[int, ...],
        cache_gigabytes: float,
    ):
        """Reads, for a start epoch i, the epochs i + offset for each of `offsets`, 0 first."""
        self._store = store
        self._segments = segments
        self._offsets = offsets
        self._cache_bytes = cache_gigabytes * 1e9
        self._cache: collections.OrderedDict = collections.OrderedDict()
        self._held = 0

        @jax.jit
        def draws(step):
            visits = step * segments + np.arange(segments, dtype=np.int32)
            return jax.vmap(
                lambda visit: curriculum_lib.draw(key, step, visit, curriculum, num_experts)
            )(visits)

        self._draws = draws

    def between(self, first: int, last: int) -> Iterator[tuple[int, Segment]]:
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

    def read(self, step: int) -> Segment:
        """The segments of one step, with leading axis K."""
        draws = jax.device_get(self._draws(np.int32(step)))
        params = [
            np.stack([self._snapshot(int(expert), int(start) + offset) for offset in self._offsets])
            for expert, start in zip(draws.expert, draws.start_epoch, strict=True)
        ]
        return Segment(np.stack(params), np.asarray(draws.start_epoch, np.int32))

    def _snapshot(self, expert: int, epoch: int) -> np.ndarray:
        place = (expert, epoch)
        if place in self._cache:
            self._cache.move_to_end(place)
            return self._cache[place]
        snapshot = self._store.read(expert, [epoch])[0]
        self._cache[place] = snapshot
        self._held += snapshot.nbytes
        while self._held > self._cache_bytes and len(self._cache) > 1:
            self._held -= self._cache.popitem(last=False)[1].nbytes
        return snapshot
