"""The job of a worker for one batch: fetch it, measure each stage, and leave out samples that cannot be fetched."""

from __future__ import annotations

import threading
import time
from typing import Any, TypeAlias

import numpy as np

from ..data_source import AbstractDataSource, Batch, Pick
from ..engine import tree
from ..engine.global_rng import seed_globals
from ..errors import located, noted
from ..storage.cache import chunks_noted
from .plan import Item, PaddedPick
from .skipping import Retried, Skipped, SkippedFrom, without_failing

__all__ = ["FetchJob", "FetchResult", "at_item", "at_task"]

# A batch (None if all of its samples were left out), its epoch and step, the thread that fetched it, the times when its
# stages began and ended, and the samples that were left out, or that it took a second attempt. A plain tuple: a named
# one takes a third of a microsecond longer to make, and has to be pickled on its way from a worker process. Behind the
# times there are two more numbers, if there are any: how many chunks of files were in a cache, and how many were read.
FetchResult: TypeAlias = tuple[Batch | None, int, int, int, tuple[float, ...], tuple[Skipped | Retried, ...]]


class FetchJob:
    """The fetch of one item of a plan, as a callable that goes to workers.

    Parameters
    ----------
    source : data source
    seed : int, optional
        If given, `numpy.random` and `random` are seeded for each batch, from this and its epoch and step.
    shard : (int, int), default (0, 1)
        Rank and world size.
    skips : bool, default False
        Whether to leave out samples that cannot be fetched.
    """

    def __init__(
        self,
        source: AbstractDataSource,
        seed: int | None = None,
        shard: tuple[int, int] = (0, 1),
        skips: bool = False,
    ) -> None:
        self.source, self.seed, self.shard, self.skips = source, seed, shard, skips
        self._counts_chunks = source.traits.whole_chunks > 0

    def __call__(self, item: Item) -> FetchResult:
        pick, epoch, step = item
        valid = counts = None
        if type(pick) is PaddedPick:
            pick, valid, counts = pick
        if self._counts_chunks:
            chunks_noted()  # those of others
        times = [time.perf_counter()]
        skipped: tuple[Skipped | Retried, ...] = ()
        try:
            if self.seed is not None:
                self.seed_globals_for(epoch, step)
            batch = self.source._fetch_timed(pick, times)
        except Exception as error:
            stages = self.source._stages
            noted(error, f"in {stages[min(len(times), len(stages)) - 1]}")
            if not self.skips:
                raise
            batch, valid, skipped = self._without_failing(item, pick, valid, error)
            times = [times[0]] + [time.perf_counter()] * len(stages)
        if valid is not None and batch is not None:
            batch = _with_valid(batch, tree.map_leaves(_first_of, valid, counts), counts)
        if self._counts_chunks and not skipped:  # suspects are read one by one
            times += chunks_noted()
        return batch, epoch, step, threading.get_native_id(), tuple(times), skipped

    def seed_globals_for(self, epoch: int, step: int) -> None:
        """Seed the global generators for a batch, if there is a seed."""
        if self.seed is not None:
            rank, world = self.shard
            seed_globals(self.seed, epoch, step * world + rank)  # different on every rank

    def _without_failing(self, item: Item, pick: Pick, valid: Any, error: Exception) -> SkippedFrom:
        def fetched(some: Pick) -> Batch:
            self.seed_globals_for(item[1], item[2])
            return self.source.samples_by_indices_nomapping(some)

        return without_failing(fetched, item[1], item[2], pick, valid, error)


def _first_of(valid: int, n: int) -> Any:
    return np.arange(n) < valid


def _with_valid(batch: Batch, valid: Any, counts: Any) -> Batch:
    if isinstance(counts, int) and tree.length(batch) != counts:
        raise ValueError(
            f'last="pad" needs transforms that keep the number of samples, but a batch of {counts} samples became one '
            f"of {tree.length(batch)}"
        )
    if not tree.is_mapping(batch):
        return (*batch, valid) if isinstance(batch, tuple) else (batch, valid)
    if "valid" in batch:
        raise ValueError('last="pad" gives each batch a field "valid", but there is one of that name')
    return {**batch, "valid": valid}


def at_item(error: BaseException, number: int, item: Item) -> BaseException:
    """The error, with a note which batch it belongs to."""
    pick, epoch, step = item
    return located(error, step, pick, epoch)


def at_task(error: BaseException, number: int, args: tuple[Any, ...]) -> BaseException:
    """The same for a task of a pool."""
    return at_item(error, number, args[0]) if args else error
