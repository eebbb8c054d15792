"""A cache of the chunks that were read last, so that the next batches need not read them again."""

from __future__ import annotations

import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..engine.checks import Indices
from .addresses import first_byte, gathered

__all__ = ["DEFAULT_LIMIT", "CacheStats", "ChunkCache", "Form", "Load", "Rows", "Share", "chunks_noted"]

DEFAULT_LIMIT = 64 << 20
Load: TypeAlias = Callable[[int], Any]  # reads the chunk of that number
Form: TypeAlias = Callable[[int], tuple[tuple[int, ...], Any]]  # its shape and dtype


class Rows(NamedTuple):
    """Rows of several chunks.

    Attributes
    ----------
    chunks : list of int
        The numbers of the chunks, in increasing order.
    counts : array of int
        How many of the rows are in each chunk.
    order : array of int
        The positions of the rows in the batch, chunk by chunk.
    rows : array of int
        Where each row of the batch is in its chunk.
    row_bytes : int
    """

    chunks: list[int]
    counts: Indices
    order: Indices
    rows: Indices
    row_bytes: int

    def places(self, begins: list[int]) -> Indices:
        """Where each row of the batch begins, in bytes, if the chunks begin there."""
        places = np.empty(len(self.rows), np.intp)
        places[self.order] = np.repeat(np.array(begins, np.intp), self.counts)
        places += self.rows * self.row_bytes
        return places


class _Noted(threading.local):
    """Of each thread: what was found in caches and what was read since `chunks_noted` was last called."""

    hits = misses = 0


_noted = _Noted()


def chunks_noted() -> tuple[int, int]:
    """How many chunks this thread has found in caches, and how many it has read, since the last call."""
    noted = _noted
    counts = noted.hits, noted.misses
    if counts != (0, 0):
        noted.hits = noted.misses = 0
    return counts


class CacheStats(NamedTuple):
    """What a cache of chunks did for one array, in this process.

    Attributes
    ----------
    hits, misses : int
        How often a chunk was in the cache, and how often it had to be read.
    nbytes : int
        The present size of the cache, in bytes. Arrays without a cache of their own share one.
    limit : int
        The maximum size of the cache, in bytes.
    """

    hits: int
    misses: int
    nbytes: int
    limit: int


class ChunkCache:
    """Chunks by owner and number; those that were used least recently are dropped first. Threads may share it.

    Parameters
    ----------
    limit : int
        The maximum sum of the weights of its chunks.

    Examples
    --------
    >>> cache = ChunkCache(2)
    >>> for number in range(3):
    ...     cache.put((7, number), f"chunk {number}", weight=1)
    >>> cache.those_of(7, [0, 1, 2])
    {1: 'chunk 1', 2: 'chunk 2'}
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.weight = 0
        self._chunks: OrderedDict[tuple[int, int], tuple[Any, int]] = OrderedDict()
        self._gone: list[int] = []  # owners whose chunks are to be dropped
        self._lock = threading.Lock()

    def put(self, key: tuple[int, int], chunk: Any, weight: int) -> None:
        if weight > self.limit:
            return
        with self._lock:
            self._drop()
            self.weight += weight - self._chunks.pop(key, (None, 0))[1]
            self._chunks[key] = chunk, weight
            while self.weight > self.limit:
                self.weight -= self._chunks.popitem(last=False)[1][1]

    def those_of(self, owner: int, numbers: list[int]) -> dict[int, Any]:
        """Those of the chunks with these numbers that are in the cache."""
        found = {}
        with self._lock:
            chunks = self._chunks
            for number in numbers:
                chunk = chunks.get((owner, number))
                if chunk is not None:
                    chunks.move_to_end((owner, number))
                    found[number] = chunk[0]
        return found

    def forget(self, owner: int) -> None:
        """Drop the chunks whose key begins with `owner`: at once, or when the next one is put in.

        Never waits: the garbage collector may call it while this thread holds the lock.
        """
        self._gone.append(owner)
        if self._lock.acquire(blocking=False):
            try:
                self._drop()
            finally:
                self._lock.release()

    def _drop(self) -> None:
        while self._gone:
            owner = self._gone.pop()
            for key in [key for key in self._chunks if key[0] == owner]:
                self.weight -= self._chunks.pop(key)[1]


class Kept(NamedTuple):
    """A chunk in a cache, and the address of its bytes; 0 if rows cannot be gathered from there."""

    chunk: Any
    address: int


class Share:
    """The part of a cache that one array uses, with its statistics.

    Parameters
    ----------
    cache : ChunkCache, optional
        By default the one that all arrays of this process share.
    weigh : callable, chunk -> int, optional
        By default its bytes.
    """

    numbers = itertools.count()

    def __init__(self, cache: ChunkCache | None = None, weigh: Callable[[Any], int] | None = None) -> None:
        self.cache = cache if cache is not None else _shared_cache()
        self.hits = self.misses = 0
        self._weigh = weigh
        self._number = next(self.numbers)

    @property
    def limit(self) -> int:
        """The maximum weight of all chunks together."""
        return self.cache.limit

    def chunk(self, number: int, load: Load) -> Any:
        """The chunk with this number. It is read if it is not in the cache."""
        found = self.cache.those_of(self._number, [number])
        return found[number].chunk if found else self._read(number, load)

    def rows(self, wanted: Rows) -> Any:
        """The bytes of rows, if all their chunks are in the cache and can be gathered from at once; else None."""
        there = self.cache.those_of(self._number, wanted.chunks)
        begins = [kept.address for kept in there.values()]
        if len(there) < len(wanted.chunks) or not all(begins):
            return None
        found = gathered(wanted.places(begins), wanted.row_bytes)
        self.note(hits=0 if found is None else len(there))
        return found

    def each(self, numbers: list[int], load: Load, form: Form) -> Iterator[tuple[int, Any]]:
        """These chunks with their numbers, read if they are not in the cache. Use each before you request the next."""
        there = self.cache.those_of(self._number, numbers)
        self.note(len(there), len(numbers) - len(there))
        for number in numbers:
            yield number, there[number].chunk if number in there else self._read(number, load, form)

    def _read(self, number: int, load: Load, form: Form | None = None) -> Any:
        chunk = load(number)
        plain = form is not None and (chunk.shape, chunk.dtype) == form(number)
        weight = chunk.nbytes if self._weigh is None else self._weigh(chunk)
        self.cache.put((self._number, number), Kept(chunk, first_byte(chunk) if plain else 0), weight)
        return chunk

    def note(self, hits: int = 0, misses: int = 0) -> None:
        """Count chunks that were in the cache, and chunks that were read."""
        self.hits += hits
        self.misses += misses
        _noted.hits += hits
        _noted.misses += misses

    def stats(self) -> CacheStats:
        return CacheStats(self.hits, self.misses, self.cache.weight, self.cache.limit)

    def __del__(self) -> None:
        self.cache.forget(self._number)


_shared: tuple[int, ChunkCache] | None = None


def _shared_cache() -> ChunkCache:
    """The cache of this process: after a fork, a new one, as the lock of the old one may be held."""
    global _shared
    if _shared is None or _shared[0] != os.getpid():
        _shared = os.getpid(), ChunkCache(DEFAULT_LIMIT)
    return _shared[1]
