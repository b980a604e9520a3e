"""Segments of expert trajectories, read before the outer step that needs them."""

import collections
import functools
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from dpd_jax import curriculum as curriculum_lib
from dpd_jax.runs.experiment import Experiment
from dpd_jax.storage.trajectories import TrajectoryStore
from dpd_jax.trajectory_matching import TrajectorySegment

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
        experiment: Experiment,
        store: TrajectoryStore,
        key: jax.Array,
        experts: Sequence[int],
        *,
        segments: int | None = None,
        cache_gigabytes: float | None = None,
    ):
        """Reads nothing yet. All draws use `key`, and the numbers `experts` of the store.

        K `segments` per step and `cache_gigabytes` are those of the config unless given.
        """
        config, curriculum = experiment.config.distill, experiment.curriculum
        gigabytes = config.cache_gigabytes if cache_gigabytes is None else cache_gigabytes
        self._store = store
        self._offsets = experiment.student.alignment.offsets  # From the start epoch.
        self._cache_bytes = gigabytes * 1e9
        self._cache: collections.OrderedDict = collections.OrderedDict()
        self._experts = tuple(experts)
        self._last_epoch = curriculum.last_epoch
        # All draws use the same key: `curriculum.draw` folds in their numbers.
        draws = functools.partial(
            _draws,
            jax.random.key_data(key),
            curriculum=curriculum,
            num_experts=len(self._experts),
            segments=segments or config.segments,
        )
        self._block = functools.lru_cache(maxsize=1)(
            lambda block: jax.device_get(draws(np.int32(block * _BLOCK)))
        )

    def read(self, step: int) -> TrajectorySegment:
        """The segments of one step, [K, ...]."""
        block, place = divmod(step, _BLOCK)
        draws = self._block(block)
        starts = draws.start_epoch[place]
        params = [
            self._snapshots(self._experts[expert], [int(start) + o for o in self._offsets])
            for expert, start in zip(draws.expert[place], starts, strict=True)
        ]
        return TrajectorySegment(np.stack(params), np.asarray(starts, np.int32))

    def _snapshots(self, expert: int, epochs: list[int]) -> np.ndarray:
        """Weights [len(epochs), P] of an expert."""
        if missing := [epoch for epoch in epochs if (expert, epoch) not in self._cache]:
            for epoch, row in self._read(expert, missing):
                self._cache[expert, epoch] = row
        for epoch in epochs:
            self._cache.move_to_end((expert, epoch))
        rows = np.stack([self._cache[expert, epoch] for epoch in epochs])
        while len(self._cache) > 1 and len(self._cache) * rows[0].nbytes > self._cache_bytes:
            self._cache.popitem(last=False)
        return rows

    def _read(self, expert: int, epochs: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        """(epoch, weights) of these epochs, or of all that can be drawn if the cache has room."""
        first = self._store.read(expert, epochs)
        whole = range(self._last_epoch + 1)
        if first[0].nbytes * len(whole) * len(self._experts) <= self._cache_bytes:
            rest = [e for e in whole if e not in epochs and (expert, e) not in self._cache]
            yield from zip(rest, self._store.read(expert, rest) if rest else (), strict=True)
        # Copies: a view of one row would keep all rows in memory.
        yield from ((epoch, np.array(row)) for epoch, row in zip(epochs, first, strict=True))
