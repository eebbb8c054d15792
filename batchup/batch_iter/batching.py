"""Which items make a batch, and which come next to each other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ..engine.checks import whole
from .chance import item_rng

__all__ = ["ShouldAdd", "bucketed", "expiration_pool", "grouped"]

ShouldAdd = Callable[[list[Any], Any], bool]


def grouped(items: Iterable[Any], batch_size: int | ShouldAdd) -> Iterator[list[Any]]:
    """Items in lists, one for each batch; the last may have fewer.

    >>> list(grouped(range(5), 2))
    [[0, 1], [2, 3], [4]]
    >>> list(grouped([3, 1, 2, 9, 1], lambda batch, item: sum(batch) + item <= 5))
    [[3, 1], [2], [9], [1]]
    """
    return _fitting(items, batch_size) if callable(batch_size) else _pieces(iter(items), batch_size)


def _pieces(items: Iterator[Any], n: int) -> Iterator[list[Any]]:
    return iter(lambda: list(itertools.islice(items, n)), [])


def _fitting(items: Iterable[Any], should_add: ShouldAdd) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for item in items:
        if batch and not should_add(batch, item):
            done, batch = [batch], [item]
            yield done.pop()  # what is yielded is not held here
        else:
            batch.append(item)
    if batch:
        yield batch


def bucketed(items: Iterable[Any], length: Callable[[Any], Any], batch_size: int, n_batches: int = 16) -> Iterator[Any]:
    """The same items, so that each `batch_size` that follow each other are of similar length: see `buckets`.

    >>> words = ["aaa", "b", "cccc", "dd", "ee", "f"]
    >>> sorted(sorted(batch) for batch in grouped(bucketed(words, len, batch_size=2), 2))
    [['aaa', 'cccc'], ['b', 'f'], ['dd', 'ee']]
    """
    batch_size, n_batches = whole("batch_size", batch_size), whole("n_batches", n_batches)
    for pool in _pieces(iter(items), batch_size * n_batches):
        pool.sort(key=length)
        batches = list(_pieces(iter(pool), batch_size))
        short = [batches.pop()] if len(batches[-1]) < batch_size else []
        for i in item_rng().permutation(len(batches)):
            yield from batches[i]
        for batch in short:  # at the very end: another one would no longer be aligned
            yield from batch


def expiration_pool(
    iterable: Iterable[Any],
    pool_size: int,
    repetitions: int,
    iterations: int = 1,
    rng: np.random.Generator | None = None,
) -> Iterator[Any]:
    """Each item several times, in a random order, from a pool of a few that are held in memory.

    For items that are costly to make, and are changed at random afterwards.

    Parameters
    ----------
    iterable : iterable
    pool_size : int
        How many items are held at most.
    repetitions : int
        How often each item comes. Then it leaves the pool.
    iterations : int, default 1
        How many are given out for each that comes in, while the pool fills.
    rng : numpy.random.Generator, optional
        Draws which of the pool is next. In a pipe, that of the stage.

    Returns
    -------
    iterator

    Examples
    --------
    >>> sorted(expiration_pool("abc", pool_size=2, repetitions=2))
    ['a', 'a', 'b', 'b', 'c', 'c']
    """
    pool_size, repetitions = whole("pool_size", pool_size), whole("repetitions", repetitions)
    iterations = whole("iterations", iterations, least=0)
    return _pooled(iterable, pool_size, repetitions, iterations, np.random.default_rng() if rng is None else rng)


def _pooled(
    iterable: Iterable[Any], pool_size: int, repetitions: int, iterations: int, rng: np.random.Generator
) -> Iterator[Any]:
    pool: list[tuple[Any, int]] = []  # items, and how often each is still to come
    for item in iterable:
        pool.append((item, repetitions))
        del item
        for _ in range(iterations):
            if pool:
                yield _taken(pool, rng)
        while len(pool) >= pool_size:
            yield _taken(pool, rng)
    while pool:
        yield _taken(pool, rng)


def _taken(pool: list[tuple[Any, int]], rng: np.random.Generator) -> Any:
    i = int(rng.integers(len(pool)))
    item, left = pool[i]
    pool[i] = (item, left - 1)
    if left == 1:
        pool[i] = pool[-1]
        pool.pop()
    return item
