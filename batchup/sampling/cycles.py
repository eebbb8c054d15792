"""Draws of several members at a time, going through all members again and again in shuffled cycles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..engine.checks import Indices
from .permutation import KeyedPermutation

__all__ = ["Cycles"]

SMALL = 512  # members; the orders of several cycles of fewer are drawn at once


class Cycles:
    """Draws of `count` out of `size` members: each member once per cycle, and never twice in one draw.

    Each cycle has an order of its own. A draw may hold the end of one cycle and the beginning of the next; members at
    the end of the first are then moved out of the beginning of the second. Draws can be asked for in any order.

    Parameters
    ----------
    size : int
    count : int
        At most `size`.
    key : int or None
        None keeps the order.
    path : sequence of int

    Examples
    --------
    >>> Cycles(5, 3, None, ()).draws(0, 3)
    array([[0, 1, 2],
           [3, 4, 0],
           [1, 2, 3]])
    """

    def __init__(self, size: int, count: int, key: int | None, path: Sequence[int]) -> None:
        self.size, self.count, self.key, self.path = size, count, key, tuple(path)
        self._chained = size < 2 * count  # so short that the end of a cycle depends on its beginning
        self._together = max(SMALL // max(size, 1), 1)  # cycles whose orders are drawn at once
        self._permutations: dict[int, KeyedPermutation] = {}
        self._tables: dict[int, Indices] = {}
        self._heads: dict[int, Indices] = {}

    def draws(self, first: int, last: int) -> Indices:
        """The draws from `first` up to, not including, `last`: one row for each."""
        position, stop = first * self.count, last * self.count
        if self.key is None:
            return (np.arange(position, stop) % self.size).reshape(-1, self.count)
        pieces = []
        while position < stop:
            cycle, begin = divmod(position, self.size)
            end = min(self.size, begin + stop - position)
            pieces.append(self._between(cycle, begin, end))
            position += end - begin
        joined = np.concatenate(pieces) if len(pieces) > 1 else pieces[0]
        return joined.reshape(-1, self.count)

    def _between(self, cycle: int, begin: int, end: int) -> Indices:
        piece = self._in_order(cycle, begin, end)
        if begin < self.count and self._behind(cycle):
            some = self._head(cycle)[begin:end]
            piece[: len(some)] = some
        return piece

    def _behind(self, cycle: int) -> int:
        """How many members the draw that a cycle begins in has from the cycle before."""
        return cycle * self.size % self.count

    def _in_order(self, cycle: int, begin: int, end: int) -> Indices:
        """A part of a cycle, before members that are in a draw already are moved. A new array."""
        if self._together == 1:
            return self._permutation(cycle).between(begin, end)
        number, row = divmod(cycle, self._together)
        if number not in self._tables:
            assert self.key is not None
            rng = np.random.default_rng(np.random.SeedSequence(self.key, spawn_key=(*self.path, number)))
            self._tables = {at: made for at, made in self._tables.items() if at == number - 1}
            self._tables[number] = rng.permuted(np.tile(np.arange(self.size), (self._together, 1)), axis=1)
        return self._tables[number][row, begin:end].copy()

    def _permutation(self, cycle: int) -> KeyedPermutation:
        if cycle not in self._permutations:
            assert self.key is not None
            self._permutations = {at: made for at, made in self._permutations.items() if at == cycle - 1}
            self._permutations[cycle] = KeyedPermutation(self.size, self.key, (*self.path, cycle))
        return self._permutations[cycle]

    def _head(self, cycle: int) -> Indices:
        """The first `count` members of a cycle, those last that are in the same draw already."""
        if cycle not in self._heads:
            first = cycle
            while self._chained and self._behind(first) and first - 1 not in self._heads:
                first -= 1
            for each in range(first, cycle + 1):
                head = self._without_repeats(each)
                self._heads = {at: made for at, made in self._heads.items() if at == each - 1}
                self._heads[each] = head
        return self._heads[cycle]

    def _without_repeats(self, cycle: int) -> Indices:
        behind = self._behind(cycle)
        if not behind:
            return self._in_order(cycle, 0, self.count)
        last = self._last(cycle - 1, behind)
        head = self._in_order(cycle, 0, self.count)
        again = (head[:, None] == last).any(axis=1) if len(last) < SMALL // self.count else np.isin(head, last)
        return np.concatenate([head[~again], head[again]])

    def _last(self, cycle: int, n: int) -> Indices:
        """The last members of a cycle."""
        if not self._chained:
            return self._in_order(cycle, self.size - n, self.size)
        return np.concatenate([self._heads[cycle], self._in_order(cycle, self.count, self.size)])[self.size - n :]
