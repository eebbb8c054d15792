"""Where new batches are made: in a worker process, straight in the memory that they will be sent in."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

__all__ = ["ALIGNMENT", "Arena", "empty", "in_worker"]

ALIGNMENT = 64  # bytes; what JAX and vector instructions like

current: Arena | None = None


def empty(shape: SupportsIndex | Sequence[SupportsIndex], dtype: npt.DTypeLike = float) -> npt.NDArray[Any]:
    """A new array for a batch, its values not set.

    As `numpy.empty`; but in a worker process the array is in the shared memory that the batch is sent in, so that a
    function of yours that fills it (``numpy.stack(images, out=…)``) saves a copy.

    Parameters
    ----------
    shape : int or tuple of int
    dtype : data type, default float64

    Returns
    -------
    ndarray
        Aligned to 64 bytes where it is in shared memory.

    Examples
    --------
    >>> images = [np.full((2, 2), n) for n in range(3)]
    >>> int(np.stack(images, out=empty((3, 2, 2), int)).sum())
    12
    """
    arena = current
    if arena is not None and arena.thread == threading.get_ident():
        array = arena.empty(shape, np.dtype(dtype))
        if array is not None:
            return array
    return np.empty(shape, dtype)


def in_worker() -> bool:
    """Whether `empty` makes arrays in shared memory just now."""
    return current is not None


class Arena:
    """A piece of memory that arrays are made in, one behind the other, while a ``with`` lasts.

    Parameters
    ----------
    memory : writable buffer
    """

    def __init__(self, memory: Any) -> None:
        self.lease = np.frombuffer(memory, np.uint8)  # all arrays are views of it
        self.size = len(self.lease)
        self.used = 0
        self.asked = 0  # bytes, those included for which there was no room
        self.thread = threading.get_ident()
        self._start = _address(self.lease)
        self._made: dict[int, tuple[npt.NDArray[Any], int]] = {}

    def empty(self, shape: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any] | None:
        """An array, or None if there is no room, or it would hold Python objects."""
        if dtype.hasobject:
            return None
        shape = tuple(shape) if np.ndim(shape) else (shape,)
        begin = self.room(math.prod(shape) * dtype.itemsize)
        if begin is None:
            return None
        array: npt.NDArray[Any] = np.ndarray(shape, dtype, buffer=self.lease, offset=begin)
        self._made[id(array)] = array, begin
        return array

    def room(self, size: int) -> int | None:
        """Where `size` more bytes go, or None if they do not fit."""
        self.asked += -(-size // ALIGNMENT) * ALIGNMENT
        begin = -(-self.used // ALIGNMENT) * ALIGNMENT
        if size <= 0 or begin + size > self.size:
            return None
        self.used = begin + size
        return begin

    def offset(self, buffer: memoryview) -> int | None:
        """Where in the arena the buffer is, or None if it is elsewhere."""
        if id(buffer.obj) in self._made:
            return self._made[id(buffer.obj)][1]
        begin = _address(np.frombuffer(buffer, np.uint8)) - self._start if buffer.nbytes else -1
        return begin if 0 <= begin < self.size else None

    def gather(self, buffers: list[memoryview]) -> list[tuple[int, int]] | None:
        """Where in the arena the buffers are, those that were elsewhere copied to it; None if they do not fit."""
        offsets = [self.offset(buffer) for buffer in buffers]
        self.forget()
        if not any(offset is not None for offset in offsets) and not self.kept:
            self.used = 0  # what was made here is gone
        spans = []
        for offset, buffer in zip(offsets, buffers, strict=True):
            if offset is None and buffer.nbytes:
                offset = self.room(buffer.nbytes)
                if offset is None:
                    return None
                self.lease[offset : offset + buffer.nbytes] = np.frombuffer(buffer, np.uint8)
            spans.append((offset or 0, buffer.nbytes))
        return spans

    def forget(self) -> None:
        """Let go of the arrays that were made here."""
        self._made.clear()

    @property
    def kept(self) -> bool:
        """Whether somebody holds an array of it."""
        return sys.getrefcount(self.lease) > 2

    def __enter__(self) -> Arena:
        global current
        current = self
        self.used = self.asked = 0
        return self

    def __exit__(self, *_: object) -> None:
        global current
        current = None


def _address(array: npt.NDArray[Any]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
