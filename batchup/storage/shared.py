"""Decompressed chunks that all workers of a pool share, so that each chunk is decompressed by one of them."""

from __future__ import annotations

import contextlib
import math
import os
import stat
import threading
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..engine.checks import Indices
from ..engine.process.shared_memory import Segment, writable_memory, write_all
from .cache import CacheStats, ChunkCache, Form, Load, Rows, Share

try:
    import fcntl
except ImportError:  # not on Windows, where each worker has chunks of its own
    fcntl = None  # type: ignore[assignment]

__all__ = ["Ring", "RingReference", "RingShare", "SharedRing", "opened_ring", "ring_of"]

BUCKETS, WAYS = 2048, 8  # of the table that says where chunks are
TOKEN = 2  # numbers at the beginning, which identify the memory
HEAD = TOKEN  # the position of a number: how many bytes were ever put in
TABLE = 8  # where the table begins, in numbers of 8 bytes
DATA = 8 * (TABLE + 2 * BUCKETS * WAYS)  # where chunks begin, in bytes
ALIGNED = 64
TAG = ALIGNED  # bytes before each chunk, for its key
MIXING = np.uint64(0x9E3779B97F4A7C15)
BEYOND = 1 << 50  # beyond the end of the file: from here on, bytes are locked but never written
CLAIMS = 1 << 20
MOST_KNOWN = 1 << 16  # the maximum number of chunks whose places a worker remembers


class RingReference(NamedTuple):
    """What a worker needs to know to open a ring."""

    path: str
    size: int
    token: tuple[int, int]


class Ring:
    """Memory for chunks: new ones overwrite the oldest. It belongs to the process that sends the arrays.

    Parameters
    ----------
    limit : int
        The number of bytes for chunks.
    """

    def __init__(self, limit: int) -> None:
        self.limit = (limit + limit // 16 + 4096) // ALIGNED * ALIGNED  # chunks take a little more than their bytes
        self.maker = os.getpid()
        self._segment = Segment(DATA + self.limit, reserve=False)
        token = np.frombuffer(os.urandom(16), np.int64)
        write_all(self._segment.fd, memoryview(token.tobytes()), 0)
        # write the whole table, so that it is allocated before workers map it
        write_all(self._segment.fd, memoryview(bytes(DATA - 16)), 16)
        self.reference = RingReference(self._segment.path, self._segment.size, (int(token[0]), int(token[1])))


_default: weakref.ref[Ring] | None = None  # the ring of all arrays without a cache of their own


def ring_of(limit: int | None, default_limit: int) -> Ring:
    """A ring of `limit` bytes; if that is None, the one that all such arrays of this process share."""
    global _default
    if limit is not None:
        return Ring(limit)
    ring = _default() if _default is not None else None
    if ring is None or ring.maker != os.getpid():
        ring = Ring(default_limit)
        _default = weakref.ref(ring)
    return ring


class SharedRing:
    """The memory of a `Ring` in a worker.

    Readers take no lock. They copy first, and then check whether the chunk was overwritten meanwhile. Writers lock the
    file; the system releases the locks of a worker that dies.

    Parameters
    ----------
    reference : RingReference

    Raises
    ------
    OSError
        If the memory cannot be opened, for example on another host, or as another user.
    """

    def __init__(self, reference: RingReference) -> None:
        there = os.stat(reference.path)
        if not stat.S_ISREG(there.st_mode) or there.st_size != reference.size:
            raise FileNotFoundError(reference.path)
        self.fd = os.open(reference.path, os.O_RDWR | os.O_CLOEXEC)
        self._memory = writable_memory(self.fd, reference.size)
        numbers = np.frombuffer(self._memory, np.int64, DATA // 8)
        if (numbers[0], numbers[1]) != reference.token:
            raise FileNotFoundError(reference.path)
        self._head = numbers[HEAD : HEAD + 1]
        self._table = numbers[TABLE:].reshape(BUCKETS, WAYS, 2)  # each a key, and the place of the chunk
        self.limit = reference.size - DATA
        self._lock = threading.Lock()
        self._items: dict[int, npt.NDArray[Any]] = {}  # the memory as items of so many bytes

    def find(self, keys: list[int]) -> list[int]:
        """The places of these chunks, counted in bytes ever put in; -1 for chunks that are not there."""
        wanted = np.array(keys, np.int64)
        rows = self._table[_bucket(wanted)]
        match = rows[:, :, 0] == wanted[:, None]
        places = rows[np.arange(len(keys)), match.argmax(1), 1]
        places[~match.any(1)] = -1
        return [
            place if place >= 0 and self.holds(place) and self._tag(place) == key else -1
            for key, place in zip(keys, places.tolist(), strict=True)
        ]

    def holds(self, place: int) -> bool:
        """Whether the data at a place was not overwritten yet. If so, what was copied from there before is right."""
        with self._lock:  # twice, as a memory fence: the copy has to be complete before the head is read
            pass
        with self._lock:
            return self._head.item(0) - place <= self.limit

    def at(self, place: int, n: int) -> npt.NDArray[np.uint8]:
        """The bytes of a chunk."""
        return np.frombuffer(self._memory, np.uint8, n, self.begin(place))

    def begin(self, place: int) -> int:
        """Where the bytes of the chunk at a place begin in the memory."""
        return place % self.limit + DATA + TAG

    def rows(self, places: Indices, row_bytes: int) -> npt.NDArray[Any]:
        """The bytes of rows, each from its place in the memory."""
        if row_bytes not in self._items:
            # one item at each byte; items overlap
            n = len(self._memory) - row_bytes + 1
            self._items[row_bytes] = np.ndarray((n,), f"V{row_bytes}", self._memory, 0, (1,))
        found: npt.NDArray[Any] = self._items[row_bytes][places]
        return found

    def put(self, key: int, chunk: npt.NDArray[Any]) -> None:
        """Put a chunk in, if there is memory for it."""
        size = TAG + -(-chunk.nbytes // ALIGNED) * ALIGNED
        if size > self.limit or not chunk.nbytes:
            return
        data = np.ascontiguousarray(chunk).reshape(-1).view(np.uint8).data
        with self._alone():  # until all is written, or a slow writer would overwrite newer chunks
            place = self._reserved(size)
            begin = DATA + place % self.limit
            try:  # not through the map, where a lack of memory would kill the process
                write_all(self.fd, memoryview(np.int64(key).tobytes()), begin)
                write_all(self.fd, data, begin + TAG)
            except OSError:
                return
            ways = self._table[_bucket(np.array([key], np.int64))[0]]
            same = np.flatnonzero(ways[:, 0] == key)
            way = ways[same[0] if len(same) else ways[:, 1].argmin()]
            way[0] = -1
            way[1] = place
            way[0] = key

    def _reserved(self, size: int) -> int:
        """Reserve contiguous bytes, and return their place. What is there counts as overwritten from now on."""
        place = self._head.item(0)
        left = self.limit - place % self.limit
        place += left if left < size else 0
        self._head[0] = place + size
        return place

    def _tag(self, place: int) -> int:
        return int(np.frombuffer(self._memory, np.int64, 1, DATA + place % self.limit)[0])

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep out all other threads and processes."""
        with self._lock:
            fcntl.flock(self.fd, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self.fd, fcntl.LOCK_UN)

    def claim(self, key: int, wait: bool) -> bool:
        """Claim a chunk, so that only this process makes it. If another one has, wait for it, or return False.

        Claims only save work: without them, two processes might make the same chunk.
        """
        try:
            fcntl.lockf(self.fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, BEYOND + _claim(key))
        except OSError:
            return False
        return True

    def release(self, key: int) -> None:
        fcntl.lockf(self.fd, fcntl.LOCK_UN, 1, BEYOND + _claim(key))

    @property
    def first(self) -> int:
        """The oldest place that is not overwritten yet. Chunks from there on are valid."""
        return max(self._head.item(0) - self.limit, 0)

    @property
    def used(self) -> int:
        """The number of bytes in use."""
        return min(self._head.item(0), self.limit)

    def __del__(self) -> None:
        if getattr(self, "fd", -1) >= 0:
            os.close(self.fd)


def _claim(key: int) -> int:
    return (key + (key >> 32) * 7919) % CLAIMS


def _bucket(keys: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    return (keys.view(np.uint64) * MIXING >> np.uint64(64 - (BUCKETS - 1).bit_length())).astype(np.intp)


_open: weakref.WeakValueDictionary[RingReference, SharedRing] = weakref.WeakValueDictionary()


def opened_ring(reference: RingReference) -> SharedRing | None:
    """The ring, opened in this process; None if it cannot be opened."""
    ring = _open.get(reference)
    if ring is None:
        try:
            ring = _open[reference] = SharedRing(reference)
        except OSError:
            return None
    return ring


class RingShare(Share):
    """One array's chunks in a ring, as a worker sees them.

    Parameters
    ----------
    ring : SharedRing
    serial : int
        The number of the array in the process that sent it; at least 1.
    """

    def __init__(self, ring: SharedRing, serial: int) -> None:
        super().__init__(ChunkCache(0))
        self.ring = ring
        self._serial = serial
        self._places: dict[int, int] = {}  # where chunks were last seen, by number

    @property
    def limit(self) -> int:
        return self.ring.limit

    def rows(self, wanted: Rows) -> Any:
        known, first = self._places, self.ring.first
        places = [known.get(number, -1) for number in wanted.chunks]
        if not wanted.row_bytes or min(places, default=-1) < first:
            return None
        found = self.ring.rows(wanted.places([self.ring.begin(place) for place in places]), wanted.row_bytes)
        if not self.ring.holds(min(places)):
            return None
        self.note(hits=len(places))
        return found

    def each(self, numbers: list[int], load: Load, form: Form) -> Iterator[tuple[int, Any]]:
        """As `Share.each`. Chunks that other workers are making come last. A chunk that was overwritten while it was
        used comes again."""
        found = self._found(numbers)
        self.note(hits=len(found))
        for number, place in found.items():
            yield number, self._block(number, place, form)
        if found and not self.ring.holds(min(found.values())):
            yield from ((number, load(number)) for number, place in found.items() if not self.ring.holds(place))
        rest = [number for number in numbers if number not in found]
        for wait in (False, True):
            trying, rest = rest, []
            for number in trying:
                if self.ring.claim(self._key(number), wait) or wait:
                    try:
                        block = self._made(number, load, form)
                    finally:
                        self.ring.release(self._key(number))
                    yield number, block
                else:
                    rest.append(number)

    def _made(self, number: int, load: Load, form: Form) -> Any:
        """A chunk, made here, or a copy if another worker has just made it."""
        place = self._found([number]).get(number)
        if place is not None:
            block = self._block(number, place, form).copy()
            if self.ring.holds(place):
                self.note(hits=1)
                return block
        self.note(misses=1)
        block = load(number)
        if (block.shape, block.dtype) == form(number):
            self.ring.put(self._key(number), block)
        return block

    def _found(self, numbers: list[int]) -> dict[int, int]:
        """The places of those chunks that are in the ring."""
        known, first = self._places, self.ring.first
        unknown = [number for number in numbers if known.get(number, -1) < first]
        if unknown:
            if len(known) > MOST_KNOWN:
                known.clear()
            found = self.ring.find([self._key(number) for number in unknown])
            known.update({number: place for number, place in zip(unknown, found, strict=True) if place >= 0})
        return {number: known[number] for number in numbers if known.get(number, -1) >= first}

    def _block(self, number: int, place: int, form: Form) -> npt.NDArray[Any]:
        shape, dtype = form(number)
        return self.ring.at(place, math.prod(shape) * dtype.itemsize).view(dtype).reshape(shape)

    def _key(self, number: int) -> int:
        return self._serial << 32 | number

    def stats(self) -> CacheStats:
        return CacheStats(self.hits, self.misses, self.ring.used, self.ring.limit)
