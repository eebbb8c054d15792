"""Work pools: batches prepared ahead, in threads or in processes.

The batches are the same as without a pool, in the same order: only the work is done elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from .data_source import AbstractDataSource, Batch, Pick, Plan, Traits
from .data_source.coerce import as_data_source
from .data_source.replay import Epoch
from .engine.checks import whole
from .engine.global_rng import seed_globals
from .engine.pools import Pool, ThreadPool
from .engine.rng import entropy_of
from .engine.shuffle import Shuffle
from .engine.stream import Task, WorkStream, seconds
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
    "WorkerProcessPool",
    "WorkerThreadPool",
]


class AbstractWorkerPool:
    """What both kinds of pool can do. A pool may serve several loops at once, and lives until it is closed.

    A context manager: the end of ``with`` closes it. Pools that are open are closed when the interpreter ends.
    """

    @property
    def engine(self) -> Pool:
        """The pool underneath."""
        raise NotImplementedError(f"{type(self).__name__} has no workers; WorkerThreadPool and WorkerProcessPool have")

    def shared_constant(self, x: Any) -> Any:
        """What stands for `x` among the arguments of tasks, so that it is sent to the workers once.

        Parameters
        ----------
        x : object
            Large, and not changed from now on.

        Returns
        -------
        object
            Where a task gets this as an argument, its function gets `x`.
        """
        return self.engine.share(x)

    def work_stream(self, task_generator: Iterable[Task], task_buffer_size: int = 20) -> WorkStream:
        """The results of tasks, in their order, worked on ahead of whoever asks for them.

        Parameters
        ----------
        task_generator : iterable of tuples
            ``(fn,)``, ``(fn, args)`` or ``(fn, args, kwargs)``.
        task_buffer_size : int, default 20
            How many tasks may be under way, or done and not asked for. So many begin at once.

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
        self, ds: Any, batch_buffer_size: int = 20, timeout: float | None = None
    ) -> ParallelDataSource:
        """The same source, with its batches prepared ahead by this pool.

        Parameters
        ----------
        ds : data source
            One that fetches by index.
        batch_buffer_size : int, default 20
            How many batches may be in preparation, or ready and not taken.
        timeout : float, optional
            How many seconds a loop waits for one batch.

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
        """End all workers. What has not begun is cancelled; a loop that still runs gets a `PoolClosedError`."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class WorkerThreadPool(AbstractWorkerPool):
    """A pool of threads: right for reading and decoding files, and for NumPy, which let other threads run meanwhile.

    Parameters
    ----------
    processes : int, default 1
        How many threads.
    """

    def __init__(self, processes: int = 1) -> None:
        self._engine = ThreadPool(whole("processes", processes))

    def __repr__(self) -> str:
        return f"<WorkerThreadPool of {self._engine.workers} threads>"

    @property
    def engine(self) -> Pool:
        return self._engine


class WorkerProcessPool(AbstractWorkerPool):
    """A pool of processes: right for work in Python itself, which threads cannot do side by side.

    Functions and classes may be lambdas, or be defined in a notebook. A worker that dies is replaced, and what it had
    is done again.

    Parameters
    ----------
    processes : int, default 1
        How many processes.
    retries : int, default 2
        How often a batch is tried again after the worker that had it died.
    """

    def __init__(self, processes: int = 1, retries: int = 2) -> None:
        from .engine.process.pool import ProcessPool  # joblib and the rest are imported where they are used

        self._engine = ProcessPool(whole("processes", processes), retries)

    def __repr__(self) -> str:
        return f"<WorkerProcessPool of {self._engine.workers} processes>"

    @property
    def engine(self) -> Pool:
        return self._engine


class ParallelDataSource(AbstractDataSource):
    """A data source whose batches are prepared ahead by a pool; made by `AbstractWorkerPool.parallel_data_source`.

    Parameters
    ----------
    ds : data source
        One that fetches by index.
    batch_buffer_size : int
        How many batches may be in preparation, or ready and not taken.
    pool : AbstractWorkerPool
    timeout : float, optional
        How many seconds a loop waits for one batch.
    """

    def __init__(self, ds: Any, batch_buffer_size: int, pool: AbstractWorkerPool, timeout: float | None = None) -> None:
        self._ds = as_data_source(ds, "ds")
        if not self._ds.is_random_access:
            raise TypeError(
                f"{type(self._ds).__name__} cannot fetch by index, so its batches cannot be fetched in parallel; "
                "give a random-access source"
            )
        self._depth = whole("batch_buffer_size", batch_buffer_size)
        self._pool = pool
        self._timeout = seconds(timeout)
        self._epochs = 0  # iterators that were made
        self._fetch: Any = None  # what stands for the fetch in the pool

    @property
    def traits(self) -> Traits:
        return self._ds.traits

    def plan(self, batch_size: int, **kwargs: Any) -> Plan:
        return self._ds.plan(batch_size, **kwargs)  # for its length: batches come one after the other

    def batch_indices_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Pick]:
        return super().batch_indices_iterator(batch_size, shuffle, **kwargs)

    def num_samples(self, **kwargs: Any) -> int | float | None:
        return self._ds.num_samples(**kwargs)

    def batch_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Batch]:
        """Batches, prepared ahead from now on.

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
            If the source should go to processes and cannot be pickled.
        """
        engine = self._pool.engine
        fetch: Any = self._ds.samples_by_indices_nomapping
        noise = entropy_of(shuffle), self._epochs
        self._epochs += 1
        epoch = Epoch(self._ds.plan(batch_size, **kwargs), batch_size, shuffle, self._ds.num_samples)
        picks = epoch.picks()  # before the data are sent: what is wrong with the arguments is said first
        seeded = engine.isolated and self._ds.traits.may_use_global_rng
        fetch = self._fetch = engine.share(SeededFetch(fetch) if seeded else fetch, self._fetch)
        return BatchStream(engine, fetch, picks, epoch, noise if seeded else None, self._depth, self._timeout)


class BatchStream(WorkStream):
    """The batches of one go through a source, prepared by a pool; a `WorkStream` that can be resumed.

    Parameters
    ----------
    engine : Pool
    fetch : callable, or what stands for it in the pool
    picks : iterator of picks
    epoch : Epoch
        Draws the plan again.
    noise : (int, int) or None
        What seeds the global generators of workers: an entropy and an epoch.
    depth : int
    timeout : float or None
    """

    def __init__(
        self,
        engine: Pool,
        fetch: Any,
        picks: Iterator[Pick],
        epoch: Epoch,
        noise: tuple[int, int] | None,
        depth: int,
        timeout: float | None,
    ) -> None:
        self._fetch, self._epoch, self._noise = fetch, epoch, noise
        super().__init__(engine, _tasks(fetch, noise, picks, 0), depth, timeout, _at_batch)

    def state_dict(self) -> dict[str, Any]:
        """Where this iterator is, as `BatchIterator.state_dict` says it. Batches count when they are delivered.

        Returns
        -------
        dict
        """
        return {**self._epoch.state(self._number + 1), "noise": self._noise and list(self._noise)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was made, here or by the source itself without a pool.

        Raises
        ------
        ValueError
            If the state is of other data, another batch size, …; it says which.
        """
        picks, step = self._epoch.picks_from(state)
        if self._noise and state.get("noise"):
            entropy, epoch = state["noise"]
            self._noise = whole("noise", entropy, least=0), whole("noise", epoch, least=0)
        self._begin_at(step, _tasks(self._fetch, self._noise, picks, step))


def _tasks(fetch: Any, noise: tuple[int, int] | None, picks: Iterator[Pick], step: int) -> Iterator[Task]:
    """One for each pick. It does not hold the stream, which is to be collected as soon as its loop has been left."""
    if noise is None:
        return ((fetch, (pick,)) for pick in picks)
    entropy, epoch = noise
    return ((fetch, (pick, entropy, epoch, i)) for i, pick in enumerate(picks, step))


class SeededFetch:
    """A fetch that seeds the global generators first, so that what is drawn from them depends on the batch alone."""

    def __init__(self, fetch: Callable[[Pick], Batch]) -> None:
        self.fetch = fetch

    def __call__(self, pick: Pick, entropy: int, epoch: int, step: int) -> Batch:
        seed_globals(entropy, epoch, step)
        return self.fetch(pick)


def _at_batch(error: BaseException, number: int, args: tuple[Any, ...]) -> BaseException:
    return located(error, number, args[0]) if args else error
