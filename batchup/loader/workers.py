"""The workers of a loader: none, those of a pool, or those that `pool="auto"` chooses."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from ..data_source import AbstractDataSource, BatchIterator
from ..engine.cores import cores
from ..engine.rng import entropy_of
from ..engine.stream import DEPTH_PER_WORKER, WorkStream
from ..work_pool import AbstractWorkerPool
from .arguments import choose_pool
from .auto import AutoPool, Choice, Measured
from .fetch import FetchJob, FetchResult, at_item, at_task
from .plan import Item, Seed
from .watched import NoticingJob, Watched

__all__ = ["LoaderWorkers"]


class LoaderWorkers:
    """The workers of a loader, which may be none.

    Parameters
    ----------
    source : data source
    shard : (int, int) or None
    skips : bool
        Whether samples that cannot be fetched are left out.
    pool : object
        As for `Loader`.
    workers : int or None
    worker_init : callable or None
    depth : int or None
        How many batches may be in flight.
    timeout : float or None
        In seconds, for each batch.

    Attributes
    ----------
    pool : AbstractWorkerPool or None
    auto : AutoPool or None
        What was measured, and what was chosen; only with ``pool="auto"``.
    depth : int or None
    """

    def __init__(
        self,
        source: AbstractDataSource,
        shard: tuple[int, int] | None,
        skips: bool,
        pool: Any,
        workers: int | None,
        worker_init: Callable[[], Any] | None,
        depth: int | None,
        timeout: float | None,
    ) -> None:
        self.depth = depth
        self.auto = AutoPool(cores(), workers) if isinstance(pool, str) and pool == "auto" else None
        self.pool, self._owns_pool = choose_pool(None if self.auto else pool, workers, worker_init)
        self._source, self._shard, self._skips, self._timeout = source, shard or (0, 1), skips, timeout
        self._shared: Any = None  # the token of the job that is shared with the workers
        self._taken: Choice | None = None  # what `pool` was made for, with ``pool="auto"``

    def __str__(self) -> str:
        if self.auto is not None and self.auto.choice is None:
            return 'pool="auto"'
        return "no pool" if self.pool is None else repr(self.pool).strip("<>")

    @property
    def draws(self) -> bool:
        """Whether fetches may draw from global generators that are seeded for each of them."""
        isolated = self.pool is not None and self.pool.engine.isolated
        return (isolated or self.auto is not None) and self._source.traits.may_use_global_rng

    def job(self, seed: Seed) -> FetchJob:
        """What fetches one batch. Global generators in workers are seeded by the seed of the run."""
        return FetchJob(self._source, entropy_of(seed) if self.draws else None, self._shard, self._skips)

    def results(self, items: Iterator[Item], seed: Seed) -> Iterator[FetchResult]:
        """The results of the fetch for each item, in order."""
        if self.auto is None or self.auto.choice is not None:
            return self._watched_in(self.pool, items, seed)
        return self._measured(self.auto, items, seed)

    def close(self) -> None:
        """End the workers, unless the pool is the user's own."""
        if self.pool is not None and self._owns_pool:
            self.pool.close()
        if self.auto is not None:
            self.auto.close()

    def _measured(self, auto: AutoPool, items: Iterator[Item], seed: Seed) -> Iterator[FetchResult]:
        def results(pool: AbstractWorkerPool | None, some: Iterator[Item]) -> Iterator[FetchResult]:
            return self._watched_in(pool, some, seed)

        return Measured(auto, items, results, self._take, len(self._source._stages))

    def _watched_in(self, pool: AbstractWorkerPool | None, items: Iterator[Item], seed: Seed) -> Iterator[FetchResult]:
        """The same. With ``pool="auto"``, if none of the measured batches has drawn random numbers, the first one that
        does is noticed: it and the next ones are made where their numbers do not depend on the workers."""
        auto, isolated = self.auto, pool is not None and pool.engine.isolated
        if auto is None or auto.draws or isolated or not self._source.traits.may_use_global_rng:
            return self._results_in(pool, items, self.job(seed))
        job = NoticingJob(FetchJob(self._source, None, self._shard, self._skips), alone=pool is None)

        def results(some: Iterator[Item]) -> Iterator[FetchResult]:
            return self._results_in(pool, some, job)

        def anew(some: Iterator[Item]) -> Iterator[FetchResult]:
            auto.reconsider()
            return self._measured(auto, some, seed)

        return Watched(items, results, anew)

    def _take(self, choice: Choice) -> AbstractWorkerPool | None:
        """Continue with the workers that ``pool="auto"`` has chosen."""
        if choice is self._taken:
            return self.pool
        if self.pool is not None:  # one that could not be used, or not go on
            self.pool.close()
        self._shared, self._taken = None, choice
        self.pool, self._owns_pool = choose_pool(choice.pool, choice.workers)
        return self.pool

    def _results_in(
        self, pool: AbstractWorkerPool | None, items: Iterator[Item], job: FetchJob | NoticingJob
    ) -> Iterator[FetchResult]:
        if pool is None:
            fetch = self.auto.noticing(job) if self.auto and isinstance(job, FetchJob) and job.seed is not None else job
            return BatchIterator(fetch, items, located=at_item)
        engine = pool.engine
        token = engine.share(job, self._shared)
        self._shared = token if pool is self.pool else None
        tasks = zip(itertools.repeat(token), zip(items, strict=False), strict=False)  # unlike a generator, it can go on
        return WorkStream(engine, tasks, self.depth or DEPTH_PER_WORKER * engine.workers, self._timeout, at_task)
