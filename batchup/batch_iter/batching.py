"""Group items into batches, and reorder or repeat them before that."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ..engine.checks import whole
from .item_rng import item_rng

__all__ = ["ShouldAdd", "bucketed", "expiration_pool", "grouped"]

ShouldAdd = Callable[[list[Any], Any], bool]


def grouped(items: Iterable[Any], batch_size: int | ShouldAdd) -> Iterator[list[Any]]:
    """Group items into lists, one per batch. The last one may be short.

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
            yield done.pop()  # so that this frame does not keep the batch alive
        else:
            batch.append(item)
    if batch:
        yield batch


def bucketed(items: Iterable[Any], length: Callable[[Any], Any], batch_size: int, n_batches: int = 16) -> Iterator[Any]:
    """The same items, reordered so that the items of each batch have similar lengths: see `buckets`.

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
        for batch in short:  # last, as a short batch would shift the batches that come after it
            yield from batch


def expiration_pool(
    iterable: Iterable[Any],
    pool_size: int,
    repetitions: int,
    iterations: int = 1,
    rng: np.random.Generator | None = None,
) -> Iterator[Any]:
    """Give each item several times, in a random order, from a pool of items in memory.

    Use it for items that are slow to load and are augmented afterwards.

    Parameters
    ----------
    iterable : iterable
    pool_size : int
        The largest number of items in the pool.
    repetitions : int
        The number of times that each item is given. Then it leaves the pool.
    iterations : int, default 1
        While the pool fills, the number of items given for each new one.
    rng : numpy.random.Generator, optional
        Chooses the next item from the pool. In a pipe, the stage passes its own.

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
    pool: list[tuple[Any, int]] = []  # each item with the number of times that it is still to be given
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
