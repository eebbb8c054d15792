"""Statistics of a loader."""

from __future__ import annotations

import dataclasses

from ..engine.trace import StageStats

__all__ = ["LoaderStats"]


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
