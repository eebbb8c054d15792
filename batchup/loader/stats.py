"""What a loader says about itself."""

from __future__ import annotations

import dataclasses

from ..engine.trace import StageStats

__all__ = ["LoaderStats"]


@dataclasses.dataclass(frozen=True)
class LoaderStats:
    """What a loader has done, and where the time went.

    Attributes
    ----------
    batches : int
        How many were delivered.
    seconds : float
        What the loops over the loader took, from the first batch asked for to the end of each.
    waited : float
        Seconds of these that the loops waited for batches.
    busy : float
        Seconds that batches were worked on, all workers together.
    stages : tuple of StageStats
        What part of `busy` each stage took: the fetch, and each transform.
    skipped : int
        How many samples were left out.
    workers : int
        How many the pool has; 0 without one.
    restarts : int
        How many worker processes the pool has replaced.
    slots : int
        How many pieces of shared memory the pool has for batches.
    shared_bytes : int
        How much shared memory the pool has.
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
