"""The strategies give every kind of source, sampler and shuffle."""

import itertools

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from batchup.data_source import (
    ArrayDataSource,
    ChoiceDataSource,
    CompositeDataSource,
    MapDataSource,
    RandomMapDataSource,
)
from batchup.sampling import StandardSampler, SubsetSampler, WeightedSampler, WeightedSubsetSampler
from batchup.testing import (
    Shuffled,
    array_sources,
    batch_sizes,
    lengths,
    named_sources,
    rngs,
    samplers,
    shuffles,
    sources,
)

pytestmark = pytest.mark.timeout(120)


def an_example(strategy, condition):
    """One for which the condition holds, not the simplest."""
    quick = settings(max_examples=5000, database=None, phases=[Phase.generate], derandomize=True)
    return find(strategy, condition, settings=quick)


@pytest.mark.parametrize(
    ("strategy", "kind"),
    [(samplers(5), kind) for kind in (StandardSampler, SubsetSampler, WeightedSampler, WeightedSubsetSampler)]
    + [(sources(), kind) for kind in (ArrayDataSource, MapDataSource, CompositeDataSource, ChoiceDataSource)]
    + [(sources(random=True), RandomMapDataSource)]
    + [(named_sources(), kind) for kind in (ArrayDataSource, MapDataSource)],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_strategies_give_every_kind(strategy, kind):
    """Every sampler and every source is among the examples."""
    assert isinstance(an_example(strategy, lambda x: isinstance(x, kind)), kind)


def test_sources_are_nested():
    """A map of a composite with a choice in it, and ones without an end, are among the examples."""

    def is_nested(ds):
        return isinstance(ds, CompositeDataSource) and any(isinstance(each, ChoiceDataSource) for each in ds.datasets)

    assert is_nested(an_example(sources(), is_nested))
    assert np.inf == an_example(sources(), lambda ds: ds.num_samples() == np.inf).num_samples()


@given(sources(), batch_sizes())
@settings(deadline=None)
def test_sources_have_an_order_unless_weights_are_asked_for(ds, batch_size):
    """Without a generator, there are batches."""
    assert all(isinstance(batch, tuple) for batch in itertools.islice(ds.batch_iterator(batch_size), 3))


def test_weights_are_given_where_they_are_asked_for():
    """And only there."""
    assert an_example(array_sources(weighted=True), lambda ds: isinstance(ds.sampler, WeightedSampler))


@pytest.mark.parametrize(
    ("strategy", "holds"),
    [
        (sources(random=True), lambda ds: isinstance(ds, ChoiceDataSource) and ds.weights is not None),
        (sources(batch_size=7), lambda ds: isinstance(ds, CompositeDataSource) and ds.batch_sizes is not None),
    ],
    ids=["weights", "batch_sizes"],
)
def test_sources_made_of_several_are_of_every_kind(strategy, holds):
    """With turns drawn by weight, and with a batch size for each."""
    assert holds(an_example(strategy, holds))


@given(named_sources(), batch_sizes())
@settings(deadline=None)
def test_named_sources_give_dicts(ds, batch_size):
    """Every batch is one, and has all fields."""
    batches = list(itertools.islice(ds.batch_iterator(batch_size), 3))

    assert [dict] * len(batches) == [type(batch) for batch in batches]
    assert 1 >= len({tuple(batch) for batch in batches})


@given(lengths(7), batch_sizes(9))
def test_numbers_keep_to_their_limits(n, batch_size):
    """From none, and from one."""
    assert 0 <= n <= 7
    assert 1 <= batch_size <= 9


@pytest.mark.parametrize(
    ("strategy", "kinds"),
    [
        (shuffles(), {"in order", "RandomState", "Generator", "SeedSequence", "int"}),
        (shuffles(in_order=False), {"RandomState", "Generator", "SeedSequence", "int"}),
        (rngs(), {"RandomState", "Generator"}),
    ],
)
def test_shuffles_are_of_every_kind(strategy, kinds):
    """All that `shuffle` may be, and a source takes each of them."""
    seen = set()

    @given(strategy)
    @settings(database=None, max_examples=100)
    def collect(fresh):
        next(ArrayDataSource([np.arange(3)]).batch_iterator(2, shuffle=fresh()))
        seen.add(fresh.kind)

    collect()
    assert kinds == seen


@given(st.sampled_from(["RandomState", "Generator"]), st.integers(0, 99))
def test_a_shuffled_is_fresh_at_each_call(kind, seed):
    """The same random numbers each time, whatever was drawn from the last one."""
    fresh = Shuffled(kind, seed)

    assert fresh() is not fresh()
    assert fresh().permutation(50).tolist() == fresh().permutation(50).tolist()
