"""Statistics of a loader: what it did, and where the time went."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from ..engine.cores import cores
from ..engine.trace import StageStats, verdict
from .chunks import ADVICE, ChunkReads
from .loop import RunState
from .workers import LoaderWorkers

__all__ = ["LoaderStats", "Reports"]


@dataclasses.dataclass(frozen=True)
class LoaderStats:
    """What a loader has delivered, and where the time went.

    Attributes
    ----------
    batches : int
        The number of delivered batches.
    seconds : float
        The time that loops over the loader took, each from its first request for a batch to its end.
    waited : float
        The part of `seconds` that the loops waited for batches.
    busy : float
        The time that all workers together spent on batches, in seconds.
    stages : tuple of StageStats
        The part of `busy` that each stage took: the fetch, and each transform.
    skipped : int
        The number of different samples that were left out, those before a resume included.
    workers : int
        The number of workers in the pool; 0 without a pool.
    restarts : int
        The number of worker processes that the pool has replaced.
    slots : int
        The number of slots of shared memory that the pool has for batches.
    shared_bytes : int
        The size of the shared memory of the pool, in bytes.
    retried : int
        The number of batches that could be fetched at the second attempt only, with ``on_error="skip"``.
    chunk_hits, chunk_misses : int
        How often a chunk of a file was in a cache, and how often it was read and decompressed, for these batches.
    """

    batches: int
    seconds: float
    waited: float
    busy: float
    stages: tuple[StageStats, ...]
    skipped: int
    workers: int
    restarts: int = 0
    slots: int = 0
    shared_bytes: int = 0
    retried: int = 0
    chunk_hits: int = 0
    chunk_misses: int = 0


class Reports:
    """The methods of a loader that tell what it did. Abstract."""

    _run: RunState
    _workers: LoaderWorkers
    _chunks: ChunkReads

    def stats(self) -> LoaderStats:
        """What was delivered so far, and where the time went.

        Returns
        -------
        LoaderStats
        """
        trace = self._run.trace
        pool, run = self._workers.pool, self._run
        return LoaderStats(
            trace.batches,
            trace.seconds,
            trace.waited,
            trace.busy,
            trace.of_stages(),
            len(run.failing),
            retried=run.retried,
            chunk_hits=self._chunks.hits,
            chunk_misses=self._chunks.misses,
            **({"workers": 0} if pool is None else pool.engine.stats()),
        )

    def explain(self) -> str:
        """What limits the loop, and what would help, in one sentence.

        Examples
        --------
        >>> import numpy as np
        >>> from batchup import Loader
        >>> Loader([np.arange(5)], batch_size=2).explain()
        'no batch was delivered yet'
        """
        pool, auto = self._workers.pool, self._workers.auto
        workers = 0 if pool is None else pool.engine.workers
        isolated = pool is not None and pool.engine.isolated
        said = verdict(self._run.trace, workers, "processes" if isolated else "threads", cores())
        if auto is not None:  # the choice is made, so leave out the advice
            said = f"{auto}; {said.rpartition(': ')[0] or said}"
        return f"{said}; {self._chunks.repeated}: {ADVICE}" if self._chunks.repeated else said

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Plot the last batches over time: when the loop waited, what each worker did, and how many batches were ready.

        Parameters
        ----------
        path : str or path, optional
            Save the figure to this file.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from .picture import timeline

        figure = timeline(self._run.trace)
        if path is not None:
            figure.savefig(path)
        return figure
