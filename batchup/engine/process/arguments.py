"""Large arguments of tasks: sent through shared memory, which is reused when the task is done.

A pipe takes an argument of some megabytes in many small pieces, each of which is copied at both ends. Here it is copied
once to memory that the worker maps, and once from there, so that the worker may write to it and keep it.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
from typing import Any, TypeAlias

import numpy as np

from ...errors import SharedMemoryError
from . import pickling
from .platforms import is_portable
from .shared_memory import ByteRange, Segment, laid_out, total_size

__all__ = ["SMALL", "Outbox", "Parcel", "opened"]

SMALL = 1 << 16  # arguments of fewer bytes go through the pipe

# The number, path and size of the memory, the header, and where the buffers are.
Parcel: TypeAlias = tuple[int, str, int, bytes, list[ByteRange]]


class Outbox:
    """The shared memory in which the parent sends arguments.

    Examples
    --------
    >>> outbox = Outbox()
    >>> parcel = outbox.packed(np.arange(100_000))
    >>> opened(parcel).sum()
    np.int64(4999950000)
    >>> outbox.take_back(parcel)
    >>> outbox.packed("small") is None
    True
    """

    def __init__(self) -> None:
        self._is_portable = is_portable()
        self._free: list[_Box] = []
        self._sent: dict[int, _Box] = {}

    def packed(self, obj: Any) -> Parcel | None:
        """A parcel to send in place of `obj`; None if `obj` should be sent itself: it is small, or there is no shared
        memory, or too little.

        Raises
        ------
        DataSourcePicklingError
            If something in it cannot be pickled.
        """
        if self._is_portable:
            return None
        buffers: list[memoryview] = []
        if pickling.is_plain(obj):
            header = pickle.dumps(obj, 5, buffer_callback=lambda buffer: buffers.append(buffer.raw()))
        else:
            header, buffers = pickling.dumps(obj)
        if sum(buffer.nbytes for buffer in buffers) < SMALL:
            return None
        ranges = laid_out(buffers)
        with contextlib.suppress(SharedMemoryError):
            box = self._box(total_size(ranges))
            for (offset, n), buffer in zip(ranges, buffers, strict=True):
                box.memory[offset : offset + n] = np.frombuffer(buffer, np.uint8)
            self._sent[box.number] = box
            return box.number, box.segment.path, box.segment.size, header, ranges
        return None

    def take_back(self, parcel: Parcel | None) -> None:
        """The task is done: the memory can be reused."""
        if parcel is not None:
            self._free.append(self._sent.pop(parcel[0]))

    def _box(self, size: int) -> _Box:
        while self._free:
            box = self._free.pop()
            if box.segment.size >= size:
                return box  # smaller ones are freed
        return _Box(size)


class _Box:
    numbers = itertools.count()  # unique, as paths are not: that of a closed one may be used again

    def __init__(self, size: int) -> None:
        self.number = next(self.numbers)
        self.segment = Segment(size)
        self.memory = np.frombuffer(self.segment.map(), np.uint8)


_mapped: dict[str, tuple[int, Any]] = {}  # in a worker, by path: the number and memory of the box


def opened(parcel: Parcel) -> Any:
    """In a worker: the object that was packed, in memory of its own."""
    number, path, size, header, ranges = parcel
    known = _mapped.get(path)
    if known is None or known[0] != number:
        known = _mapped[path] = number, np.frombuffer(Segment.mapped(path, size), np.uint8)
    return pickle.loads(header, buffers=[known[1][offset : offset + n].copy() for offset, n in ranges])
