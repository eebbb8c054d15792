"""What the array-likes over files have in common: opened on first use, once in each process, and never written to."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..engine.checks import INTEGERS, Indices, index_array, whole
from ..engine.closing import Closing
from ..engine.process import pickling
from ..engine.process.platforms import is_portable
from .cache import DEFAULT_LIMIT, CacheStats, ChunkCache, Share

__all__ = ["RowReader", "Stamp", "StoredArray", "row_indices"]


LOOK = 0.05  # seconds after which the path is looked at again; the file that is open stays as it was meanwhile


class RowReader(Protocol):
    """What reads rows, once a file is open."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...] | None

    def read(self, indices: Indices) -> Any: ...


class Stamp(NamedTuple):
    """What shows that a file has changed: its size in bytes, and the time when it was written."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str) -> Stamp:
        """The stamp of the file at `path`.

        Raises
        ------
        FileNotFoundError
            If there is none.
        """
        there = os.stat(path)
        return cls(there.st_size, there.st_mtime_ns)

    def check(self, path: str) -> None:
        """Raise an error if the file at `path` was changed, replaced or deleted."""
        now = os.stat(path)
        if now.st_mtime_ns != self.mtime_ns or now.st_size != self.size:
            raise OSError(
                f"{path} should stay as it is while it is read, but it has changed since this array was made: it had "
                f"{self.size} bytes and has {now.st_size}, or it was written to; make a new array, and a new loader"
            )


class StoredArray(Closing):
    """An array-like over a file. Abstract: the method `_open` of a subclass says how to read it.

    The file is opened on first use, read-only. Only the path is sent to a worker process, which opens the file again.
    Threads share one open file.

    Parameters
    ----------
    path : str or path-like
        Must exist.
    cache : int, optional
        How many bytes of decompressed chunks to keep. By default all arrays of a process share 64 MB. The worker
        processes of a pool have one cache for all of them.
    """

    _serials = itertools.count(1)

    def __init__(self, path: str | os.PathLike[str], cache: int | None = None) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self.cache = None if cache is None else whole("cache", cache, least=0)
        self._watched = self._stamped()
        self._stamp: Stamp | None = Stamp.of(self._watched)
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._opened: tuple[int, Any] | None = None
        self._look_again = 0.0  # when to check again whether the path leads to another file
        self._ring: Any = None  # the cache of all workers that this array is sent to
        self._serial = next(self._serials)
        self._sent_with: tuple[Any, int] | None = None  # in a worker: where that cache is, and the serial there

    def _stamped(self) -> str:
        """The file whose size and time are checked."""
        return self.path

    def _open(self) -> RowReader:
        raise NotImplementedError("_open should return what reads the rows")

    def _reader(self) -> Any:
        """What reads the rows in this process. Raises an error if the file has changed."""
        opened = self._opened
        if opened is not None and opened[0] != os.getpid():
            opened = None
        if self._stamp is not None:  # for each batch: reading a map of a file that was truncated would kill the process
            fd = None if opened is None else getattr(opened[1], "fd", None)
            if fd is not None and time.monotonic() < self._look_again:
                now = os.fstat(fd)  # takes a third of the time, but does not see another file in its place
            else:
                now = os.stat(self._watched)
                self._look_again = time.monotonic() + LOOK
            if now.st_mtime_ns != self._stamp.mtime_ns or now.st_size != self._stamp.size:
                self._stamp.check(self._watched)
        if opened is None:
            with self._lock:
                opened = self._opened
                if opened is None or opened[0] != os.getpid():
                    opened = self._opened = os.getpid(), self._open()
        return opened[1]

    def _share(self) -> Share:
        if self._sent_with is not None:
            from .shared import RingShare, opened_ring

            ring = opened_ring(self._sent_with[0])
            if ring is not None:
                return RingShare(ring, self._sent_with[1])
        return Share(None if self.cache is None else ChunkCache(self.cache))

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of samples, and the shape of each."""
        return tuple(self._reader().shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The data type of the batches."""
        dtype: np.dtype[Any] = self._reader().dtype
        return dtype

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """The shape of a chunk, which is stored and decompressed as a whole; None if the data is not in chunks."""
        chunks: tuple[int, ...] | None = self._reader().chunks
        return chunks

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        reader = self._reader()
        if type(index) is np.ndarray and index.dtype == np.intp and index.ndim == 1 and index.size:
            unsigned = index.view(np.uintp)  # a negative index becomes a huge one, so that one pass checks both ends
            if unsigned.item(unsigned.argmax()) < reader.shape[0]:
                return reader.read(index)
        if isinstance(index, INTEGERS) and not isinstance(index, bool):
            return reader.read(row_indices([index], reader.shape[0]))[0]
        return reader.read(row_indices(index, reader.shape[0]))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"

    def cache_stats(self) -> CacheStats:
        """How often a chunk was found in the cache of this process, and how often it was read: a `CacheStats`."""
        share: Share | None = getattr(self._reader(), "cache", None)
        return share.stats() if share is not None else CacheStats(0, 0, 0, 0)

    @property
    def whole_chunks(self) -> int:
        """The number of chunks that have to be read as a whole, even for one sample; 0 if samples can be read alone."""
        opened = self._opened
        return getattr(opened[1], "whole_chunks", 0) if opened is not None else 0

    def _ring_for_workers(self) -> Any:
        """The cache of the workers that this array is sent to; None if each has to have its own, or needs none."""
        caches = self.whole_chunks and self.cache != 0 and self._stamp is not None
        if self._ring is None and caches and not self.dtype.hasobject and not is_portable():
            from .shared import ring_of

            with contextlib.suppress(OSError):  # without memory for it, each has its own
                self._ring = ring_of(self.cache, DEFAULT_LIMIT)
        return self._ring

    def close(self) -> None:
        """Close the file in this process. The next read opens it again."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None and hasattr(opened[1], "close") and opened[0] == os.getpid():
            opened[1].close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in OF_THIS_PROCESS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()


PARTS = 4  # serial numbers for each array, for those that it is made of
OF_THIS_PROCESS = ("_lock", "_opened", "_look_again", "_ring", "_serial", "_sent_with")


def _reduced(x: Any) -> Any:
    """How an array is sent to worker processes: with the cache that they share."""
    ring = x._ring_for_workers() if isinstance(x, StoredArray) else None
    return (
        NotImplemented if ring is None else (_arrived, (type(x), x.__getstate__(), ring.reference, PARTS * x._serial))
    )


def _arrived(kind: type[StoredArray], state: dict[str, Any], reference: Any, serial: int) -> StoredArray:
    """In a worker: the array."""
    array = kind.__new__(kind)
    array.__setstate__(state)
    array._sent_with = reference, serial
    return array


pickling.BY_REFERENCE["batchup"] = _reduced


def row_indices(index: Any, length: int) -> Indices:
    """The positions of the samples for `index`: a slice, or integers. Negative integers count from the end.

    >>> row_indices(slice(3, None), 5), row_indices([-1, 0], 5)
    (array([3, 4]), array([4, 0]))
    """
    if isinstance(index, slice):
        return np.arange(*index.indices(length), dtype=np.intp)
    array: npt.NDArray[Any] = np.asarray(index)
    if array.dtype.kind == "i" and array.size and array[array.argmin()] < 0:
        array = np.where(array < 0, array + length, array)
    return index_array("indices", array, below=length)
