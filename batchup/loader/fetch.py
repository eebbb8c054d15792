"""What a worker does for one batch: fetch it, and say how long each step took and which samples were left out."""

from __future__ import annotations

import threading
import time
from typing import Any, TypeAlias

import numpy as np

from ..data_source import AbstractDataSource, Batch, Pick
from ..engine import tree
from ..engine.global_rng import seed_globals
from ..errors import noted
from .plan import PaddedPick
from .skipping import Skipped, SkippedFrom, without_failing

__all__ = ["FetchJob", "FetchResult", "Item"]

Item: TypeAlias = tuple[Pick, int, int]  # a pick, the epoch and the step that it is for

# A batch (None if all of its samples were left out), its epoch and step, the thread that fetched it, the times when its
# steps began and ended, and the samples that were left out. A plain tuple: a named one costs a third of a microsecond
# more to make, and would have to be pickled on its way from a worker process.
FetchResult: TypeAlias = tuple[Batch | None, int, int, int, tuple[float, ...], tuple[Skipped, ...]]


class FetchJob:
    """The fetch of a source, for one item of a plan.

    Parameters
    ----------
    source : data source
    seed : int, optional
        Seeds `numpy.random` and `random` for each batch, by its epoch and step.
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

    def __call__(self, item: Item) -> FetchResult:
        pick, epoch, step = item
        valid = counts = None
        if type(pick) is PaddedPick:
            pick, valid, counts = pick
        times = [time.perf_counter()]
        skipped: tuple[Skipped, ...] = ()
        try:
            if self.seed is not None:
                self._seed_globals(epoch, step)
            batch = self.source._fetch_timed(pick, times)
        except Exception as error:
            stages = self.source._stages
            noted(error, f"in {stages[min(len(times), len(stages)) - 1]}")
            if not self.skips:
                raise
            batch, valid, skipped = self._without_failing(item, pick, valid, error)
            times = [times[0]] + [time.perf_counter()] * len(stages)
        if valid is not None and batch is not None:
            batch = _with_valid(batch, tree.map_leaves(_first_of, valid, counts))
        return batch, epoch, step, threading.get_native_id(), tuple(times), skipped

    def _seed_globals(self, epoch: int, step: int) -> None:
        if self.seed is not None:
            rank, world = self.shard
            seed_globals(self.seed, epoch, step * world + rank)  # no two ranks draw the same numbers

    def _without_failing(self, item: Item, pick: Pick, valid: Any, error: Exception) -> SkippedFrom:
        def fetched(some: Pick) -> Batch:
            self._seed_globals(item[1], item[2])
            return self.source.samples_by_indices_nomapping(some)

        return without_failing(fetched, item[1], item[2], pick, valid, error)


def _first_of(valid: int, n: int) -> Any:
    return np.arange(n) < valid


def _with_valid(batch: Batch, valid: Any) -> Batch:
    if not tree.is_mapping(batch):
        return (*batch, valid) if isinstance(batch, tuple) else (batch, valid)
    if "valid" in batch:
        raise ValueError('last="pad" gives each batch a field "valid", but there is one of that name')
    return {**batch, "valid": valid}
