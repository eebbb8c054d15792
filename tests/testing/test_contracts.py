"""The contracts fail for what is broken, and pass for what is right."""

import copy
import itertools
import subprocess
import sys

import numpy as np
import pytest

from batchup.data_source import (
    ArrayDataSource,
    CallableDataSource,
    RandomAccessDataSource,
)
from batchup.engine.pools import SerialPool, ThreadPool
from batchup.sampling import AbstractSampler
from batchup.testing import (
    AccessorContract,
    PoolContract,
    RandomAccessSourceContract,
    SamplerContract,
    SequentialSourceContract,
    SourceContract,
    plain,
)
from batchup.work_pool import AbstractWorkerPool, WorkerProcessPool, WorkerThreadPool

pytestmark = pytest.mark.timeout(120)


def breaks(contract, test, *args):
    """`test` of the contract fails, by an assertion or because nothing was raised."""
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(contract, test)(*args)


def made(contract, thing, **attributes):
    """A subclass of the contract whose `make` calls `thing`."""
    return type("Made", (contract,), {"make": lambda self: thing(), **attributes})()


# Samplers: one that keeps its promises, of the kind that a user writes, and ones that break them.


class EverySecond(AbstractSampler):
    """The samples 0, 2, 4, ..."""

    def __init__(self, length=10):
        self.length = length

    def epoch(self):
        return np.arange(0, self.length, 2)

    def num_indices_generated(self):
        return len(self.epoch())

    def map_indices(self, indices):
        return indices * 2

    def in_order_indices_batch_iterator(self, batch_size):
        return self.cut(self.epoch(), batch_size)

    def shuffled_indices_batch_iterator(self, batch_size, shuffle_rng):
        return self.cut(shuffle_rng.permutation(self.epoch()), batch_size)

    def cut(self, order, batch_size):
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise ValueError("batch_size should be at least 1")
        return (order[first : first + batch_size] for first in range(0, len(order), batch_size))


class TestSampler(SamplerContract):
    n_samples = 10

    def make(self):
        return EverySecond()

    def one_go(self):
        return [0, 2, 4, 6, 8]


class RepeatsAnIndex(EverySecond):
    def shuffled_indices_batch_iterator(self, batch_size, shuffle_rng):
        return self.cut(np.append(shuffle_rng.permutation(self.epoch())[1:], 8), batch_size)


class RepeatsAnIndexInOrder(EverySecond):
    def in_order_indices_batch_iterator(self, batch_size):
        return self.cut(np.array([0, 2, 4, 6, 6]), batch_size)


class GoesPastTheData(EverySecond):
    def epoch(self):
        return np.arange(0, 12, 2)


class GivesLists(EverySecond):
    def cut(self, order, batch_size):
        return (batch.tolist() for batch in super().cut(order, batch_size))


class GivesFloats(EverySecond):
    def epoch(self):
        return super().epoch() / 1.0


class EndsWithAnEmptyBatch(EverySecond):
    def cut(self, order, batch_size):
        return itertools.chain(super().cut(order, batch_size), [order[:0]])


class IsShortInTheMiddle(EverySecond):
    def cut(self, order, batch_size):
        return itertools.chain([order[:1]], super().cut(order[1:], batch_size))


class MiscountsItself(EverySecond):
    def num_indices_generated(self):
        return 10


class SaysItNeverEnds(EverySecond):
    def num_indices_generated(self):
        return np.inf


class IgnoresTheGenerator(EverySecond):
    def shuffled_indices_batch_iterator(self, batch_size, shuffle_rng):
        return self.in_order_indices_batch_iterator(batch_size)


class UsesTheGlobalGenerator(EverySecond):
    def shuffled_indices_batch_iterator(self, batch_size, shuffle_rng):
        return super().shuffled_indices_batch_iterator(batch_size, np.random)


class RemembersTheLastGo(EverySecond):
    def __init__(self):
        super().__init__()
        self.order = np.arange(0, 10, 2)

    def epoch(self):
        return self.order

    def shuffled_indices_batch_iterator(self, batch_size, shuffle_rng):
        shuffle_rng.shuffle(self.order)
        return self.cut(self.order.copy(), batch_size)


class IsUsedUp(EverySecond):
    def __init__(self):
        super().__init__()
        self.batches = None

    def in_order_indices_batch_iterator(self, batch_size):
        self.batches = self.batches or self.cut(self.epoch(), batch_size)
        return self.batches


class HandsOutItsOwnArray(EverySecond):
    def __init__(self):
        super().__init__()
        self.order = np.arange(0, 10, 2)

    def epoch(self):
        return self.order


class MapsToItself(EverySecond):
    def __init__(self):
        super().__init__()

    def epoch(self):
        return super().epoch()[::-1]

    def map_indices(self, indices):
        return indices


class DoesNotPickleWhole(EverySecond):
    def __getstate__(self):
        return {"length": 4}


class TakesAnyBatchSize(EverySecond):
    def cut(self, order, batch_size):
        return iter([order])


GENERATOR = (np.random.RandomState,)


@pytest.mark.parametrize(
    ("kind", "test", "args"),
    [
        (RepeatsAnIndex, "test_shuffled_every_sample_comes_as_often_as_it_should", GENERATOR),
        (RepeatsAnIndexInOrder, "test_in_order_every_sample_comes_as_often_as_it_should", ()),
        (GoesPastTheData, "test_batches_are_arrays_of_indices_of_samples", ()),
        (GivesLists, "test_batches_are_arrays_of_indices_of_samples", ()),
        (GivesFloats, "test_batches_are_arrays_of_indices_of_samples", ()),
        (EndsWithAnEmptyBatch, "test_only_the_last_batch_is_short", (2,)),
        (IsShortInTheMiddle, "test_only_the_last_batch_is_short", (2,)),
        (MiscountsItself, "test_it_says_how_many_there_are", ()),
        (SaysItNeverEnds, "test_it_says_how_many_there_are", ()),
        (IgnoresTheGenerator, "test_another_generator_gives_another_order", GENERATOR),
        (UsesTheGlobalGenerator, "test_the_generator_decides", GENERATOR),
        (RemembersTheLastGo, "test_the_generator_decides", GENERATOR),
        (IsUsedUp, "test_in_order_is_the_same_each_time", ()),
        (HandsOutItsOwnArray, "test_writing_into_a_batch_changes_nothing_else", ()),
        (MapsToItself, "test_positions_begin_where_the_order_begins", ()),
        (DoesNotPickleWhole, "test_it_pickles", ()),
        (TakesAnyBatchSize, "test_a_batch_size_that_is_none_is_refused", (0,)),
        (TakesAnyBatchSize, "test_a_batch_size_that_is_none_is_refused", (True,)),
    ],
)
def test_a_broken_sampler_fails(kind, test, args):
    """Each of these samplers breaks a promise, and the test of that promise says so."""
    TestSampler_ = made(SamplerContract, kind, n_samples=10, one_go=lambda self: [0, 2, 4, 6, 8])

    breaks(TestSampler_, test, *args)


def test_a_sampler_without_order_says_so_at_the_call():
    """A generator function would say so at the first batch, and its tests fail."""

    class Late(EverySecond):
        def in_order_indices_batch_iterator(self, batch_size):
            raise NotImplementedError("no order")
            yield

    class AtOnce(EverySecond):
        def in_order_indices_batch_iterator(self, batch_size):
            raise NotImplementedError("no order")

    with pytest.raises(NotImplementedError):
        made(SamplerContract, Late, n_samples=10).test_in_order_is_the_same_each_time()
    with pytest.raises(pytest.skip.Exception):
        made(SamplerContract, AtOnce, n_samples=10).test_in_order_is_the_same_each_time()


# Accessors.


class Squares:
    def __len__(self):
        return 20

    def __getitem__(self, index):
        return index**2


class TestAccessor(AccessorContract):
    def make(self):
        return Squares()


class SortsItsIndices(Squares):
    def __getitem__(self, index):
        return super().__getitem__(np.sort(index) if isinstance(index, np.ndarray) else index)


class DropsRepeatedIndices(Squares):
    def __getitem__(self, index):
        return super().__getitem__(np.array(list(dict.fromkeys(index))) if isinstance(index, np.ndarray) else index)


class NormalisesItsBatches(Squares):
    def __getitem__(self, index):
        x = super().__getitem__(index)
        return x - x.mean() if isinstance(index, np.ndarray) else x


class CountsItsCalls(Squares):
    calls = 0

    def __getitem__(self, index):
        self.calls += 1
        return index * 0 + self.calls


class KnowsPythonsIntegersOnly(Squares):
    def __getitem__(self, index):
        return super().__getitem__(index) if isinstance(index, (int, np.ndarray)) else -1


class ForgetsInAWorker(Squares):
    def __init__(self):
        self.factor = 2

    def __getstate__(self):
        return {"factor": 3}

    def __getitem__(self, index):
        return index * self.factor


@pytest.mark.parametrize(
    ("kind", "test", "args"),
    [
        (SortsItsIndices, "test_an_array_of_indices_gives_the_samples_in_that_order", ([1, 0],)),
        (DropsRepeatedIndices, "test_an_array_of_indices_gives_the_samples_in_that_order", ([-1, 0, 0],)),
        (NormalisesItsBatches, "test_an_array_of_indices_gives_the_samples_in_that_order", ([0, 1],)),
        (CountsItsCalls, "test_asking_again_gives_the_same", ()),
        (KnowsPythonsIntegersOnly, "test_an_integer_of_numpy_is_an_integer", ()),
        (ForgetsInAWorker, "test_it_pickles", ()),
    ],
)
def test_a_broken_accessor_fails(kind, test, args):
    """Each of these accessors breaks a promise, and the test of that promise says so."""
    breaks(made(AccessorContract, kind), test, *args)


# Sources.


class TestSource(RandomAccessSourceContract):
    def make(self):
        return ArrayDataSource([Squares(), np.arange(20)], repeats=2)


class Doubling(RandomAccessDataSource):
    def __init__(self):
        super().__init__(10)

    def samples_by_indices_nomapping(self, indices):
        return (indices * 2,)


class TestSourceOfOnesOwn(RandomAccessSourceContract):
    def make(self):
        return Doubling()


class GivesArraysOfTwoLengths(Doubling):
    def samples_by_indices_nomapping(self, indices):
        return indices, indices[:1]


class GivesArraysWithoutATuple(Doubling):
    def samples_by_indices_nomapping(self, indices):
        return indices


class GivesTooMany(Doubling):
    def samples_by_indices_nomapping(self, indices):
        return (np.repeat(indices, 2),)


class MiscountsItsSamples(Doubling):
    def num_samples(self, **kwargs):
        return 11


class Augments(Doubling):
    def samples_by_indices_nomapping(self, indices):
        return (indices + np.random.random(len(indices)),)


class HasAPlanOfItsOwn(Doubling):
    def batch_iterator(self, batch_size, shuffle=None, **kwargs):
        return iter(list(super().batch_iterator(batch_size, shuffle=shuffle, **kwargs))[::-1])


class CountsItsFetches(Doubling):
    fetches = 0

    def samples_by_indices_nomapping(self, indices):
        self.fetches += 1
        return (indices * 0 + self.fetches,)


class DoesNotSayThatItIsRandomAccess(Doubling):
    is_random_access = False


class SwallowsKeywords(Doubling):
    def batch_iterator(self, batch_size, shuffle=None, **kwargs):
        return super().batch_iterator(batch_size, shuffle)


class LosesItsDataWhenPickled(Doubling):
    factor = 1

    def __setstate__(self, state):
        self.__dict__.update(state, factor=3)

    def samples_by_indices_nomapping(self, indices):
        return (indices * self.factor,)


class AllowsBatchesOfNone(Doubling):
    def batch_iterator(self, batch_size, shuffle=None):
        return super().batch_iterator(max(int(batch_size), 1), shuffle)


@pytest.mark.parametrize(
    ("kind", "test", "args"),
    [
        (GivesArraysOfTwoLengths, "test_batches_have_between_one_and_batch_size_samples", (3,)),
        pytest.param(
            *(GivesArraysWithoutATuple, "test_batches_have_between_one_and_batch_size_samples", (3,)),
            marks=pytest.mark.filterwarnings("ignore:samples_by_indices"),
        ),
        (GivesTooMany, "test_batches_have_between_one_and_batch_size_samples", (3,)),
        (MiscountsItsSamples, "test_it_gives_as_many_samples_as_it_says", ()),
        (Augments, "test_equal_sources_give_equal_batches", ()),
        (HasAPlanOfItsOwn, "test_batches_are_fetched_picks", (3, np.random.RandomState)),
        (HasAPlanOfItsOwn, "test_batches_are_fetched_picks", (3, None)),
        (CountsItsFetches, "test_a_fetch_depends_on_its_pick_alone", ()),
        (DoesNotSayThatItIsRandomAccess, "test_it_says_that_it_is_random_access", ()),
        (SwallowsKeywords, "test_a_misspelt_keyword_is_refused", ()),
        (LosesItsDataWhenPickled, "test_source_and_picks_pickle", ()),
        (AllowsBatchesOfNone, "test_a_batch_size_that_is_none_is_refused", (0,)),
    ],
)
def test_a_broken_source_fails(kind, test, args):
    """Each of these sources breaks a promise, and the test of that promise says so."""
    breaks(made(RandomAccessSourceContract, kind), test, *args)


def test_a_source_that_maps_wrongly_fails():
    """A `map` that does not go through the function is seen."""

    class IgnoresTheFunction(Doubling):
        def map(self, fn):
            return self

    breaks(made(SourceContract, IgnoresTheFunction), "test_mapping_changes_no_more_than_the_function_does")


def test_a_source_that_pretends_to_have_indices_fails():
    """Random access in name, and a sequential source that answers calls for a plan, are seen."""

    class Pretends(CallableDataSource):
        def batch_indices_iterator(self, batch_size, **kwargs):
            return iter([])

    contract = made(SequentialSourceContract, lambda: Pretends(lambda batch_size: iter([])))
    breaks(contract, "test_it_does_not_pretend_to_fetch_by_index")
    breaks(made(SequentialSourceContract, Doubling), "test_it_does_not_pretend_to_fetch_by_index")


# Pools.


class OfOnesOwn(AbstractWorkerPool):
    """The front of a pool over an engine of one's own."""

    def __init__(self, engine):
        self._engine = engine

    @property
    def engine(self):
        return self._engine


class TestSerialPool(PoolContract):
    def make(self):
        return OfOnesOwn(SerialPool())


class TestOneThread(PoolContract):
    def make(self):
        return WorkerThreadPool(1)


class TestThreads(PoolContract):
    def make(self):
        return WorkerThreadPool(3)


class TestProcesses(PoolContract):
    def make(self):
        return WorkerProcessPool(1)

    @pytest.fixture
    def pool(self, two_processes):
        """One that others have used; what closes a pool makes its own."""
        return two_processes


class LosesOrder(SerialPool):
    """Swaps the results of two tasks."""

    def __init__(self):
        super().__init__()
        self.last = None

    def submit(self, fn, /, *args, **kwargs):
        self.last, reply = super().submit(fn, *args, **kwargs), self.last
        return reply or self.last


class LosesErrors(SerialPool):
    def submit(self, fn, /, *args, **kwargs):
        reply = super().submit(fn, *args, **kwargs)
        return super().submit(int) if reply.exception() else reply


class LosesKeywords(SerialPool):
    def submit(self, fn, /, *args, **kwargs):
        return super().submit(fn, *args)


class SharesStaleObjects(SerialPool):
    def share(self, obj):
        return np.zeros(1) if isinstance(obj, np.ndarray) else obj


class GivesOneArrayForAll(SerialPool):
    def submit(self, fn, /, *args, **kwargs):
        reply = super().submit(fn, *args, **kwargs)
        if not reply.exception() and isinstance(reply.result(), np.ndarray):
            self.array = getattr(self, "array", reply.result())
            self.array[...] = reply.result()
            return super().submit(lambda: self.array)
        return reply


class CannotBeClosed(SerialPool):
    def close(self):
        pass


LEFT_BEHIND = []


class LeavesAProcess(SerialPool):
    def submit(self, fn, /, *args, **kwargs):
        if not LEFT_BEHIND:
            LEFT_BEHIND.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
        return super().submit(fn, *args, **kwargs)


class LeavesAThread(ThreadPool):
    def close(self):
        LEFT_BEHIND.append(self)


@pytest.mark.parametrize(
    ("engine", "test", "args"),
    [
        (LosesOrder, "test_order_is_kept", (2,)),
        (LosesOrder, "test_an_error_keeps_its_place", ()),
        (LosesErrors, "test_an_error_keeps_its_place", ()),
        (LosesErrors, "test_a_task_that_raises_stopiteration_does_not_end_the_loop", ()),
        (LosesOrder, "test_streams_side_by_side", ()),
        (LosesOrder, "test_a_parallel_source_gives_the_batches_of_its_source", ()),
        (LosesKeywords, "test_keyword_arguments_arrive", ()),
        (SharesStaleObjects, "test_a_shared_constant_arrives", ()),
        (GivesOneArrayForAll, "test_arrays_come_back_unchanged_and_independent", ()),
    ],
)
def test_a_broken_pool_fails(engine, test, args):
    """Each of these pools breaks a promise, and the test of that promise says so."""
    with OfOnesOwn(engine()) as pool:
        breaks(made(PoolContract, lambda: pool), test, pool, *args)


@pytest.mark.parametrize(
    "test",
    ["test_a_closed_pool_takes_no_work", "test_the_end_of_with_closes", "test_closing_ends_the_loops_that_still_run"],
)
def test_a_pool_that_cannot_be_closed_fails(test):
    """Work that is taken after `close` is seen."""
    breaks(made(PoolContract, lambda: OfOnesOwn(CannotBeClosed())), test)


def test_a_pool_that_leaves_a_worker_behind_fails(monkeypatch):
    """A process or a thread that outlives `close` is seen."""
    test = "test_closing_leaves_no_worker_behind"
    monkeypatch.setattr("batchup.testing.contracts.pools.SECONDS", 0.1)
    try:
        breaks(made(PoolContract, lambda: OfOnesOwn(LeavesAProcess())), test)
        breaks(made(PoolContract, lambda: OfOnesOwn(LeavesAThread(1))), test)
    finally:
        for each in LEFT_BEHIND:
            ThreadPool.close(each) if isinstance(each, ThreadPool) else each.communicate(b"\n")


class OutOfStep(WorkerThreadPool):
    """Its streams draw more, or in another thread, or go on after they were closed."""

    def __init__(self, how):
        super().__init__(1)
        self.how = how

    def work_stream(self, tasks, task_buffer_size=20):
        return super().work_stream(*self.how(tasks, task_buffer_size))


def all_at_once(tasks, depth):
    return list(tasks), depth


def one_less(tasks, depth):
    return tasks, max(depth - 1, 1)


def drawn_in_another_thread(tasks, depth):
    with ThreadPool(1) as thread:
        return thread.submit(list, tasks).result(), depth


@pytest.mark.parametrize(
    ("how", "test", "args"),
    [
        (all_at_once, "test_no_more_than_depth_are_drawn_ahead", (3,)),
        (one_less, "test_no_more_than_depth_are_drawn_ahead", (3,)),
        (drawn_in_another_thread, "test_tasks_are_drawn_in_the_thread_of_the_consumer", ()),
        (all_at_once, "test_a_closed_stream_ends", ()),
    ],
)
def test_a_pool_with_broken_streams_fails(how, test, args):
    """A plan that is drawn ahead of its time, or elsewhere, is seen."""
    with OutOfStep(how) as pool:
        breaks(made(PoolContract, lambda: pool), test, pool, *args)


def test_a_pool_that_takes_any_source_fails():
    """A source without indices in parallel is seen."""

    class TakesAll(WorkerThreadPool):
        def parallel_data_source(self, ds, batch_buffer_size=20, timeout=None):
            return ds

    with TakesAll() as pool:
        breaks(made(PoolContract, lambda: pool), "test_a_source_without_indices_is_refused", pool)


# What `plain` tells apart.


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.arange(3), np.arange(3.0)),
        (np.arange(3), [0, 1, 2]),
        (np.zeros((0, 2)), np.zeros((0, 3))),
        ((np.arange(3),), (np.arange(3), np.arange(3))),
        ({"a": np.arange(3)}, {"b": np.arange(3)}),
        (np.array([np.nan, 1]), np.array([np.nan, 2])),
        (([1],), [[1]]),
        (np.ma.array([1, 2]), np.ma.array([1, 2], mask=[False, True])),
        (np.ma.array([1, 2]), np.array([1, 2])),
        ([True], [1]),
        ([1], [1.0]),
        (np.array([1, None]), np.array([1.0, None])),
        (np.array([(1, 2), [3]], dtype=object)[:1], np.array([[1, 2], (3,)], dtype=object)[:1]),
        (np.array([b"a\0"], dtype=object), np.array([b"a"])),
    ],
)
def test_plain_tells_batches_apart(one, other):
    """By dtype, shape, kind and value."""
    assert plain(one) != plain(other)


@pytest.mark.parametrize(
    "x",
    [
        np.array([np.nan, 1]),
        np.array(["NaT", "2020-01-01"], dtype="M8[D]"),
        [np.arange(3), None, float("nan")],
        {"a": (np.eye(2),)},
        np.array([np.nan, None, np.arange(2)], dtype=object),
        np.ma.array([1, 2], mask=[False, True]),
    ],
)
def test_plain_is_equal_for_equal_batches(x):
    """Also with NaN in them, which is not equal to itself."""
    assert plain(x) == plain(copy.deepcopy(x))


# Strategies.
