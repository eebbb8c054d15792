"""Cut the index orders of one or several epochs into batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from ..engine.checks import Indices
from .base import num_batches

__all__ = ["ascending", "cut", "repeated"]

PIECE = 65536  # indices that `ascending` makes at a time


def cut(orders: Iterable[Indices], batch_size: int) -> Iterator[Indices]:
    """Cut `orders`, joined end to end, into batches.

    A batch may hold the end of one order and the beginning of the next. The last batch may be short. The next order is
    only requested when a batch needs it.

    >>> [batch.tolist() for batch in cut([np.arange(5), np.arange(5)], 4)]
    [[0, 1, 2, 3], [4, 0, 1, 2], [3, 4]]
    """
    rest: list[Indices] = []
    missing = batch_size
    for order in orders:
        if len(order) < missing:
            rest.append(order)
            missing -= len(order)
            continue
        start = 0
        if missing < batch_size:
            start = missing
            yield np.concatenate([*rest, order[:start]])
        whole_batches = start + (len(order) - start) // batch_size * batch_size
        for first in range(start, whole_batches, batch_size):
            yield order[first : first + batch_size]
        rest = [order[whole_batches:]]
        missing = batch_size - len(rest[0])
    if missing < batch_size:
        yield np.concatenate(rest)


def repeated(repeats: int) -> Iterator[None]:
    """Yield None `repeats` times; endlessly for -1."""
    return itertools.repeat(None) if repeats == -1 else itertools.repeat(None, repeats)


def ascending(length: int, batch_size: int) -> Iterator[Indices]:
    """The indices 0 to `length` - 1, in pieces of whole batches, so that a long epoch needs little memory."""
    piece = batch_size * num_batches(PIECE, batch_size)
    for first in range(0, length, piece):
        yield np.arange(first, min(first + piece, length))
