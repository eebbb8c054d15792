"""The plan of a run: which picks an epoch is made of, what becomes of short ones, and which belong to one trainer."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from ..data_source import (
    AbstractDataSource,
    ChoiceBatch,
    ChoiceDataSource,
    CompositeDataSource,
    MapDataSource,
    Pick,
    RandomMapDataSource,
    RandomPick,
)
from ..engine import tree
from ..engine.checks import INTEGERS
from ..engine.rng import SeedPath, entropy_of, rng_at
from ..sampling import num_batches

__all__ = ["Last", "PaddedPick", "Remainder", "RunPlan", "Seed", "batches_in", "counts", "should_fit"]

Seed: TypeAlias = int | np.random.SeedSequence
Last: TypeAlias = Literal["keep", "drop", "pad", "wrap"]
Remainder: TypeAlias = Literal["drop", "pad", "uneven"]


class PaddedPick(NamedTuple):
    """A pick filled up to the batch size.

    Attributes
    ----------
    pick : pick
    valid : int or tuple
        How many samples, from the first, are not there only to fill it up. Of sources side by side that are not
        trimmed to one length, a tuple with one for each.
    """

    pick: Pick
    valid: Any


@dataclasses.dataclass(frozen=True)
class RunPlan:
    """What decides which samples are in which batch of a run."""

    source: AbstractDataSource
    batch_size: int
    shuffled: bool
    last: Last
    shard: tuple[int, int] | None
    remainder: Remainder

    def picks(self, seed: Seed, epoch: int) -> Iterator[Pick]:
        """The picks of one epoch that belong to this rank."""
        return self._own(self._finished(seed, epoch, self._drawn(seed, epoch)))

    def length(self) -> int | float | None:
        """How many batches of an epoch belong to this rank; None where that is not known before it is drawn."""
        n = batches_in(self.source, self.batch_size, self.last == "drop", self.shuffled)
        if n is None or n == np.inf or self.shard is None:
            return n
        rank, world = self.shard
        more = {"drop": 0, "pad": world - 1, "uneven": world - 1 - rank}[self.remainder]
        return (int(n) + more) // world

    def follows_the_seed(self) -> bool:
        """Whether another seed is another order."""
        return self.shuffled or _has_weights(self.source)

    def _drawn(self, seed: Seed, epoch: int) -> Iterator[Pick]:
        rng = rng_at(seed, epoch) if self.shuffled else None
        if self.source._draws:
            return self.source._plan(self.batch_size, rng, SeedPath(entropy_of(seed), (epoch,)), {})
        if rng is None:
            return self.source.batch_indices_iterator(self.batch_size)
        return self.source.batch_indices_iterator(self.batch_size, shuffle=rng)

    def _finished(self, seed: Seed, epoch: int, picks: Iterator[Pick]) -> Iterator[Pick]:
        """The picks, none of them short (but for "keep")."""
        match self.last:
            case "drop":
                return (pick for pick in picks if not self._is_short(pick))
            case "pad":
                return (PaddedPick(self._padded(pick), counts(self.source, pick)) for pick in picks)
            case "wrap":
                return (self._wrapped(pick, seed, epoch) if self._is_short(pick) else pick for pick in picks)
        return picks

    def _own(self, picks: Iterator[Pick]) -> Iterator[Pick]:
        if self.shard is None:
            return picks
        rank, world = self.shard
        return _share_of(picks, rank, world, self.remainder)

    def _is_short(self, pick: Pick) -> bool:
        if type(pick) is np.ndarray and not isinstance(self.source, CompositeDataSource):
            return len(pick) < self.batch_size
        wanted = tree.leaves(_sizes(self.source, pick, self.batch_size))
        return any(_is_array(leaf) and len(leaf) < n for leaf, n in zip(tree.leaves(pick), wanted, strict=True))

    def _padded(self, pick: Pick) -> Pick:
        if not self._is_short(pick):
            return pick

        def filled(leaf: Any, n: int) -> Any:
            return np.concatenate([leaf, np.repeat(leaf[-1:], n - len(leaf))]) if _is_array(leaf) else leaf

        return tree.map_leaves(filled, pick, _sizes(self.source, pick, self.batch_size))

    def _wrapped(self, pick: Pick, seed: Seed, epoch: int) -> Pick:
        def filled(leaf: Any, n: int, more: Any) -> Any:
            return np.concatenate([leaf, more[: n - len(leaf)]]) if _is_array(leaf) else leaf

        following = (other for later in itertools.count(epoch + 1) for other in self._drawn(seed, later))
        wanted = _sizes(self.source, pick, self.batch_size)
        while self._is_short(pick):
            other = next(other for other in following if _of_one_source(pick, other))
            pick = tree.map_leaves(filled, pick, wanted, other)
        return pick


def batches_in(source: AbstractDataSource, batch_size: int, full: bool, shuffled: bool) -> int | float | None:
    """How many batches an epoch has, or how many full ones; None if it depends on what is drawn."""
    if isinstance(source, (MapDataSource, RandomMapDataSource)):
        return batches_in(source.source, batch_size, full, shuffled)
    if isinstance(source, CompositeDataSource):
        if full and len(source.datasets) > 1 and any(map(_has_turns, source.datasets)):
            return None  # whose short batches meet full ones of the others
        sizes = source._sizes(batch_size)
        return _least(batches_in(ds, n, full, shuffled) for ds, n in zip(source.datasets, sizes, strict=True))
    if isinstance(source, ChoiceDataSource):
        return _turns_in(source, batch_size, full, shuffled)
    n = source.num_samples()
    if n is None or n == np.inf:
        return n
    return int(n) // batch_size if full else num_batches(int(n), batch_size)


def _turns_in(source: ChoiceDataSource, batch_size: int, full: bool, shuffled: bool) -> int | float | None:
    counts = [batches_in(ds, batch_size, full, shuffled) for ds in source.datasets]
    known = [n for n in counts if n is not None]
    if len(known) < len(counts) or source.weights is not None:
        return None
    samples = [ds.num_samples() for ds in source.datasets]
    if source.stratified and all(isinstance(n, INTEGERS) for n in samples):
        turns = [num_batches(int(n), batch_size) for n in samples if n is not None]
        # a member that gives fewer batches than its samples make ends the epoch when its turn comes
        return sum(known) if turns == [batches_in(ds, batch_size, False, shuffled) for ds in source.datasets] else None
    if shuffled or full:
        return None if min(known) < np.inf else np.inf
    return min(n * len(known) + i for i, n in enumerate(known))  # the one whose turn it is has no more


def _has_weights(source: AbstractDataSource) -> bool:
    """Whether it is drawn which source comes next."""
    if isinstance(source, (MapDataSource, RandomMapDataSource)):
        return _has_weights(source.source)
    if isinstance(source, ChoiceDataSource) and source.weights is not None:
        return True
    return isinstance(source, (CompositeDataSource, ChoiceDataSource)) and any(map(_has_weights, source.datasets))


def _has_turns(source: AbstractDataSource) -> bool:
    """Whether a short batch need not be the last."""
    if isinstance(source, (MapDataSource, RandomMapDataSource)):
        return _has_turns(source.source)
    if isinstance(source, CompositeDataSource):
        return any(map(_has_turns, source.datasets))
    return isinstance(source, ChoiceDataSource)


def _least(counts: Iterator[int | float | None]) -> int | float | None:
    known = list(counts)
    return None if None in known else min(n for n in known if n is not None)


def _sizes(source: AbstractDataSource, pick: Pick, batch_size: int) -> Any:
    """How many samples each part of a full pick has: a tree like that of the pick."""
    if isinstance(source, RandomMapDataSource):
        return RandomPick(_sizes(source.source, pick.pick, batch_size), pick.seed_path)
    if isinstance(source, MapDataSource):
        return _sizes(source.source, pick, batch_size)
    if isinstance(source, CompositeDataSource):
        members = zip(source.datasets, pick, source._sizes(batch_size), strict=True)
        return tuple(_sizes(ds, part, n) for ds, part, n in members)
    if isinstance(source, ChoiceDataSource):
        return ChoiceBatch(_sizes(source.datasets[pick.ds_index], pick.sample_indices, batch_size), pick.ds_index)
    return tree.map_leaves(lambda leaf: batch_size, pick)


def counts(source: AbstractDataSource, pick: Pick) -> Any:
    """How many samples a pick has; of sources side by side that are not trimmed to one length, one for each."""
    if isinstance(source, RandomMapDataSource):
        return counts(source.source, pick.pick)
    if isinstance(source, MapDataSource):
        return counts(source.source, pick)
    if isinstance(source, CompositeDataSource) and not source.trim:
        return tuple(counts(ds, part) for ds, part in zip(source.datasets, pick, strict=True))
    if isinstance(source, ChoiceDataSource):
        return counts(source.datasets[pick.ds_index], pick.sample_indices)
    return tree.length(pick)


def should_fit(source: AbstractDataSource, batch_size: int) -> None:
    """Refuse a batch size that is not the sum of the `batch_sizes` within."""
    if isinstance(source, (MapDataSource, RandomMapDataSource)):
        should_fit(source.source, batch_size)
    elif isinstance(source, CompositeDataSource):
        for ds, size in zip(source.datasets, source._sizes(batch_size), strict=True):
            should_fit(ds, size)
    elif isinstance(source, ChoiceDataSource):
        for ds in source.datasets:
            should_fit(ds, batch_size)


def _of_one_source(a: Pick, b: Pick) -> bool:
    """Whether two picks are made in the same way: of the same member of a choice."""
    if isinstance(a, ChoiceBatch):
        return bool(a.ds_index == b.ds_index) and _of_one_source(a.sample_indices, b.sample_indices)
    if isinstance(a, tuple):
        return all(_of_one_source(part, other) for part, other in zip(a, b, strict=True))
    return True


def _share_of(picks: Iterator[Pick], rank: int, world: int, remainder: Remainder) -> Iterator[Pick]:
    """The picks of one rank: of each round of `world` picks, that at its place."""
    while some := list(itertools.islice(picks, world)):
        if rank < len(some) and (len(some) == world or remainder != "drop"):
            yield some[rank]
        elif remainder == "pad":
            again = some[rank % len(some)]
            yield PaddedPick(again.pick, _zeros(again.valid)) if isinstance(again, PaddedPick) else again


def _zeros(valid: Any) -> Any:
    return tree.map_leaves(lambda n: 0, valid)


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "__len__")
