"""The segments of the outer loop: their draws, and the reads from the store."""

import dataclasses

import jax
import numpy as np

from configs import digits_ipc1
from dpd_jax import curriculum as curriculum_lib
from dpd_jax.curriculum import Curriculum
from dpd_jax.runs import read_ahead
from dpd_jax.runs.experiment import Experiment
from dpd_jax.runs.segment_reader import SegmentReader

GROWING = Curriculum(
    expert_epochs=2,
    min_start_epoch=0,
    current_max_start_epoch=1,
    max_start_epoch=4,
    expansion_interval=20,
    inclusive=True,
)
KEY, EXPERTS, SIZE = 7, 3, 10


class Store:
    """Weights that encode expert and epoch; counts reads."""

    def __init__(self):
        self.reads = []

    def read(self, expert, epochs):
        self.reads.append((expert, tuple(epochs)))
        return np.stack([np.full(SIZE, 100 * expert + e, np.float32) for e in epochs])


def reader(store, gigabytes, experts=range(EXPERTS)):
    config = digits_ipc1.get_config()
    config.curriculum.update(dataclasses.asdict(GROWING))
    config.distill.update(segments=2, cache_gigabytes=gigabytes)
    return SegmentReader(Experiment.from_config(config), store, jax.random.key(KEY), experts)


def test_segments_follow_the_curriculum_for_any_cache():
    roomy, tight = reader(Store(), 1.0), reader(Store(), 0.0)
    later = list(
        read_ahead.between(tight.read, 60, 70)
    )  # Beyond the first block, not from its beginning.
    draw = jax.jit(
        lambda step, visit: curriculum_lib.draw(jax.random.key(KEY), step, visit, GROWING, EXPERTS)
    )
    for step, segment in later:
        draws = [draw(np.int32(step), np.int32(visit)) for visit in (2 * step, 2 * step + 1)]
        assert segment.start_epoch.tolist() == [int(d.start_epoch) for d in draws]
        first = [100 * int(d.expert) + int(d.start_epoch) for d in draws]
        assert segment.params[:, :, 0].tolist() == [[name, name + 2] for name in first]
        np.testing.assert_array_equal(roomy.read(step).params, segment.params)
    assert [step for step, _ in later] == list(range(60, 70))


def test_experts_have_their_own_numbers_if_some_are_missing():
    store = Store()
    usual, numbered = reader(Store(), 0.0), reader(store, 0.0, experts=[1, 4, 7])
    for step in range(20):
        place, epoch = np.divmod(usual.read(step).params, 100)
        np.testing.assert_array_equal(numbered.read(step).params, 100 * (1 + 3 * place) + epoch)
    assert {expert for expert, _ in store.reads} == {1, 4, 7}


def test_an_expert_is_read_as_a_whole_if_all_fits():
    store = Store()
    list(read_ahead.between(reader(store, 1.0).read, 0, 200))
    read = [(expert, epoch) for expert, epochs in store.reads for epoch in epochs]
    assert sorted(read) == [(expert, epoch) for expert in range(EXPERTS) for epoch in range(7)]
    assert len(store.reads) <= 2 * EXPERTS


def test_a_small_cache_needs_one_read_per_segment():
    store = Store()
    tight = reader(store, 3 * 4 * SIZE / 1e9)
    for step in range(50):
        tight.read(step)
        assert len(tight._cache) <= 3
    assert len(store.reads) <= 2 * 50
    assert all(len(epochs) <= 2 for _, epochs in store.reads)
