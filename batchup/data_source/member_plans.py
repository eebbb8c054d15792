"""The plans of sources with members: side by side, as in a composite, or in turns, as in a choice."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import sampling
from ..engine import tree
from ..engine.rng import SeedPath
from ..engine.shuffle import Rng, Shuffle, as_rng
from ..engine.tree import Pick
from .plan import Plan, is_array, without_weights

__all__ = ["ChoiceBatch", "JoinedPlan", "TurnsPlan"]


class ChoiceBatch(NamedTuple):
    """The pick of a `ChoiceDataSource`: which samples of which source.

    Attributes
    ----------
    sample_indices : pick
        A pick of the chosen source.
    ds_index : int
        The number of the chosen source.
    """

    sample_indices: Pick
    ds_index: int


class JoinedPlan(Plan):
    """The plan of a composite. Its picks are tuples with one pick of each member.

    Parameters
    ----------
    members : sequence of Plan
    kind : str
        The class of the source.
    trim : bool
        Whether to cut picks to the length of their shortest part.
    batch_sizes : tuple of int or None
        The number of samples that each member gives to a batch, if these differ.

    Raises
    ------
    ValueError
        If `trim` is True and a member has parts that differ in length by design.
    """

    def __init__(self, members: Sequence[Plan], kind: str, trim: bool, batch_sizes: tuple[int, ...] | None) -> None:
        self.members, self.kind, self.trim, self.batch_sizes = tuple(members), kind, trim, batch_sizes
        self.draws = any(plan.draws for plan in members)
        self.weighted = any(plan.weighted for plan in members)
        self.takes_turns = any(plan.takes_turns for plan in members)
        self.takes_weights = any(plan.takes_weights for plan in members)
        unequal = any(plan.has_unequal_parts for plan in members)
        if trim and unequal:
            raise ValueError("trim should be False: one of the sources has batch_sizes, so its parts differ in length")
        self.has_unequal_parts = batch_sizes is not None or unequal

    def picks(self, shuffle: Shuffle = None, seed_path: SeedPath | None = None) -> Iterator[Pick]:
        if self.draws and seed_path is None:
            seed_path = SeedPath.of(shuffle)
        plans = _picks_of(self.members, as_rng(shuffle), seed_path)
        return (tree.even(picks) if self.trim else picks for picks in zip(*plans, strict=False))

    def lazy(self) -> Plan:
        return _with_lazy_members(self)

    def with_weights(self, weights: npt.ArrayLike) -> Plan:
        return _with_weights_of_a_member(self, weights)

    def sizes(self, pick: Pick) -> Any:
        each = tuple(plan.sizes(part) for plan, part in zip(self.members, pick, strict=True))
        if not self.trim or not self.takes_turns:
            return each
        least = min(n for leaf, n in zip(tree.leaves(pick), tree.leaves(each), strict=True) if is_array(leaf))
        return tree.map_leaves(lambda leaf, n: least if is_array(leaf) else n, pick, each)

    def counts(self, pick: Pick) -> Any:
        if self.trim:
            return tree.length(pick)
        return tuple(plan.counts(part) for plan, part in zip(self.members, pick, strict=True))

    def is_short(self, pick: Pick) -> bool:
        if self.trim and self.takes_turns:  # parts are cut to the smallest
            return super().is_short(pick)
        return any(plan.is_short(part) for plan, part in zip(self.members, pick, strict=True))

    def are_alike(self, a: Pick, b: Pick) -> bool:
        return all(plan.are_alike(*parts) for plan, *parts in zip(self.members, a, b, strict=True))

    def length(self, full: bool = False, shuffled: bool = False) -> int | float | None:
        if full and len(self.members) > 1 and self.takes_turns:
            return None  # short batches of one member meet full ones of the others
        counts = [plan.length(full, shuffled) for plan in self.members]
        return None if None in counts else min(n for n in counts if n is not None)

    def signature(self) -> tuple[Any, ...]:
        return self.kind, self.trim, self.batch_sizes, *(plan.signature() for plan in self.members)

    def should_know(self, what: str) -> None:
        for plan in self.members:
            plan.should_know(what)


class TurnsPlan(Plan):
    """The plan of a choice. Each pick is a pick of one member.

    Parameters
    ----------
    members : sequence of Plan
    kind : str
        The class of the source.
    turns : callable, ``turns(picks, rng, seed_path, weights) -> iterator of ChoiceBatch``
        Takes the picks from the iterators of the members, in turn.
    stratified : bool
        Whether all batches of all members come.
    batches : sequence of int or None
        If so, the number of batches of each member, by its number of samples.
    weights : tuple of float or None
        The probabilities of the members, if the turns are drawn.
    """

    takes_turns = True

    def __init__(
        self,
        members: Sequence[Plan],
        kind: str,
        turns: Callable[[list[Iterator[Pick]], Rng | None, SeedPath | None, tuple[float, ...] | None], Iterator[Pick]],
        stratified: bool,
        batches: Sequence[int] | None,
        weights: tuple[float, ...] | None,
    ) -> None:
        self.members: tuple[Plan, ...] = tuple(members)
        self.kind, self._turns = kind, turns
        self.stratified, self.batches, self.weights = stratified, batches, weights
        self.draws = weights is not None or any(plan.draws for plan in members)
        self.weighted = weights is not None or any(plan.weighted for plan in members)
        self.takes_weights = weights is not None or any(plan.takes_weights for plan in members)
        self.has_unequal_parts = any(plan.has_unequal_parts for plan in members)

    def picks(self, shuffle: Shuffle = None, seed_path: SeedPath | None = None) -> Iterator[Pick]:
        rng = as_rng(shuffle)
        if self.draws and seed_path is None:
            seed_path = SeedPath.of(shuffle)
        return self._turns(_picks_of(self.members, rng, seed_path), rng, seed_path, self.weights)

    def lazy(self) -> Plan:
        return _with_lazy_members(self)

    def with_weights(self, weights: npt.ArrayLike) -> Plan:
        if self.weights is None:
            return _with_weights_of_a_member(self, weights)
        shares = sampling.normalised("weights", weights).tolist()
        if len(shares) != len(self.members):
            raise ValueError(
                f"there should be one weight per source: {len(shares)} weights, {len(self.members)} sources"
            )
        made = copy.copy(self)
        made.weights = tuple(shares)
        return made

    def sizes(self, pick: Pick) -> Any:
        return ChoiceBatch(self.members[pick.ds_index].sizes(pick.sample_indices), pick.ds_index)

    def counts(self, pick: Pick) -> Any:
        return self.members[pick.ds_index].counts(pick.sample_indices)

    def is_short(self, pick: Pick) -> bool:
        member: Plan = self.members[pick.ds_index]
        return member.is_short(pick.sample_indices)

    def are_alike(self, a: Pick, b: Pick) -> bool:
        member: Plan = self.members[a.ds_index]
        return a.ds_index == b.ds_index and member.are_alike(a.sample_indices, b.sample_indices)

    def length(self, full: bool = False, shuffled: bool = False) -> int | float | None:
        counts = [plan.length(full, shuffled) for plan in self.members]
        known = [n for n in counts if n is not None]
        if len(known) < len(counts) or self.weights is not None:
            return None
        if self.batches is not None:
            # a member with fewer batches than its samples make ends the epoch when its turn comes
            given = [plan.length(False, shuffled) for plan in self.members]
            return sum(known) if list(self.batches) == given else None
        if shuffled or full:
            return None if min(known) < np.inf else np.inf
        return min(n * len(known) + i for i, n in enumerate(known))  # the first member without a batch for its turn

    def signature(self) -> tuple[Any, ...]:
        return self.kind, self.stratified, self.weights, *(plan.signature() for plan in self.members)

    def should_know(self, what: str) -> None:
        for plan in self.members:
            plan.should_know(what)


def _with_lazy_members(plan: JoinedPlan | TurnsPlan) -> Plan:
    made = copy.copy(plan)
    made.members = tuple(member.lazy() for member in plan.members)
    return made


def _with_weights_of_a_member(plan: JoinedPlan | TurnsPlan, weights: npt.ArrayLike) -> Plan:
    taking = [i for i, member in enumerate(plan.members) if member.takes_weights]
    if len(taking) != 1:
        raise without_weights(len(taking))
    made = copy.copy(plan)
    made.members = tuple(member.with_weights(weights) if member.takes_weights else member for member in plan.members)
    return made


def _picks_of(members: Iterable[Plan], rng: Rng | None, seed_path: SeedPath | None) -> list[Iterator[Pick]]:
    """The picks of each member: one generator for all orders, a seed path each for other random numbers."""
    return [
        plan.picks(rng, seed_path.child(i) if seed_path is not None and plan.draws else None)
        for i, plan in enumerate(members)
    ]
