"""What a worker does for one batch: fetch it, stage by stage, and say how long each took and what was left out."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from numbers import Number
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..data_source import AbstractDataSource, Batch, MapDataSource, Pick, RandomMapDataSource
from ..engine import tree
from ..engine.checks import kind_of
from ..engine.global_rng import seed_globals
from ..engine.pulled import DOUBTED, NOTHING, PullingIterator
from ..errors import noted
from .plan import PaddedPick, counts

__all__ = ["InTurn", "Item", "Job", "Made", "Skipped", "stages_of"]

Item: TypeAlias = tuple[Pick, int, int]  # a pick, the epoch and the step that it is for

# A batch (None if all of its samples were left out), its epoch and step, the thread that made it, the times when its
# stages began and ended, and the samples that were left out. A plain tuple: a named one costs a third of a microsecond.
Made: TypeAlias = tuple[Batch | None, int, int, int, tuple[float, ...], "tuple[Skipped, ...]"]

NOT_SAMPLES = (
    "a source gives batches, not samples, which batchup.batch_iter makes batches of: Infinite(samples, batch_size=64, "
    "batches_per_epoch=100)"
)


class Skipped(NamedTuple):
    """A sample that was left out, because it could not be fetched.

    Attributes
    ----------
    epoch, step : int
        The batch that it would have been in.
    sample : int or tuple
        Its index; with several sources, one per source.
    error : str
        What was raised.
    """

    epoch: int
    step: int
    sample: Any
    error: str


class InTurn(PullingIterator[Made]):
    """The batches of a source that gives them one after the other, as a `Job` makes them.

    Parameters
    ----------
    batches : iterator of batches
    epoch : int
    """

    def __init__(self, batches: Iterator[Batch], epoch: int) -> None:
        super().__init__(batches, if_interrupted=DOUBTED)
        self._epoch, self._step = epoch, 0

    def __next__(self) -> Made:  # without a guard against other threads: the loop has one
        begun, step = time.perf_counter(), self._step
        try:
            batch = self._pull()
        except StopIteration:
            if self._epoch and not step:
                raise ValueError(
                    f"epoch {self._epoch} has no batches: an iterator is used up by the first epoch; give a function "
                    "that makes one for each, fn(batch_size, shuffle=None)"
                ) from None
            raise
        except Exception as error:
            noted(error, f"while asking for batch {step} of epoch {self._epoch}")
            self._step = step + 1
            raise
        _should_be_a_batch(batch)
        made = batch, self._epoch, step, threading.get_native_id(), (begun, time.perf_counter()), ()
        # no calls from here on (see engine.pulled)
        self._step, self._held = step + 1, NOTHING
        return made


def _should_be_a_batch(x: Any) -> None:
    if not isinstance(x, (tuple, list, dict)):
        raise TypeError(f"a batch should be a tuple of arrays, or a dict, not {kind_of(x)}: {NOT_SAMPLES}")
    parts = x.values() if isinstance(x, dict) else x
    single = [part for part in parts if isinstance(part, (Number, str, bytes)) or getattr(part, "shape", None) == ()]
    if single and len(parts) - len(single) < 2:  # such as (image, label)
        kinds = ", ".join(type(part).__name__ for part in parts)
        raise TypeError(f"a batch should be a tuple of arrays, or a dict, not one of ({kinds}): {NOT_SAMPLES}")


class Job:
    """The fetch of a source, for one item of a plan.

    Parameters
    ----------
    source : data source
    seed : int, optional
        Seeds `numpy.random` and `random` for each batch, by its place.
    shard : (int, int), default (0, 1)
        Of how many trainers this is which.
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

    def __call__(self, item: Item) -> Made:
        pick, epoch, step = item
        valid = None
        if type(pick) is PaddedPick:
            pick, valid = pick
        marks = [time.perf_counter()]
        skipped: tuple[Skipped, ...] = ()
        try:
            if self.seed is not None:
                self._seed_globals(epoch, step)
            batch = _by_stages(self.source, pick, marks)
        except Exception as error:
            stages = stages_of(self.source)
            noted(error, f"in {stages[min(len(marks), len(stages)) - 1]}")
            if not self.skips:
                raise
            batch, valid, skipped = self._spared(item, pick, valid, error)
            marks = [marks[0]] + [time.perf_counter()] * len(stages)
        if valid is not None and batch is not None:
            batch = _with_valid(batch, tree.map_leaves(_first_of, valid, counts(self.source, pick)))
        return batch, epoch, step, threading.get_native_id(), tuple(marks), skipped

    def _seed_globals(self, epoch: int, step: int) -> None:
        if self.seed is not None:
            rank, world = self.shard
            seed_globals(self.seed, epoch, step * world + rank)  # trainers do not repeat each other's noise

    def _fetched(self, item: Item, pick: Pick) -> Batch:
        self._seed_globals(item[1], item[2])
        return self.source.samples_by_indices_nomapping(pick)

    def _spared(
        self, item: Item, pick: Pick, valid: Any, error: Exception
    ) -> tuple[Batch | None, int | None, tuple[Skipped, ...]]:
        """The batch without the samples that cannot be fetched, and these: a fetch can be tried again."""
        lengths = {len(leaf) for leaf in tree.leaves(pick) if hasattr(leaf, "__len__")}
        if len(lengths) != 1 or isinstance(valid, tuple):
            noted(error, "no samples could be left out of this batch: its sources give unequal numbers of samples")
            raise error
        n = lengths.pop()
        bad = dict(self._failing(item, pick, range(n)))
        if not bad:  # it is not the fault of any sample
            raise error
        fetched = [i for i in range(n) if i not in bad]
        own = range(n if valid is None else valid)  # without what fills it up
        skipped = tuple(Skipped(item[1], item[2], _sample(pick, i), _told(bad[i])) for i in own if i in bad)
        if not fetched:
            return None, None, skipped
        good = [i for i in own if i not in bad]
        kept = good if valid is None else good + fetched[-1:] * (n - len(good))
        return self._fetched(item, _at(pick, kept)), None if valid is None else len(good), skipped

    def _failing(self, item: Item, pick: Pick, samples: Sequence[int]) -> Iterator[tuple[int, Exception]]:
        """The samples that cannot be fetched, found by halving."""
        try:
            self._fetched(item, _at(pick, samples))
        except Exception as error:
            if len(samples) > 1:
                half = len(samples) // 2
                yield from self._failing(item, pick, samples[:half])
                yield from self._failing(item, pick, samples[half:])
            elif samples:
                yield samples[0], error


_IN_STAGES = (MapDataSource, RandomMapDataSource)  # a class made from these may fetch in a way of its own


def stages_of(source: AbstractDataSource) -> tuple[str, ...]:
    """The names of the stages that a batch goes through: the fetch, and each function that it is mapped by.

    >>> from batchup import ArrayDataSource
    >>> stages_of(ArrayDataSource([np.arange(3)]).map(tuple))
    ('the fetch of ArrayDataSource', 'tuple')
    """
    if not source.is_random_access:
        return (f"the batches of {type(source).__name__}",)
    if isinstance(source, (MapDataSource, RandomMapDataSource)) and type(source) in _IN_STAGES:
        return (*stages_of(source.source), source.name)
    return (f"the fetch of {type(source).__name__}",)


def _by_stages(source: Any, pick: Pick, marks: list[float]) -> Batch:
    """The batch for a pick; after each stage, the time is added to `marks`."""
    kind = type(source)
    if kind is MapDataSource:
        batch = source._mapped(_by_stages(source.source, pick, marks))
    elif kind is RandomMapDataSource:
        batch = source._mapped(_by_stages(source.source, pick.pick, marks), pick.seed_path)
    else:
        batch = source.samples_by_indices_nomapping(pick)
    marks.append(time.perf_counter())
    return batch


def _first_of(valid: int, n: int) -> Any:
    return np.arange(n) < valid


def _with_valid(batch: Batch, valid: Any) -> Batch:
    if not isinstance(batch, dict):
        return (*batch, valid) if isinstance(batch, tuple) else (batch, valid)
    if "valid" in batch:
        raise ValueError('last="pad" gives each batch a field "valid", but there is one of that name')
    return {**batch, "valid": valid}


def _at(pick: Pick, samples: Sequence[int]) -> Pick:
    """The pick of some of the samples."""
    chosen = list(samples)
    return tree.map_leaves(lambda leaf: leaf[chosen] if hasattr(leaf, "__len__") else leaf, pick)


def _sample(pick: Pick, i: int) -> Any:
    """The index of one sample of a pick."""
    while hasattr(pick, "pick"):
        pick = pick.pick
    if hasattr(pick, "sample_indices"):
        return pick._replace(sample_indices=_sample(pick.sample_indices, i))
    return tuple(_sample(part, i) for part in pick) if isinstance(pick, tuple) else int(pick[i])


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
