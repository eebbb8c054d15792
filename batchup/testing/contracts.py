"""What a sampler, an accessor, a source and a pool have to do, as tests that a subclass inherits."""

from __future__ import annotations

import contextlib
import itertools
import pickle
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest

from ..data_source import AbstractDataSource, ArrayDataSource, Batch, CallableDataSource
from ..engine import tree
from ..engine.rng import Rng
from ..errors import PoolClosedError, WorkerError
from ..sampling import AbstractSampler
from ..work_pool import AbstractWorkerPool

__all__ = [
    "AccessorContract",
    "PoolContract",
    "RandomAccessSourceContract",
    "SamplerContract",
    "SequentialSourceContract",
    "SourceContract",
    "plain",
]

SOME = 12  # batches to look at, where there may be no end
SECONDS = 10.0  # that workers have to end
both_generators = pytest.mark.parametrize("new_rng", [np.random.RandomState, np.random.default_rng])
bad_batch_sizes = pytest.mark.parametrize("batch_size", [0, -1, True, 2.5, "3"])


def plain(x: Any) -> Any:
    """The same tree with lists for arrays, each beside its dtype and shape, so that ``==`` compares batches.

    >>> plain((np.arange(3), "a"))
    (('int64', (3,), [0, 1, 2]), 'a')
    """
    if isinstance(x, tuple):
        return tuple(plain(part) for part in x)
    if isinstance(x, list):
        return [plain(part) for part in x]
    if isinstance(x, dict):
        return {key: plain(part) for key, part in x.items()}
    if hasattr(x, "__array__") or hasattr(x, "__array_interface__"):
        array = np.asarray(x)
        nan_is_nan = np.where(array != array, "nan", array.astype(object))
        return str(array.dtype), array.shape, nan_is_nan.tolist()
    return x


def some(batches: Iterable[Any]) -> list[Any]:
    """The first few, in a form that ``==`` compares."""
    return [plain(batch) for batch in itertools.islice(batches, SOME)]


def joined(batches: Iterable[Any]) -> list[int]:
    return [int(index) for batch in batches for index in batch]


class SamplerContract:
    """Tests of a sampler: `make` says which.

    Attributes
    ----------
    n_samples : int
        How many samples the data has: all indices are below it.

    Examples
    --------
    >>> from batchup.sampling import StandardSampler
    >>> class TestTwice(SamplerContract):
    ...     n_samples = 7
    ...
    ...     def make(self):
    ...         return StandardSampler(7, repeats=2)
    ...
    ...     def one_go(self):
    ...         return list(range(7)) * 2
    """

    n_samples: int

    def make(self) -> AbstractSampler:
        """A new sampler, the same each time."""
        raise NotImplementedError("make should return a new sampler")

    def one_go(self) -> Sequence[int] | None:
        """The indices of one go through the sampler, in any order: each of `n_samples` once, unless overridden.
        None where the sampler draws at random or has no end."""
        return range(self.n_samples)

    def in_order(self, batch_size: int, sampler: AbstractSampler | None = None) -> Iterator[Any]:
        try:
            return (sampler or self.make()).in_order_indices_batch_iterator(batch_size)
        except NotImplementedError:  # at the call, not at the first batch
            pytest.skip("the sampler has no order")

    def shuffled(self, batch_size: int, rng: Rng, sampler: AbstractSampler | None = None) -> Iterator[Any]:
        return (sampler or self.make()).shuffled_indices_batch_iterator(batch_size, rng)

    def test_batches_are_arrays_of_indices_of_samples(self) -> None:
        """A batch is a 1-D array of integers, each the index of a sample."""
        for batch in itertools.islice(self.shuffled(3, np.random.RandomState(0)), SOME):
            assert isinstance(batch, np.ndarray)
            assert ("i", 1) == (batch.dtype.kind, batch.ndim)
            assert set(batch.tolist()) <= set(range(self.n_samples))

    @pytest.mark.parametrize("batch_size", [1, 2, 3, 1000])
    def test_only_the_last_batch_is_short(self, batch_size: int) -> None:
        """All batches have `batch_size` indices but the last, which has at least one."""
        sizes = [len(b) for b in itertools.islice(self.shuffled(batch_size, np.random.RandomState(0)), SOME)]

        assert [batch_size] * len(sizes[:-1]) == sizes[:-1]
        assert all(0 < size <= batch_size for size in sizes[-1:])

    @both_generators
    def test_shuffled_every_sample_comes_as_often_as_it_should(self, new_rng: Callable[[int], Rng]) -> None:
        """A shuffled go is `one_go` in some order."""
        expected = self.one_go()
        if expected is None:
            pytest.skip("the sampler draws at random or has no end")

        assert sorted(expected) == sorted(joined(self.shuffled(3, new_rng(0))))

    def test_in_order_every_sample_comes_as_often_as_it_should(self) -> None:
        """A go in order is `one_go` in some order."""
        expected = self.one_go()
        if expected is None:
            pytest.skip("the sampler draws at random or has no end")

        assert sorted(expected) == sorted(joined(self.in_order(3)))

    def test_it_says_how_many_there_are(self) -> None:
        """`num_indices_generated` is how many come, infinity, or None for unknown."""
        said, expected = self.make().num_indices_generated(), self.one_go()
        batches = list(itertools.islice(self.shuffled(1, np.random.RandomState(0)), 10 * self.n_samples))

        if expected is not None:
            assert said in (len(expected), None)
        assert said in (len(batches), None) or (said == np.inf and len(batches) == 10 * self.n_samples)

    @both_generators
    def test_the_generator_decides(self, new_rng: Callable[[int], Rng]) -> None:
        """Equal generators give equal batches, whatever was drawn before and elsewhere."""
        sampler = self.make()
        first = some(self.shuffled(3, new_rng(7), sampler))
        np.random.random()
        again = some(self.shuffled(3, new_rng(7), sampler))

        assert first == again

    @both_generators
    def test_another_generator_gives_another_order(self, new_rng: Callable[[int], Rng]) -> None:
        """Shuffled batches are not all one order, unless there is nothing to shuffle."""
        orders = [joined(itertools.islice(self.shuffled(3, new_rng(seed)), SOME)) for seed in range(20)]
        if len({index for order in orders for index in order}) < 2:
            pytest.skip("there are no two samples to shuffle")

        assert any(order != orders[0] for order in orders)

    def test_in_order_is_the_same_each_time(self) -> None:
        """Going through it, again, and beside another go, gives the same batches."""
        sampler = self.make()
        once = some(self.in_order(3, sampler))
        side_by_side = zip(self.in_order(3, sampler), self.in_order(3, sampler), strict=True)

        assert [(batch, batch) for batch in once] == some(side_by_side)

    def test_writing_into_a_batch_changes_nothing_else(self) -> None:
        """Whoever writes into the indices of a batch does not change a later go."""
        sampler = self.make()
        expected = some(self.shuffled(3, np.random.RandomState(0), sampler))
        _spoil(self.shuffled(3, np.random.RandomState(1), sampler))
        with contextlib.suppress(NotImplementedError):
            _spoil(sampler.in_order_indices_batch_iterator(3))

        assert expected == some(self.shuffled(3, np.random.RandomState(0), sampler))

    def test_positions_begin_where_the_order_begins(self) -> None:
        """`map_indices` says which sample stands first, also when it is asked twice at once."""
        first = next(self.in_order(1), None)
        if first is None:
            pytest.skip("the sampler has no samples")

        assert [first[0], first[0]] == list(self.make().map_indices(np.array([0, 0])))

    def test_it_pickles(self) -> None:
        """A sampler that was pickled gives the same batches."""
        there_and_back = pickle.loads(pickle.dumps(self.make()))

        assert some(self.shuffled(3, np.random.RandomState(0))) == some(
            self.shuffled(3, np.random.RandomState(0), there_and_back)
        )

    @bad_batch_sizes
    def test_a_batch_size_that_is_none_is_refused(self, batch_size: Any) -> None:
        """A `batch_size` that is no positive integer is an error before any batch comes."""
        with pytest.raises((TypeError, ValueError)):
            next(self.shuffled(batch_size, np.random.RandomState(0)))


class AccessorContract:
    """Tests of an array-like of your own, for `ArrayDataSource`: `make` says which. It needs at least two samples.

    Examples
    --------
    >>> class Squares:
    ...     def __len__(self):
    ...         return 100
    ...
    ...     def __getitem__(self, index):
    ...         return index ** 2
    >>> class TestSquares(AccessorContract):
    ...     def make(self):
    ...         return Squares()
    """

    def make(self) -> Any:
        """A new accessor, the same each time."""
        raise NotImplementedError("make should return an object with __len__ and __getitem__")

    def singles(self, positions: Sequence[int]) -> list[Any]:
        accessor = self.make()
        return [_plain_values(accessor[i]) for i in positions]

    @pytest.mark.parametrize("positions", [[0], [0, 1], [1, 0], [-1], [-1, 0, 0]])
    def test_an_array_of_indices_gives_the_samples_in_that_order(self, positions: list[int]) -> None:
        """What comes for an array of indices is what comes for each of them, one sample after the other."""
        accessor = self.make()
        indices = np.array(positions) % len(accessor)

        assert self.singles(indices.tolist()) == [_plain_values(each) for each in accessor[indices]]

    def test_an_integer_of_numpy_is_an_integer(self) -> None:
        """`accessor[numpy.int64(1)]` is `accessor[1]`."""
        assert self.singles([1]) == [_plain_values(self.make()[np.int64(1)])]

    def test_asking_again_gives_the_same(self) -> None:
        """A sample does not depend on what was asked for before."""
        accessor = self.make()
        once = plain(accessor[np.array([0, 1])])
        accessor[np.array([1])]

        assert once == plain(accessor[np.array([0, 1])])

    def test_it_pickles(self) -> None:
        """An accessor that was pickled gives the same samples, so that worker processes can have it."""
        there_and_back = pickle.loads(pickle.dumps(self.make()))

        assert len(self.make()) == len(there_and_back)
        assert plain(self.make()[np.array([1, 0])]) == plain(there_and_back[np.array([1, 0])])


class SourceContract:
    """Tests of any source: `make` says which. Rather subclass `RandomAccessSourceContract` or
    `SequentialSourceContract`, which have more of them."""

    def make(self) -> AbstractDataSource:
        """A new source, the same each time."""
        raise NotImplementedError("make should return a new data source")

    def batches(self, batch_size: int, **kwargs: Any) -> Iterator[Batch]:
        return self.make().batch_iterator(batch_size, **kwargs)

    @pytest.mark.parametrize("batch_size", [1, 3, 1000])
    def test_batches_have_between_one_and_batch_size_samples(self, batch_size: int) -> None:
        """A batch is a tuple or a dict whose parts are of one length, at most `batch_size`."""
        for batch in itertools.islice(self.batches(batch_size), SOME):
            assert isinstance(batch, (tuple, dict))
            assert 1 == len({len(leaf) for leaf in tree.leaves(batch)})
            assert 1 <= tree.length(batch) <= batch_size

    def test_it_gives_as_many_samples_as_it_says(self) -> None:
        """`num_samples` is how many come, infinity, or None for unknown."""
        said = self.make().num_samples()
        if said is None:
            pytest.skip("the source does not know how many samples it has")
        came = sum(tree.length(batch) for batch in itertools.islice(self.batches(3), 1000))

        assert said == came or (said == np.inf and came == 3000)

    def test_equal_sources_give_equal_batches(self) -> None:
        """In order, nothing is left to chance."""
        assert some(self.batches(3)) == some(self.batches(3))

    def test_mapping_changes_no_more_than_the_function_does(self) -> None:
        """`map` gives what the function makes of each batch."""
        expected = [(batch,) for batch in some(self.batches(3))]
        mapped = self.make().map(lambda *batch: (batch[0] if batch and isinstance(batch[0], dict) else batch,))

        assert expected == some(mapped.batch_iterator(3))


class SequentialSourceContract(SourceContract):
    """Tests of a source whose batches come one after the other: `make` says which.

    `make` returns a source that gives at least one batch, of at most as many samples as it is asked for.

    Examples
    --------
    >>> def counted(batch_size, shuffle=None):
    ...     for first in range(0, 10, batch_size):
    ...         yield (np.arange(first, min(first + batch_size, 10)),)
    >>> class TestCounted(SequentialSourceContract):
    ...     def make(self):
    ...         return CallableDataSource(counted, 10)
    """

    def test_it_does_not_pretend_to_fetch_by_index(self) -> None:
        """There is no plan and no fetch, and asking for one is an error at the call."""
        ds = self.make()

        assert ds.is_random_access is False
        with pytest.raises((NotImplementedError, TypeError)):
            ds.batch_indices_iterator(3)
        for fetch in (ds.samples_by_indices, ds.samples_by_indices_nomapping):
            with pytest.raises((NotImplementedError, TypeError)):
                fetch(np.array([0]))


class RandomAccessSourceContract(SourceContract):
    """Tests of a source that fetches by index: `make` says which.

    Examples
    --------
    >>> class TestTwoArrays(RandomAccessSourceContract):
    ...     def make(self):
    ...         return ArrayDataSource([np.arange(10), np.arange(10) % 2])
    """

    @pytest.mark.parametrize("shuffle", [None, np.random.RandomState, np.random.default_rng])
    @pytest.mark.parametrize("batch_size", [1, 3, 1000])
    def test_batches_are_fetched_picks(self, batch_size: int, shuffle: Callable[[int], Rng] | None) -> None:
        """The batches are the fetch of each pick of the plan."""
        ds = self.make()
        new = {} if shuffle is None else {"shuffle": shuffle}
        plan = ds.batch_indices_iterator(batch_size, **{name: rng(5) for name, rng in new.items()})
        fetched = map(ds.samples_by_indices_nomapping, plan)

        assert some(fetched) == some(ds.batch_iterator(batch_size, **{name: rng(5) for name, rng in new.items()}))

    def test_it_says_that_it_is_random_access(self) -> None:
        """`is_random_access` is a property, and True."""
        assert self.make().is_random_access is True

    def test_a_fetch_depends_on_its_pick_alone(self) -> None:
        """Picks may be fetched in any order, more than once."""
        ds = self.make()
        plan = list(itertools.islice(ds.batch_indices_iterator(3, shuffle=np.random.RandomState(0)), SOME))
        forwards = [plain(ds.samples_by_indices_nomapping(pick)) for pick in plan]
        backwards = [plain(ds.samples_by_indices_nomapping(pick)) for pick in reversed(plan)]

        assert forwards == backwards[::-1]

    def test_source_and_picks_pickle(self) -> None:
        """A source and a pick that were pickled give the same batch, so that worker processes can have them."""
        ds = self.make()
        plan = list(itertools.islice(ds.batch_indices_iterator(3, shuffle=np.random.RandomState(0)), SOME))
        ds_there, plan_there = pickle.loads(pickle.dumps((ds, plan)))

        assert some(map(ds.samples_by_indices_nomapping, plan)) == some(
            map(ds_there.samples_by_indices_nomapping, plan_there)
        )

    @bad_batch_sizes
    def test_a_batch_size_that_is_none_is_refused(self, batch_size: Any) -> None:
        """A `batch_size` that is no positive integer is an error before any batch comes."""
        with pytest.raises((TypeError, ValueError)):
            next(self.batches(batch_size, shuffle=np.random.RandomState(0)))

    def test_a_misspelt_keyword_is_refused(self) -> None:
        """`shufle=True` is an error, at the call, rather than an epoch in order."""
        with pytest.raises(TypeError, match="shufle"):
            self.batches(3, shufle=True)


class PoolContract:
    """Tests of a pool of workers: `make` says which.

    Examples
    --------
    >>> from batchup.work_pool import WorkerThreadPool
    >>> class TestThreads(PoolContract):
    ...     def make(self):
    ...         return WorkerThreadPool(2)
    """

    def make(self) -> AbstractWorkerPool:
        """A new pool."""
        raise NotImplementedError("make should return a new pool")

    @pytest.fixture
    def pool(self) -> Iterator[AbstractWorkerPool]:
        with self.make() as pool:
            yield pool

    @pytest.mark.parametrize("depth", [1, 2, 20])
    def test_order_is_kept(self, pool: AbstractWorkerPool, depth: int) -> None:
        """The results come in the order of the tasks."""
        tasks = ((pow, (n, 2)) for n in range(50))

        assert [n**2 for n in range(50)] == list(pool.work_stream(tasks, depth))

    def test_an_error_keeps_its_place(self, pool: AbstractWorkerPool) -> None:
        """The results before and behind an error arrive."""
        stream = pool.work_stream((_inverse, (n,)) for n in [1, 0, 2, 0, 4])

        assert [1.0, ZeroDivisionError, 0.5, ZeroDivisionError, 0.25] == outcomes(stream)

    def test_a_task_that_raises_stopiteration_does_not_end_the_loop(self, pool: AbstractWorkerPool) -> None:
        """A StopIteration arrives as a WorkerError, and the results behind it arrive."""
        stream = pool.work_stream([(next, (iter([]),)), (pow, (2, 3))])

        assert [WorkerError, 8] == outcomes(stream)

    @pytest.mark.parametrize("depth", [1, 3, 8])
    def test_no_more_than_depth_are_drawn_ahead(self, pool: AbstractWorkerPool, depth: int) -> None:
        """So many tasks begin when the stream is made, and one more for each result that is taken."""
        drawn: list[int] = []
        stream = pool.work_stream(((abs, (drawn.append(n) or n,)) for n in range(20)), depth)  # type: ignore[func-returns-value]
        ahead = [len(drawn)] + [len(drawn) - taken for taken, _ in enumerate(stream, start=1)]

        assert [min(depth, 20 - taken) for taken in range(21)] == ahead

    def test_tasks_are_drawn_in_the_thread_of_the_consumer(self, pool: AbstractWorkerPool) -> None:
        """The plan, and with it all chance, stays in one thread."""
        idents = []

        def tasks() -> Iterator[tuple[Any, ...]]:
            for n in range(5):
                idents.append(threading.get_ident())
                yield abs, (n,)

        list(pool.work_stream(tasks(), 2))

        assert [threading.get_ident()] * 5 == idents

    def test_keyword_arguments_arrive(self, pool: AbstractWorkerPool) -> None:
        """A task is a function, its arguments, and its keyword arguments."""
        assert [3, {}, [1, 2, 3]] == list(
            pool.work_stream([(int, ("11",), {"base": 2}), (dict,), (sorted, ([3, 1, 2],))])
        )

    def test_a_shared_constant_arrives(self, pool: AbstractWorkerPool) -> None:
        """Where a task has a shared constant among its arguments, its function gets the value, in every task."""
        large = np.arange(100_000.0)
        shared = pool.shared_constant(large)

        expected = [large[n:].sum() for n in range(5)]
        assert expected == list(pool.work_stream((_sum_from, (shared, n)) for n in range(5)))
        assert expected == list(pool.work_stream((_sum_from, (), {"array": shared, "first": n}) for n in range(5)))

    def test_arrays_come_back_as_they_were_and_apart(self, pool: AbstractWorkerPool) -> None:
        """Results can be written to, and writing to one changes no other."""
        arrays = list(pool.work_stream((np.full, ((50, 1000), n)) for n in range(6)))
        arrays[2][...] = -1

        assert [0, 1, -1, 3, 4, 5] == [int(array.min()) for array in arrays]
        assert [0, 1, -1, 3, 4, 5] == [int(array.max()) for array in arrays]

    def test_streams_side_by_side(self, pool: AbstractWorkerPool) -> None:
        """A pool serves several loops at once, and goes on after one that was given up."""
        next(pool.work_stream((abs, (n,)) for n in range(100)))
        evens = pool.work_stream(((abs, (n,)) for n in range(0, 20, 2)), 3)
        odds = pool.work_stream(((abs, (n,)) for n in range(1, 20, 2)), 3)

        assert list(range(20)) == [n for pair in zip(evens, odds, strict=True) for n in pair]

    def test_a_parallel_source_gives_the_batches_of_its_source(self, pool: AbstractWorkerPool) -> None:
        """With equal generators, the batches are equal, whoever prepares them."""
        ds = ArrayDataSource([np.arange(100), np.arange(200.0).reshape(100, 2)], repeats=2).map(_halves)
        parallel = pool.parallel_data_source(ds, batch_buffer_size=4)

        expected = [plain(batch) for batch in ds.batch_iterator(7, shuffle=np.random.RandomState(3))]
        assert expected == [plain(batch) for batch in parallel.batch_iterator(7, shuffle=np.random.RandomState(3))]
        assert ds.num_samples() == parallel.num_samples()

    def test_a_source_without_indices_is_refused(self, pool: AbstractWorkerPool) -> None:
        """A source that cannot fetch by index cannot be fetched in parallel: an error at the call."""
        with pytest.raises(TypeError, match="CallableDataSource"):
            pool.parallel_data_source(CallableDataSource(lambda batch_size: iter([])))

    def test_a_closed_stream_ends(self, pool: AbstractWorkerPool) -> None:
        """After `close`, a stream has no more results, and draws no more tasks."""
        drawn: list[int] = []
        stream = pool.work_stream(((abs, (drawn.append(n) or n,)) for n in range(20)), 3)  # type: ignore[func-returns-value]
        stream.close()

        assert ([], [0, 1, 2]) == (list(stream), drawn)

    def test_a_closed_pool_takes_no_work(self) -> None:
        """Work for a closed pool is a PoolClosedError, not a loop that waits for ever; closing twice is no error."""
        pool = self.make()
        pool.close()
        pool.close()

        with pytest.raises(PoolClosedError):
            list(pool.work_stream([(abs, (1,))]))

    def test_the_end_of_with_closes(self) -> None:
        """A pool is a context manager."""
        with self.make() as pool:
            assert [1] == list(pool.work_stream([(abs, (1,))]))

        with pytest.raises(PoolClosedError):
            list(pool.work_stream([(abs, (1,))]))

    def test_closing_ends_the_loops_that_still_run(self) -> None:
        """A loop over a pool that is closed meanwhile ends, at the latest with a PoolClosedError."""
        with self.make() as pool:
            stream = pool.work_stream(((abs, (n,)) for n in range(100)), 4)
            next(stream)
        seen = outcomes(stream)

        assert len(seen) < 99
        assert [PoolClosedError] == seen[-1:]

    def test_closing_leaves_no_worker_behind(self) -> None:
        """The threads and processes of a pool end with it."""
        threads, children = set(threading.enumerate()), set(psutil.Process().children(recursive=True))
        with self.make() as pool:
            list(pool.work_stream((abs, (n,)) for n in range(5)))
            new_threads = set(threading.enumerate()) - threads
            workers = [
                each for each in set(psutil.Process().children(recursive=True)) - children if not _is_tracker(each)
            ]
        for thread in new_threads:
            thread.join(timeout=SECONDS)
        _, alive = psutil.wait_procs(workers, timeout=SECONDS)

        assert ([], []) == ([each for each in new_threads if each.is_alive()], alive)


def outcomes(results: Iterator[Any]) -> list[Any]:
    """The results, with the type of its error in place of each that failed."""
    seen: list[Any] = []
    while True:
        try:
            seen.append(next(results))
        except StopIteration:
            return seen
        except Exception as error:
            seen.append(type(error))


def _plain_values(x: Any) -> Any:
    """One sample, without its dtype: a single number and one of an array need not be of one type."""
    return plain(x)[2] if hasattr(x, "__array__") or hasattr(x, "__array_interface__") else plain(x)


def _spoil(batches: Iterator[Any]) -> None:
    for batch in itertools.islice(batches, SOME):
        if batch.flags.writeable:
            batch[...] = 0


def _is_tracker(process: Any) -> bool:
    """Whether it is Python's or loky's own helper, one for the program, which ends with it."""
    try:
        return "resource_tracker" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def _inverse(x: float) -> float:
    return 1 / x


def _sum_from(array: Any, first: int) -> float:
    return float(array[first:].sum())


def _halves(x: Any, y: Any) -> Batch:
    return x / 2, y / 2
