"""The pools of the guide: the same batches as without, from any kind."""

from __future__ import annotations

import numpy as np
import pytest

from batchup import (
    ArrayDataSource,
    CallableDataSource,
    ChoiceDataSource,
    CompositeDataSource,
    WeightedSampler,
    WorkerProcessPool,
    WorkerThreadPool,
    data_source,
    work_pool,
)
from batchup.errors import PoolClosedError

X = np.arange(500).reshape(100, 5)
Y = np.arange(100)

SOURCES = {
    "arrays": ArrayDataSource([X, Y]),
    "subset": ArrayDataSource([X, Y], indices=np.arange(0, 100, 3), include_indices=True),
    "repeated": ArrayDataSource([X], repeats=3),
    "mapped": ArrayDataSource([X, Y]).map(lambda x, y: (x * 2, y, x.sum(axis=1))),
    "composite": CompositeDataSource([ArrayDataSource([X[:7], Y[:7]], repeats=-1), ArrayDataSource([Y])]),
    "choice": ChoiceDataSource([ArrayDataSource([X]), ArrayDataSource([X[:30]])], stratified=True),
    "choice in a composite": CompositeDataSource(
        [ChoiceDataSource([ArrayDataSource([Y[:20]]), ArrayDataSource([Y])], stratified=True), ArrayDataSource([X])]
    ),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("shuffle", [None, 7, "RandomState"])
@pytest.mark.parametrize("depth", [1, 5])
def test_parallel_equals_serial(pool, source, shuffle, depth):
    """The same batches in the same order, whatever the pool and the buffer."""

    def fresh():
        return np.random.RandomState(12345) if shuffle == "RandomState" else shuffle

    ds = SOURCES[source]
    expected = list(ds.batch_iterator(7, shuffle=fresh()))
    actual = list(pool.parallel_data_source(ds, depth).batch_iterator(7, shuffle=fresh()))

    assert len(expected) > 1
    np.testing.assert_equal(actual, expected)


def test_weighted_draws_are_the_same_in_parallel(pool):
    """Without end: the first ten batches."""
    ds = ArrayDataSource([X], sampler=WeightedSampler(np.arange(100.0)))
    par = pool.parallel_data_source(ds)

    expected = [batch for batch, _ in zip(ds.batch_iterator(8, shuffle=7), range(10), strict=False)]
    actual = [batch for batch, _ in zip(par.batch_iterator(8, shuffle=7), range(10), strict=False)]
    np.testing.assert_equal(actual, expected)


def test_an_error_says_which_batch_it_was(pool):
    """It keeps its type, and its place among the batches."""

    def check(x):
        if 30 in x:
            raise LookupError("thirty")
        return (x,)

    batches = pool.parallel_data_source(ArrayDataSource([Y]).map(check)).batch_iterator(20)
    first = next(batches)
    with pytest.raises(LookupError, match="thirty") as raised:
        next(batches)

    assert 0 == first[0][0]
    assert "while fetching batch 1 (samples 20, 21, 22, 23, 24, 25, 26, 27, …)" in raised.value.__notes__
    assert [40, 60, 80] == [x[0] for (x,) in batches]


def test_a_parallel_source_is_a_data_source(pool):
    """It counts, maps, and goes through functions like any other."""
    par = pool.parallel_data_source(ArrayDataSource([X, Y], repeats=2))

    assert 200 == par.num_samples()
    assert not par.is_random_access
    assert [X.sum() * 2 / 200] == [float(mean) for mean in par.batch_map_mean(lambda x, y: x.sum(), 16)]
    np.testing.assert_equal(next(par.map(lambda x, y: (y,)).batch_iterator(3)), (np.arange(3),))
    both = CompositeDataSource([par, ArrayDataSource([Y])])
    assert 3 == len(next(both.batch_iterator(8, shuffle=7)))


def test_a_source_without_indices_is_refused(pool):
    """At the call, with what to give instead."""
    with pytest.raises(TypeError, match="give a random-access source"):
        pool.parallel_data_source(CallableDataSource(lambda batch_size: iter(())))


def test_a_shared_constant_arrives_as_itself(pool):
    """Among the arguments of a task, and among its keywords."""
    constant = pool.shared_constant(X)

    assert [X.sum(), X.sum()] == list(
        pool.work_stream([(np.sum, (constant,)), (lambda *, a: a.sum(), (), {"a": constant})])
    )


def test_a_pool_serves_several_loops_at_once(pool):
    """Nested and side by side."""
    par = pool.parallel_data_source(ArrayDataSource([Y]), 3)
    pairs = [(a[0], b[0]) for (a,) in par.batch_iterator(50) for (b,) in par.batch_iterator(40)]

    assert [(0, 0), (0, 40), (0, 80), (50, 0), (50, 40), (50, 80)] == pairs


def test_leaving_a_loop_leaves_the_pool_usable(pool):
    """By break, by an error, or by closing the iterator."""
    par = pool.parallel_data_source(ArrayDataSource([Y]), 3)
    for _ in par.batch_iterator(5):
        break
    batches = par.batch_iterator(5)
    next(batches)
    batches.close()

    assert [] == list(batches)
    assert 20 == len(list(par.batch_iterator(5)))


@pytest.mark.parametrize("number", [0, -1, True, 1.5, "2", None], ids=repr)
@pytest.mark.parametrize("kind", ["WorkerThreadPool", "WorkerProcessPool"])
def test_a_number_of_workers_is_a_number(kind, number):
    """At the call, by name."""
    with pytest.raises((ValueError, TypeError), match="processes should be an integer of at least 1"):
        getattr(work_pool, kind)(number)


@pytest.mark.parametrize("depth", [0, -1, True, 1.5, "2", None], ids=repr)
def test_a_buffer_holds_at_least_one(pool, depth):
    """At the call, by name."""
    with pytest.raises((ValueError, TypeError), match="batch_buffer_size should be"):
        pool.parallel_data_source(ArrayDataSource([Y]), depth)
    with pytest.raises((ValueError, TypeError), match="task_buffer_size should be"):
        pool.work_stream([], depth)


def test_an_abstract_pool_has_no_workers():
    """It can be made; its methods say so when they are called."""
    with pytest.raises(NotImplementedError, match="WorkerThreadPool"):
        work_pool.AbstractWorkerPool().work_stream([])


def test_a_closed_pool_refuses_a_loop():
    """And a loop that was under way ends with the same error, not with silence."""
    with WorkerThreadPool(1) as pool:
        par = pool.parallel_data_source(ArrayDataSource([Y]), 2)
        batches = par.batch_iterator(10)
    with pytest.raises(PoolClosedError):
        list(batches)
    with pytest.raises(PoolClosedError):
        list(par.batch_iterator(10))


def test_a_source_may_be_what_can_be_made_one(pool):
    """A list of arrays stands for an `ArrayDataSource`."""
    np.testing.assert_equal(next(pool.parallel_data_source([Y]).batch_iterator(2)), (np.arange(2),))
    assert isinstance(pool.parallel_data_source([Y]), data_source.AbstractDataSource)


def test_pools_say_what_they_are():
    """And how many workers they have."""
    with WorkerThreadPool(2) as threads, WorkerProcessPool(3) as processes:
        assert "<WorkerThreadPool of 2 threads> <WorkerProcessPool of 3 processes>" == f"{threads} {processes}"
        source, stream = threads.parallel_data_source([Y]), threads.work_stream([])
        batches = source.batch_iterator(2)

    assert "<WorkerThreadPool of 2 threads, closed>" == repr(threads)
    assert "<WorkerProcessPool of 3 processes, closed>" == repr(processes)
    assert "WorkerThreadPool of 2 threads, closed, at most 20 batches" in repr(source)
    stream.close()
    assert "<WorkStream: 0 results delivered, 0 in flight, closed>" == repr(stream)
    state = batches.state_dict()
    batches.close()
    assert "<BatchStream: 0 results delivered, 0 in flight, closed>" == repr(batches)
    batches.load_state_dict(state)
    assert "closed" not in repr(batches)


def test_a_stream_has_the_length_of_what_is_left():
    """As without a pool; closed, there is nothing left."""
    with WorkerThreadPool(1) as pool:
        stream = pool.parallel_data_source(ArrayDataSource([Y])).batch_iterator(40)
        lengths = [len(stream), next(stream) and len(stream), len(list(stream)), len(stream)]
        other = pool.parallel_data_source(ArrayDataSource([Y])).batch_iterator(40)
        other.close()

        assert ([3, 2, 2, 0], 0) == (lengths, len(other))
        assert other


def test_loops_say_where_they_are():
    """Without a pool and with one; the source of a pool says what it is over."""
    ds = ArrayDataSource([Y])
    with WorkerThreadPool(2) as pool:
        parallel = pool.parallel_data_source(ds, batch_buffer_size=3)
        alone, prefetched = ds.batch_iterator(10), parallel.batch_iterator(10)
        next(alone), next(prefetched)

        assert "<BatchIterator: 1 batches delivered>" == repr(alone)
        assert "<BatchStream: 1 results delivered, 3 in flight>" == repr(prefetched)
        alone.close()
        assert "<BatchIterator: 1 batches delivered, closed>" == repr(alone)
        said = f"{ds!r}: WorkerThreadPool of 2 threads, at most 3 batches in flight"
        assert f"<ParallelDataSource over {said}>" == repr(parallel)
