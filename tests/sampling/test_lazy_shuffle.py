"""A shuffle without memory: the contract, any size, and a start at any step."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup import ArrayDataSource, CompositeDataSource, Loader
from batchup.data_source import IndexPlan
from batchup.sampling import LazyShuffleSampler, StandardSampler, SubsetSampler, WeightedSampler, lazy
from batchup.testing import SamplerContract, batch_sizes, lengths, rngs

SUBSET = [7, 2, 5, 11]


class TestAll(SamplerContract):
    n_samples = 10

    def make(self):
        return LazyShuffleSampler(10)


class TestNone(SamplerContract):
    n_samples = 0

    def make(self):
        return LazyShuffleSampler(0)


class TestTwiceOverASubset(SamplerContract):
    n_samples = 12

    def make(self):
        return LazyShuffleSampler(12, repeats=2, indices=SUBSET)

    def one_go(self):
        return SUBSET * 2


class TestMoreThanATable(SamplerContract):
    n_samples = 70_000

    def make(self):
        return LazyShuffleSampler(70_000)


@given(st.data(), lengths(), batch_sizes(), st.integers(1, 3), rngs(), st.booleans())
def test_batches_from_a_step_are_the_rest_of_all_batches(data, n, batch_size, repeats, fresh, shuffled):
    """Starting at a step gives what comes after so many batches, in order and shuffled."""
    sampler = LazyShuffleSampler(n, repeats)
    every = list(sampler.batches_from(0, batch_size, fresh() if shuffled else None))
    step = data.draw(st.integers(0, len(every) + 1))
    rest = list(sampler.batches_from(step, batch_size, fresh() if shuffled else None))

    assert [b.tolist() for b in every[step:]] == [b.tolist() for b in rest]


def test_each_pass_has_its_own_order():
    """With `repeats`, no pass has the order of another."""
    (both,) = LazyShuffleSampler(50, repeats=2).shuffled_indices_batch_iterator(100, np.random.default_rng(0))

    assert both[:50].tolist() != both[50:].tolist()


def test_a_sampler_without_end_goes_on():
    """`repeats=-1` gives full batches for ever."""
    sampler = LazyShuffleSampler(4, repeats=-1)
    batches = sampler.shuffled_indices_batch_iterator(3, np.random.RandomState(0))

    assert [3] * 100 == [len(batch) for batch in itertools.islice(batches, 100)]
    assert np.inf == sampler.num_indices_generated()


def test_a_thousand_million_samples_take_little_memory():
    """Nothing is kept for the order, at the start or far into the epoch."""
    tracemalloc.start()
    try:
        for step in (0, 10**6):
            batches = LazyShuffleSampler(10**9).batches_from(step, 256, np.random.default_rng(0))
            for _ in itertools.islice(batches, 50):
                pass
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_a_generator_is_asked_once():
    """Of a generator that others use too, one key is drawn, when the first batch is asked for."""
    rng, model = np.random.default_rng(3), np.random.default_rng(3)
    batches = LazyShuffleSampler(100, repeats=3).shuffled_indices_batch_iterator(30, rng)
    before = rng.bit_generator.state == model.bit_generator.state
    list(batches)
    model.bytes(16)

    assert (True, model.random()) == (before, rng.random())


@pytest.mark.parametrize("pool", [None, 2])
def test_a_run_over_it_is_resumed(pool):
    """A loader goes on at the next batch, from a state."""
    ds = ArrayDataSource([np.arange(30)], sampler=LazyShuffleSampler(30))
    with Loader(ds, 4, shuffle=7, pool=pool) as loader, Loader(ds, 4, shuffle=7) as again:
        batches = iter(loader)
        for _ in range(3):
            next(batches)
        again.load_state_dict(loader.state_dict())

        assert [x.tolist() for (x,) in batches] == [x.tolist() for (x,) in again]


def test_plain_samplers_over_very_many_samples_become_lazy():
    """Only plain ones, and only above the limit."""
    made = [lazy(s, above=3) for s in (StandardSampler(3), StandardSampler(4, 2), SubsetSampler(SUBSET, -1))]
    weighted = WeightedSampler(np.ones(9))

    assert ["StandardSampler(3, repeats=1)", "LazyShuffleSampler(4, repeats=2)"] == [repr(s) for s in made[:2]]
    assert "LazyShuffleSampler(12, repeats=-1, indices=<4 indices>)" == repr(made[2])
    assert weighted is lazy(weighted, above=3)


def test_a_plan_becomes_lazy_through_random_transforms_and_composites():
    """`Plan.lazy` reaches the samplers, and the signature of the plan tells."""
    large = ArrayDataSource([range(2**27 + 1)])
    small = ArrayDataSource([range(3)], repeats=-1)
    plan = CompositeDataSource([large, small.random_map(lambda x, rng: (x,))]).plan(2)
    made = plan.lazy()

    assert [LazyShuffleSampler, StandardSampler] == [
        type(made.members[0].sampler),
        type(made.members[1].inner.sampler),
    ]
    assert plan.signature() != made.signature()
    assert small.plan(2).signature() == small.plan(2).lazy().signature()


@pytest.mark.parametrize("shuffle", [None, 7])
def test_plans_skip_picks(shuffle):
    """`picks_from` gives the picks behind so many, with the seed paths of their own steps; also without the method."""

    class Looks:
        """Like a sampler, without being one."""

        num_indices_generated = StandardSampler(9).num_indices_generated
        in_order_indices_batch_iterator = StandardSampler(9).in_order_indices_batch_iterator
        shuffled_indices_batch_iterator = StandardSampler(9).shuffled_indices_batch_iterator

    lazy_source = ArrayDataSource([np.arange(9)], sampler=LazyShuffleSampler(9))
    plans = [lazy_source.plan(2), lazy_source.random_map(lambda x, rng: (x,), seed=1).plan(2), IndexPlan(Looks(), 2)]
    for plan in plans:
        assert repr(list(plan.picks(shuffle))[3:]) == repr(list(plan.picks_from(3, shuffle)))
        assert 5 == plan.length()
