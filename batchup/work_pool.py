"""Work pools: prefetch batches in threads or in processes.

The batches and their order are the same as without a pool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from .data_source import AbstractDataSource, Batch, Pick, Plan, Traits
from .data_source.coerce import as_data_source
from .data_source.interface import warn_of_own_batches
from .data_source.replay import Epoch
from .engine.checks import whole
from .engine.closing import Closing
from .engine.global_rng import drawn_seed, seed_globals
from .engine.pools import Pool, ThreadPool
from .engine.rng import entropy_of
from .engine.shuffle import Shuffle, as_rng
from .engine.stream import DEPTH, Task, WorkStream, seconds
from .errors import (
    BatchTimeoutError,
    BatchUpError,
    DataSourcePicklingError,
    PoolClosedError,
    SharedMemoryError,
    WorkerDiedError,
    WorkerError,
    located,
)

__all__ = [
    "AbstractWorkerPool",
    "BatchStream",
    "BatchTimeoutError",
    "BatchUpError",
    "DataSourcePicklingError",
    "ParallelDataSource",
    "PoolClosedError",
    "SharedMemoryError",
    "WorkStream",
    "WorkerDiedError",
    "WorkerError",
    "WorkerPool",
    "WorkerProcessPool",
    "WorkerThreadPool",
]


class AbstractWorkerPool(Closing):
    """The base class of pools. A pool can serve several loops at once, and runs until it is closed.

    Use it in a ``with`` statement, which closes it at the end. The end of the program closes all open pools.
    """

    @property
    def engine(self) -> Pool:
        """The pool of the engine that runs the tasks."""
        raise NotImplementedError(f"{type(self).__name__} has no workers; WorkerThreadPool and WorkerProcessPool have")

    def shared_constant(self, x: Any) -> Any:
        """Send a large object to the workers only once. Pass the result to tasks in place of `x`.

        Parameters
        ----------
        x : object
            Do not change it from now on.

        Returns
        -------
        object
            If a task has this among its arguments, its function gets `x`.
        """
        return self.engine.share(x)

    def work_stream(self, task_generator: Iterable[Task], task_buffer_size: int = DEPTH) -> WorkStream:
        """Run tasks ahead of the consumer, and return their results in order.

        Parameters
        ----------
        task_generator : iterable of tuples
            ``(fn,)``, ``(fn, args)`` or ``(fn, args, kwargs)``.
        task_buffer_size : int, default 20
            How many tasks may be in flight: running, or done and not yet taken. This many start at once.

        Returns
        -------
        WorkStream
            An iterator, with `retrieve` (None at the end), `retrieve_iter` and `close`.

        Examples
        --------
        >>> with WorkerThreadPool(2) as pool:
        ...     list(pool.work_stream((pow, (n, 2)) for n in range(5)))
        [0, 1, 4, 9, 16]
        """
        return WorkStream(self.engine, task_generator, whole("task_buffer_size", task_buffer_size))

    def parallel_data_source(
        self, ds: Any, batch_buffer_size: int = DEPTH, timeout: float | None = None
    ) -> ParallelDataSource:
        """The same source, with its batches prefetched by this pool.

        Parameters
        ----------
        ds : data source
            One that fetches by index.
        batch_buffer_size : int, default 20
            How many batches may be in flight: being fetched, or ready and not yet taken.
        timeout : float, optional
            How many seconds a loop may wait for one batch.

        Returns
        -------
        ParallelDataSource

        Raises
        ------
        TypeError
            If `ds` cannot fetch by index.

        Examples
        --------
        >>> import numpy as np
        >>> from batchup.data_source import ArrayDataSource
        >>> ds = ArrayDataSource([np.arange(5)]).map(lambda x: (x * 10,))
        >>> with WorkerThreadPool(2) as pool:
        ...     for (x,) in pool.parallel_data_source(ds).batch_iterator(3):
        ...         print(x)
        [ 0 10 20]
        [30 40]
        """
        return ParallelDataSource(ds, batch_buffer_size, self, timeout)

    def close(self) -> None:
        """End all workers. Tasks that wait are cancelled, and a loop that still runs gets a `PoolClosedError`."""
        self.engine.close()


class WorkerThreadPool(AbstractWorkerPool):
    """A pool of threads. Use it for work that releases the GIL: reading and decoding files, and NumPy.

    Parameters
    ----------
    processes : int, default 1
        The number of threads.
    """

    def __init__(self, processes: int = 1) -> None:
        self._engine = ThreadPool(whole("processes", processes))

    def __repr__(self) -> str:
        return f"<WorkerThreadPool of {self._engine.workers} threads{_if_closed(self._engine)}>"

    @property
    def engine(self) -> Pool:
        return self._engine


class WorkerProcessPool(AbstractWorkerPool):
    """A pool of processes. Use it for work in pure Python, which holds the GIL and so gains nothing from threads.

    Functions may be lambdas, and functions and classes may be defined in a notebook. A worker that dies is replaced,
    and its tasks run again.

    Parameters
    ----------
    processes : int, default 1
        The number of processes.
    retries : int, default 2
        How often to retry a batch after its worker died.
    initializer : callable, optional
        Each worker calls ``initializer(*initargs)`` when it starts, also one that replaces another. Workers start
        clean: set there what your program has set and the workers need, such as ``torch.set_default_dtype``. If it
        raises an error, each batch raises that error.
    initargs : sequence, default ()
        The arguments of `initializer`.

    Examples
    --------
    >>> import warnings
    >>> with WorkerProcessPool(2, initializer=warnings.simplefilter, initargs=("ignore",)) as pool:
    ...     list(pool.work_stream([(pow, (2, 3))]))
    [8]
    """

    def __init__(
        self,
        processes: int = 1,
        retries: int = 2,
        initializer: Callable[..., object] | None = None,
        initargs: Sequence[Any] = (),
    ) -> None:
        from .engine.process.pool import ProcessPool  # with cloudpickle, which threads do not need

        self._engine = ProcessPool(whole("processes", processes), retries, initializer, initargs)

    def __repr__(self) -> str:
        return f"<WorkerProcessPool of {self._engine.workers} processes{_if_closed(self._engine)}>"

    @property
    def engine(self) -> Pool:
        return self._engine


class WorkerPool(AbstractWorkerPool):
    """A pool over an executor of yours: ``concurrent.futures``, loky, ``mpi4py.futures``, a Dask client, or Ray.

    Batches are the same as with any other pool. Workers may be on other hosts: they get the source once, and send
    batches back by plain pickles, without shared memory. Closing the pool cancels its tasks, and leaves the executor
    as it was.

    Parameters
    ----------
    executor : concurrent.futures.Executor, dask.distributed.Client or the module ray
        Or any object with ``submit(fn, *args)`` that returns a `concurrent.futures.Future`.
    workers : int, optional
        How many workers the executor has, where it does not say so itself.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(2) as executor, WorkerPool.over(executor) as pool:
    ...     list(pool.work_stream((pow, (n, 2)) for n in range(5)))
    [0, 1, 4, 9, 16]
    """

    def __init__(self, executor: Any, workers: int | None = None) -> None:
        from .engine.executors import ExecutorPool  # with cloudpickle, which threads do not need

        self._engine = ExecutorPool(executor, workers)

    @classmethod
    def over(cls, executor: Any, workers: int | None = None) -> Self:
        """A pool over `executor`: the same as ``WorkerPool(executor)``."""
        return cls(executor, workers)

    def __repr__(self) -> str:
        name = self._engine.cluster.name
        return f"<WorkerPool over {name} of {self._engine.workers} workers{_if_closed(self._engine)}>"

    @property
    def engine(self) -> Pool:
        return self._engine


def _if_closed(engine: Pool) -> str:
    return ", closed" if engine.is_closed else ""


class ParallelDataSource(AbstractDataSource):
    """A data source whose batches a pool prefetches; `AbstractWorkerPool.parallel_data_source` makes it.

    Parameters
    ----------
    ds : data source
        One that fetches by index.
    batch_buffer_size : int
        How many batches may be in flight: being fetched, or ready and not yet taken.
    pool : AbstractWorkerPool
    timeout : float, optional
        How many seconds a loop may wait for one batch.
    """

    def __init__(self, ds: Any, batch_buffer_size: int, pool: AbstractWorkerPool, timeout: float | None = None) -> None:
        self._ds = as_data_source(ds, "ds")
        if not self._ds.is_random_access:
            raise TypeError(
                f"{type(self._ds).__name__} cannot fetch by index, so its batches cannot be fetched in parallel; "
                "give a random-access source"
            )
        warn_of_own_batches(self._ds, "a pool")
        self._depth = whole("batch_buffer_size", batch_buffer_size)
        self._pool = pool
        self._timeout = seconds(timeout)
        self._epochs = 0  # the number of iterators so far
        self._fetch: Any = None  # the token of the shared fetch

    def __repr__(self) -> str:
        pool = repr(self._pool).strip("<>")
        return f"<ParallelDataSource over {self._ds!r}: {pool}, at most {self._depth} batches in flight>"

    @property
    def traits(self) -> Traits:
        return self._ds.traits

    def plan(self, batch_size: int, **kwargs: Any) -> Plan:
        return self._ds.plan(batch_size, **kwargs)  # for its length only: this source is sequential

    def batch_indices_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Pick]:
        return super().batch_indices_iterator(batch_size, shuffle, **kwargs)

    def num_samples(self, **kwargs: Any) -> int | float | None:
        return self._ds.num_samples(**kwargs)

    def batch_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> BatchStream:
        """The batches of one pass over the source. The pool starts to prefetch them at once.

        Parameters
        ----------
        batch_size : int
            Samples per batch; the last may have fewer.
        shuffle, **kwargs
            As for the source itself.

        Returns
        -------
        BatchStream

        Raises
        ------
        DataSourcePicklingError
            If the pool has processes and the source cannot be pickled.
        """
        engine = self._pool.engine
        fetch: Any = self._ds.samples_by_indices_nomapping
        seeded = engine.isolated and self._ds.traits.may_use_global_rng
        worker_seed = self._next_worker_seed(shuffle) if seeded else None
        epoch = Epoch(self._ds.plan(batch_size, **kwargs), batch_size, shuffle, self._ds.num_samples)
        picks = epoch.picks()  # before the data are sent, so that wrong arguments are refused first
        fetch = self._fetch = engine.share(SeededFetch(fetch) if seeded else fetch, self._fetch)
        return BatchStream(engine, fetch, picks, epoch, worker_seed, self._depth, self._timeout)

    def _next_worker_seed(self, shuffle: Shuffle) -> tuple[int, int]:
        """What seeds the global generators of workers for one iterator.

        Without a shuffle it is drawn from NumPy's global generator, so that two iterators differ, and
        ``numpy.random.seed`` decides about both.
        """
        self._epochs += 1
        if as_rng(shuffle) is None:
            return drawn_seed(), self._epochs - 1
        return entropy_of(shuffle), self._epochs - 1


class BatchStream(WorkStream):
    """The batches of one pass over a source, prefetched by a pool: a `WorkStream` that can be resumed.

    Parameters
    ----------
    engine : Pool
    fetch : callable, or the token of a shared one
    picks : iterator of picks
    epoch : Epoch
        Replays the plan.
    worker_seed : (int, int) or None
        Seeds the global generators of workers: an entropy and an epoch.
    depth : int
    timeout : float or None
    """

    def __init__(
        self,
        engine: Pool,
        fetch: Any,
        picks: Iterator[Pick],
        epoch: Epoch,
        worker_seed: tuple[int, int] | None,
        depth: int,
        timeout: float | None,
    ) -> None:
        self._fetch, self._epoch, self._worker_seed = fetch, epoch, worker_seed
        super().__init__(engine, _tasks(fetch, worker_seed, picks, 0), depth, timeout, _at_batch)

    def __len__(self) -> int:
        """The number of batches that are left."""
        return 0 if self._is_closed else self._epoch.left_after(self._number + 1)

    def __bool__(self) -> bool:
        return True

    def state_dict(self) -> dict[str, Any]:
        """The position of this iterator, as in `BatchIterator.state_dict`. Batches count when they are delivered.

        Returns
        -------
        dict
        """
        return {**self._epoch.state(self._number + 1), "noise": self._worker_seed and list(self._worker_seed)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume where `state` was saved, with this source or without a pool.

        Raises
        ------
        ValueError
            If the state does not fit: other data, another batch size, …. The error says which.
        """
        picks, step = self._epoch.picks_from(state)
        if self._worker_seed and state.get("noise"):
            noise = state["noise"]
            if not isinstance(noise, (list, tuple)) or len(noise) != 2:
                raise ValueError(f"noise of the state should be two integers, an entropy and an epoch, not {noise!r}")
            self._worker_seed = (
                whole("noise of the state", noise[0], least=0),
                whole("noise of the state", noise[1], least=0),
            )
        self._begin_at(step, _tasks(self._fetch, self._worker_seed, picks, step))


def _tasks(fetch: Any, worker_seed: tuple[int, int] | None, picks: Iterator[Pick], step: int) -> Iterator[Task]:
    """One task per pick. They do not refer to the stream, so breaking out of its loop frees it at once."""
    if worker_seed is None:
        return ((fetch, (pick,)) for pick in picks)
    entropy, epoch = worker_seed
    return ((fetch, (pick, entropy, epoch, i)) for i, pick in enumerate(picks, step))


class SeededFetch:
    """A fetch that first seeds the global generators, so that what it draws from them depends on the batch alone."""

    def __init__(self, fetch: Callable[[Pick], Batch]) -> None:
        self.fetch = fetch

    def __call__(self, pick: Pick, entropy: int, epoch: int, step: int) -> Batch:
        seed_globals(entropy, epoch, step)
        return self.fetch(pick)


def _at_batch(error: BaseException, number: int, args: tuple[Any, ...]) -> BaseException:
    return located(error, number, args[0]) if args else error
