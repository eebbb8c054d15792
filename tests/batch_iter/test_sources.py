"""Sources of items: random draws, loaders and data sources."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from batchup import ArrayDataSource, CallableDataSource, IteratorDataSource, WeightedSampler
from batchup.batch_iter import Infinite, items_of, load_by_random_id, sample


def first(n, items):
    return list(itertools.islice(items, n))


def test_an_index_is_a_uniform_number_times_the_length():
    """Draws follow the `RandomState`, and continue from where it is."""
    rng = np.random.RandomState(5)
    expected = [int(u * 1000) for u in np.random.RandomState(5).random_sample(50)]

    assert expected[:30] == first(30, sample(range(1000), random_state=rng))
    assert expected[30:] == first(20, sample(range(1000), random_state=rng))
    assert expected == first(50, sample(range(1000), random_state=5))


@pytest.mark.parametrize("n", [7, 100_000])
def test_a_weighted_index_is_found_in_the_cumulated_weights(n):
    """As ``RandomState.choice`` draws them; weights need not sum to 1."""
    weights = np.random.RandomState(0).uniform(size=n)
    weights[::3] = 0
    expected = np.random.RandomState(5).choice(n, size=200, p=weights / weights.sum())

    assert expected.tolist() == first(200, sample(range(n), weights, random_state=5))


def test_a_seed_is_the_same_each_time_and_none_is_not():
    """With a seed each iteration gives the same draws; without one, others."""
    seeded, fresh = sample(range(10**6), random_state=5), sample(range(10**6))

    assert first(9, seeded) == first(9, seeded)
    assert first(9, fresh) != first(9, fresh)
    assert first(9, sample(range(9), random_state=np.random.default_rng(1))) == first(
        9, sample(range(9), random_state=np.random.default_rng(1))
    )


@pytest.mark.slow
def test_a_pipe_begins_where_it_is_told():
    """Skipping ahead gives the same draws as going through them."""
    for make in [lambda: sample(range(1000), random_state=5), lambda: sample(range(1000), range(1000))]:
        whole = first(200_100, make().begin(entropy=7))

        for n in (0, 1, 70, 65_536, 65_537, 200_000):
            assert whole[n : n + 10] == first(10, make().begin(n, entropy=7))


def test_loaders_are_given_the_ids():
    """An item is a tuple with one part per loader; with a single loader, the part itself."""
    ids = first(20, sample("abc", random_state=5))

    assert [(i.upper(), i * 2) for i in ids] == first(
        20, load_by_random_id(str.upper, lambda i: i * 2, ids="abc", random_state=5)
    )
    assert [i.upper() for i in ids] == first(20, load_by_random_id(str.upper, ids="abc", random_state=5))
    assert {"B"} == set(first(20, load_by_random_id(str.upper, ids="abc", weights=[0, 1, 0])))


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: sample([]), ValueError, "it is empty"),
        (lambda: sample(iter([1])), TypeError, "a sequence"),
        (lambda: sample({1: 2}), TypeError, "a sequence"),
        (lambda: sample([1, 2], [1]), ValueError, "1 weights, 2 entries"),
        (lambda: sample([1, 2], [1, -1]), ValueError, "weights should be 0 or more"),
        (lambda: sample([1, 2], [0, 0]), ValueError, "should not all be 0"),
        (lambda: sample([1, 2], [1, np.nan]), ValueError, "finite"),
        (lambda: sample([1], random_state="7"), TypeError, "random_state should be"),
        (lambda: sample([1], random_state=True), TypeError, "random_state should be"),
        (lambda: sample([1], random_state=-1), ValueError, "random_state should be"),
        (lambda: load_by_random_id(ids=[1]), ValueError, "at least one loader"),
        (lambda: load_by_random_id(3, ids=[1]), TypeError, "a loader should be a function"),
        (lambda: items_of([np.arange(3)], epochs=0), ValueError, "epochs should be"),
    ],
)
def test_what_cannot_be_drawn_from_is_refused(make, error, match):
    """Invalid arguments raise an error when the source is made."""
    with pytest.raises(error, match=match):
        make()


def test_the_items_of_a_data_source():
    """Samples come one at a time; a seed gives each epoch an order of its own, as in the source."""
    ds = ArrayDataSource([np.arange(150), np.arange(150) * 2])
    items = first(450, items_of(ds, shuffle=7))
    orders = np.array([x for x, _ in items]).reshape(3, 150)

    assert all(y == 2 * x for x, y in items)
    assert [list(range(150))] * 3 == np.sort(orders, 1).tolist()
    assert 3 == len({tuple(order) for order in orders.tolist()})
    assert orders[0].tolist() == [x for (x, _) in zip(*next(ds.batch_iterator(150, shuffle=7)), strict=True)]
    assert items == first(450, items_of(ds, shuffle=7))
    assert list(range(150)) * 2 == [x for x, _ in items_of(ds, epochs=2)]


def test_items_shuffled_by_a_generator_go_on():
    """The order of an epoch is drawn when the epoch starts."""
    rng, ds = np.random.RandomState(5), ArrayDataSource([np.arange(10)])
    same = np.random.RandomState(5)

    expected = [*same.permutation(10), *same.permutation(10)]
    assert expected == [x for (x,) in items_of(ds, shuffle=rng, epochs=2)]


def test_items_of_any_source():
    """Sources may be nested, weighted, functions or iterators."""
    nested = ArrayDataSource([np.arange(3)]).map(lambda x: ({"x": x, "y": (x,)},))
    assert [({"x": 0, "y": (0,)},), ({"x": 1, "y": (1,)},)] == first(2, items_of(nested))

    weighted = ArrayDataSource([np.arange(3)], sampler=WeightedSampler([0, 1, 0]))
    assert [(1,)] * 9 == first(9, items_of(weighted, shuffle=7))

    counted = CallableDataSource(lambda batch_size: iter([(np.arange(2),)]))
    assert [0, 1, 0, 1, 0] == [x for (x,) in first(5, items_of(counted))]

    once = IteratorDataSource(iter([(np.arange(2),)]))
    assert [0, 1] == [x for (x,) in items_of(once, epochs=1)]
    with pytest.raises(ValueError, match="pass epochs=1"):
        first(3, items_of(IteratorDataSource(iter([(np.arange(2),)]))))


def test_a_data_source_goes_through_a_pipe():
    """Its items come out in batches again."""
    ds = ArrayDataSource([np.arange(10), np.arange(10) % 2])
    with Infinite(items_of(ds, shuffle=7), batch_size=5, batches_per_epoch=2) as pipe:
        epoch = list(pipe)

    assert list(range(10)) == sorted(np.concatenate([x for x, _ in epoch]).tolist())
    assert all((x % 2 == y).all() for x, y in epoch)


def test_items_of_columns_of_pandas():
    """They go by their position in the batch, not by their label."""
    pandas = pytest.importorskip("pandas")
    ds = ArrayDataSource([np.arange(6), pandas.Series(np.arange(6))])

    assert all(x == y for x, y in items_of(ds, shuffle=7, epochs=1))
