"""Test suite for worker pools. Subclass it to test your own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest

from ...data_source import ArrayDataSource, Batch, CallableDataSource
from ...errors import PoolClosedError, WorkerError
from ...work_pool import AbstractWorkerPool
from .comparable import plain

__all__ = ["PoolContract"]

SECONDS = 10.0  # time limit for workers to end


class PoolContract:
    """Tests of a pool of workers. Subclass it, and let `make` return yours.

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
        """The results before and after an error arrive."""
        stream = pool.work_stream((_inverse, (n,)) for n in [1, 0, 2, 0, 4])

        assert [1.0, ZeroDivisionError, 0.5, ZeroDivisionError, 0.25] == outcomes(stream)

    def test_a_task_that_raises_stopiteration_does_not_end_the_loop(self, pool: AbstractWorkerPool) -> None:
        """A StopIteration arrives as a WorkerError, and the results after it arrive."""
        stream = pool.work_stream([(next, (iter([]),)), (pow, (2, 3))])

        assert [WorkerError, 8] == outcomes(stream)

    @pytest.mark.parametrize("depth", [1, 3, 8])
    def test_no_more_than_depth_are_drawn_ahead(self, pool: AbstractWorkerPool, depth: int) -> None:
        """`depth` tasks start when the stream is made, and one more for each result that is taken."""
        drawn: list[int] = []
        stream = pool.work_stream(((abs, (drawn.append(n) or n,)) for n in range(20)), depth)  # type: ignore[func-returns-value]
        ahead = [len(drawn)] + [len(drawn) - taken for taken, _ in enumerate(stream, start=1)]

        assert [min(depth, 20 - taken) for taken in range(21)] == ahead

    def test_tasks_are_drawn_in_the_thread_of_the_consumer(self, pool: AbstractWorkerPool) -> None:
        """The plan, with all its random draws, stays in one thread."""
        idents = []

        def tasks() -> Iterator[tuple[Any, ...]]:
            for n in range(5):
                idents.append(threading.get_ident())
                yield abs, (n,)

        list(pool.work_stream(tasks(), 2))

        assert [threading.get_ident()] * 5 == idents

    def test_keyword_arguments_arrive(self, pool: AbstractWorkerPool) -> None:
        """A task is a function with its positional and keyword arguments."""
        assert [3, {}, [1, 2, 3]] == list(
            pool.work_stream([(int, ("11",), {"base": 2}), (dict,), (sorted, ([3, 1, 2],))])
        )

    def test_a_shared_constant_arrives(self, pool: AbstractWorkerPool) -> None:
        """A function gets the value of a shared constant that is among its arguments, in every task."""
        large = np.arange(100_000.0)
        shared = pool.shared_constant(large)

        expected = [large[n:].sum() for n in range(5)]
        assert expected == list(pool.work_stream((_sum_from, (shared, n)) for n in range(5)))
        assert expected == list(pool.work_stream((_sum_from, (), {"array": shared, "first": n}) for n in range(5)))

    def test_arrays_come_back_unchanged_and_independent(self, pool: AbstractWorkerPool) -> None:
        """Results are writable, and writing to one does not change another."""
        arrays = list(pool.work_stream((np.full, ((50, 1000), n)) for n in range(6)))
        arrays[2][...] = -1

        assert [0, 1, -1, 3, 4, 5] == [int(array.min()) for array in arrays]
        assert [0, 1, -1, 3, 4, 5] == [int(array.max()) for array in arrays]

    def test_streams_side_by_side(self, pool: AbstractWorkerPool) -> None:
        """A pool serves several streams at once, also after an earlier stream was abandoned."""
        next(pool.work_stream((abs, (n,)) for n in range(100)))
        evens = pool.work_stream(((abs, (n,)) for n in range(0, 20, 2)), 3)
        odds = pool.work_stream(((abs, (n,)) for n in range(1, 20, 2)), 3)

        assert list(range(20)) == [n for pair in zip(evens, odds, strict=True) for n in pair]

    def test_a_parallel_source_gives_the_batches_of_its_source(self, pool: AbstractWorkerPool) -> None:
        """With generators in equal states, the batches are those of the serial source."""
        ds = ArrayDataSource([np.arange(100), np.arange(200.0).reshape(100, 2)], repeats=2).map(_halves)
        parallel = pool.parallel_data_source(ds, batch_buffer_size=4)

        expected = [plain(batch) for batch in ds.batch_iterator(7, shuffle=np.random.RandomState(3))]
        assert expected == [plain(batch) for batch in parallel.batch_iterator(7, shuffle=np.random.RandomState(3))]
        assert ds.num_samples() == parallel.num_samples()

    def test_a_source_without_indices_is_refused(self, pool: AbstractWorkerPool) -> None:
        """A source without random access cannot be fetched in parallel: the call raises an error."""
        with pytest.raises(TypeError, match="CallableDataSource"):
            pool.parallel_data_source(CallableDataSource(lambda batch_size: iter([])))

    def test_a_closed_stream_ends(self, pool: AbstractWorkerPool) -> None:
        """After `close`, a stream gives no more results and draws no more tasks."""
        drawn: list[int] = []
        stream = pool.work_stream(((abs, (drawn.append(n) or n,)) for n in range(20)), 3)  # type: ignore[func-returns-value]
        stream.close()

        assert ([], [0, 1, 2]) == (list(stream), drawn)

    def test_a_closed_pool_takes_no_work(self) -> None:
        """A closed pool raises a PoolClosedError, rather than wait for ever. It may be closed twice."""
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
        """When a pool is closed during a loop, the loop ends with a PoolClosedError."""
        with self.make() as pool:
            stream = pool.work_stream(((abs, (n,)) for n in range(100)), 4)
            next(stream)
        seen = outcomes(stream)

        assert len(seen) < 99
        assert [PoolClosedError] == seen[-1:]

    def test_closing_leaves_no_worker_behind(self) -> None:
        """The threads and processes of a pool end when it is closed."""
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
    """The results; for a task that failed, the type of its error."""
    seen: list[Any] = []
    while True:
        try:
            seen.append(next(results))
        except StopIteration:
            return seen
        except Exception as error:
            seen.append(type(error))


def _is_tracker(process: Any) -> bool:
    """Whether it is a resource tracker of Python or loky: one per program, which ends with the program."""
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
