"""Large arguments of tasks, through shared memory that is used again when their task is done.

A pipe takes an argument of some megabytes in many small pieces, with a copy at each end of each. Here it is copied once
into memory that the worker maps, and once from there, so that it is the worker's own.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
from typing import Any

import numpy as np

from ...errors import SharedMemoryError
from . import pickling
from .shared_memory import Segment, Span, laid_out, total_size

__all__ = ["SMALL", "Outbox", "Parcel", "opened"]

SMALL = 1 << 16  # what goes through the pipe, in bytes
Parcel = tuple[int, str, int, bytes, list[Span]]  # number, path and size of the memory, the header, where buffers are


class Outbox:
    """The memory that the parent sends arguments in.

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
        self._free: list[_Box] = []
        self._sent: dict[int, _Box] = {}

    def packed(self, obj: Any) -> Parcel | None:
        """What stands for `obj` in a task; None where it is small, or there is no memory, and it goes as it is.

        Raises
        ------
        DataSourcePicklingError
            If something in it cannot be pickled.
        """
        buffers: list[memoryview] = []
        if pickling.plain(obj):
            header = pickle.dumps(obj, 5, buffer_callback=lambda buffer: buffers.append(buffer.raw()))
        else:
            header, buffers = pickling.dumps(obj)
        if sum(buffer.nbytes for buffer in buffers) < SMALL:
            return None
        spans = laid_out(buffers)
        with contextlib.suppress(SharedMemoryError):
            box = self._box(total_size(spans))
            for (offset, n), buffer in zip(spans, buffers, strict=True):
                box.memory[offset : offset + n] = np.frombuffer(buffer, np.uint8)
            self._sent[box.number] = box
            return box.number, box.segment.path, box.segment.size, header, spans
        return None

    def take_back(self, parcel: Parcel | None) -> None:
        """The task is done, and the memory free."""
        if parcel is not None:
            self._free.append(self._sent.pop(parcel[0]))

    def _box(self, size: int) -> _Box:
        while self._free:
            box = self._free.pop()
            if box.segment.size >= size:
                return box  # and a smaller one is let go
        return _Box(size)


class _Box:
    numbers = itertools.count()  # of all boxes: a path may come to be that of another one

    def __init__(self, size: int) -> None:
        self.number = next(self.numbers)
        self.segment = Segment(size)
        self.memory = np.frombuffer(self.segment.map(), np.uint8)


_mapped: dict[str, tuple[int, Any]] = {}  # in a worker, by path: the number of what was there, and its memory


def opened(parcel: Parcel) -> Any:
    """In a worker: what was packed, in memory of its own."""
    number, path, size, header, spans = parcel
    known = _mapped.get(path)
    if known is None or known[0] != number:
        known = _mapped[path] = number, np.frombuffer(Segment.mapped(path, size), np.uint8)
    return pickle.loads(header, buffers=[known[1][offset : offset + n].copy() for offset, n in spans])
