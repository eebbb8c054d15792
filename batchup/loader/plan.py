"""The plan of a run: the picks of each epoch, what happens to short ones, and which ones belong to this rank."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from ..data_source import Pick, Plan
from ..engine import tree
from ..engine.rng import SeedPath, entropy_of, rng_at
from .changes import Changes

EMPTY_IN_A_ROW = 100  # epochs without batches, where another one may have some

__all__ = ["Item", "Last", "PaddedPick", "Remainder", "RunPlan", "Seed"]

Seed: TypeAlias = int | np.random.SeedSequence
Last: TypeAlias = Literal["keep", "drop", "pad", "wrap"]
Remainder: TypeAlias = Literal["drop", "pad", "uneven"]
Item: TypeAlias = tuple[Pick, int, int]  # a pick, its epoch and its step


class PaddedPick(NamedTuple):
    """A pick that is filled up to the batch size.

    Attributes
    ----------
    pick : pick
    valid : int or tuple
        The number of samples before the filling. A tuple with one number per source, if they are not trimmed to one
        length.
    counts : int or tuple
        The number of samples with the filling; of the same form as `valid`.
    """

    pick: Pick
    valid: Any
    counts: Any


@dataclasses.dataclass(frozen=True)
class RunPlan:
    """The plan of a source, and the options of a loader that decide which samples make which batch of a run.

    Parameters
    ----------
    plan : Plan
    batch_size : int
    shuffled : bool
    last, remainder : str
        As for `Loader`.
    shard : (int, int) or None
        Rank and world size.
    changes : Changes, optional
        The batch size and the weights of each epoch, if they change.
    run : RunPlan, optional
        The plan of all epochs, where this is that of one of them.
    """

    plan: Plan
    batch_size: int
    shuffled: bool
    last: Last
    shard: tuple[int, int] | None
    remainder: Remainder
    changes: Changes | None = None
    run: RunPlan | None = None

    def __post_init__(self) -> None:
        if self.last != "keep":
            self.plan.should_know(f'last="{self.last}"')

    def at(self, epoch: int, now: int | None = None) -> RunPlan:
        """The plan of one epoch, with its batch size and its weights: with `now`, as known in that epoch."""
        if self.changes is None:
            return self
        plan, size = self.changes.plan(epoch, self.plan, now)
        return dataclasses.replace(self, plan=plan, batch_size=size or self.batch_size, changes=None, run=self)

    def picks(self, seed: Seed, epoch: int, step: int = 0) -> Iterator[Pick]:
        """The picks of one epoch that belong to this rank, from `step` on."""
        if self.changes is not None:
            return self.at(epoch).picks(seed, epoch, step)
        if step and self.last == "drop" and self.plan.takes_turns:  # it is not known how many are short before it
            return itertools.islice(self.picks(seed, epoch), step, None)
        world = self.shard[1] if self.shard else 1
        return self._of_this_rank(self._without_short(seed, epoch, self._picks_of_plan(seed, epoch, step * world)))

    def items(self, seed: Seed, epoch: int, step: int = 0) -> Iterator[Item]:
        """The picks of one epoch that belong to this rank, from `step` on, with their epoch and step."""
        for i, pick in enumerate(self.picks(seed, epoch, step), step):
            yield pick, epoch, i

    def items_from(self, seed: Seed, epoch: int, step: int) -> Iterator[Item]:
        """The items of all epochs, from a position on."""
        empty = 0  # epochs in a row
        for each in itertools.count(epoch):
            n = step if each == epoch else 0
            empty += n == 0
            for item in self.items(seed, each, n):
                empty = 0
                yield item
            if empty >= EMPTY_IN_A_ROW or (empty and self.changes is None and self.length() == 0):
                which = f"epoch {each} has none" if empty == 1 else f"epochs {each + 1 - empty} to {each} have none"
                raise ValueError(f"steps() should be over a source with batches, but {which}")

    def fillings(self, seed: Seed, epoch: int, step: int) -> Iterator[Item]:
        """Items to give in place of one that has no sample left: of the next epochs, and none of them valid."""
        plan = self.at(epoch)  # also for the next ones, as their weights may still be set
        for later in (epoch + 1, epoch + 2):
            for pick, *_ in plan.items(seed, later):
                yield pick._replace(valid=_zeros(pick.valid)) if isinstance(pick, PaddedPick) else pick, epoch, step

    @property
    def has_equal_ranks(self) -> bool:
        """Whether all of several ranks should have the same number of batches."""
        return self.shard is not None and self.shard[1] > 1 and self.remainder != "uneven"

    def length(self, epoch: int = 0) -> int | float | None:
        """The number of batches of this rank in an epoch; None if it depends on random numbers."""
        if self.changes is not None:
            return self.at(epoch).length()
        n = self.plan.length(self.last == "drop", self.shuffled)
        if n is None or n == np.inf or self.shard is None:
            return n
        rank, world = self.shard
        more = {"drop": 0, "pad": world - 1, "uneven": world - 1 - rank}[self.remainder]
        return (int(n) + more) // world

    def why_empty(self, n: int | float | None) -> str | None:
        """What to say if an epoch over so many samples has no batch.

        None if there are no samples, or if other ranks may have all of them.
        """
        whole = self.plan.length(self.last == "drop", self.shuffled)
        if n == 0 or (self.shard is not None and self.remainder == "uneven" and whole != 0):
            return None
        if self.last == "drop":
            return f'last="drop" leaves out batches of fewer than {self.batch_size} samples; last="keep" gives them'
        if self.shard is not None and self.remainder == "drop":
            return f'it has fewer batches than the {self.shard[1]} ranks; remainder="pad" gives each of them one'
        return "the source gave none"

    def depends_on_seed(self) -> bool:
        """Whether the order of the batches depends on the seed."""
        return self.shuffled or self.plan.weighted

    def _picks_of_plan(self, seed: Seed, epoch: int, step: int = 0) -> Iterator[Pick]:
        rng = rng_at(seed, epoch) if self.shuffled else None
        return self.plan.picks_from(step, rng, SeedPath(entropy_of(seed), (epoch,)) if self.plan.draws else None)

    def _without_short(self, seed: Seed, epoch: int, picks: Iterator[Pick]) -> Iterator[Pick]:
        """The picks, with short ones treated as `last` says."""
        plan = self.plan
        match self.last:
            case "drop":
                return (pick for pick in picks if not plan.is_short(pick))
            case "pad":
                return map(self._padded, picks)
            case "wrap":
                return (self._wrapped(pick, seed, epoch) if plan.is_short(pick) else pick for pick in picks)
        return picks

    def _of_this_rank(self, picks: Iterator[Pick]) -> Iterator[Pick]:
        if self.shard is None:
            return picks
        rank, world = self.shard
        return _picks_of_rank(picks, rank, world, self.remainder)

    def _padded(self, pick: Pick) -> PaddedPick:
        def filled(leaf: Any, n: int) -> Any:
            return np.concatenate([leaf, np.repeat(leaf[-1:], n - len(leaf))]) if _is_array(leaf) else leaf

        plan = self.plan
        full = tree.map_leaves(filled, pick, plan.sizes(pick)) if plan.is_short(pick) else pick
        return PaddedPick(full, plan.counts(pick), plan.counts(full))

    def _wrapped(self, pick: Pick, seed: Seed, epoch: int) -> Pick:
        def filled(leaf: Any, n: int, more: Any) -> Any:
            return np.concatenate([leaf, more[: n - len(leaf)]]) if _is_array(leaf) else leaf

        plans = ((later, self._later(later, epoch)) for later in itertools.count(epoch + 1))
        following = (other for later, plan in plans for other in plan._picks_of_plan(seed, later))
        wanted = self.plan.sizes(pick)
        while self.plan.is_short(pick):
            other = next(other for other in following if self.plan.are_alike(pick, other))
            pick = tree.map_leaves(filled, pick, wanted, other)
        return pick

    def _later(self, epoch: int, now: int) -> RunPlan:
        """The plan of a later epoch, as far as it is known in epoch `now`, so that it is the same after a resume."""
        return self.run.at(epoch, now) if self.run is not None else self


def _picks_of_rank(picks: Iterator[Pick], rank: int, world: int, remainder: Remainder) -> Iterator[Pick]:
    """The picks of one rank: number `rank` of each round of `world` picks."""
    while some := list(itertools.islice(picks, world)):
        if rank < len(some) and (len(some) == world or remainder != "drop"):
            yield some[rank]
        elif remainder == "pad":
            again = some[rank % len(some)]
            yield again._replace(valid=_zeros(again.valid)) if isinstance(again, PaddedPick) else again


def _zeros(valid: Any) -> Any:
    return tree.map_leaves(lambda n: 0, valid)


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "__len__")
