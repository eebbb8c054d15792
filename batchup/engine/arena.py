"""Memory for new batches: in a worker process, arrays are made directly in the memory in which they are sent."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

__all__ = ["ALIGNMENT", "Arena", "empty", "in_worker"]

ALIGNMENT = 64  # bytes; what JAX and vector instructions like

current: Arena | None = None


def empty(shape: SupportsIndex | Sequence[SupportsIndex], dtype: npt.DTypeLike = float) -> npt.NDArray[Any]:
    """A new array for a batch, with arbitrary values, as `numpy.empty`.

    In a worker process, the array is in the shared memory in which the batch is sent. If your function fills it, as
    with ``numpy.stack(images, out=…)``, this saves a copy.

    Parameters
    ----------
    shape : int or tuple of int
    dtype : data type, default float64

    Returns
    -------
    ndarray
        Aligned to 64 bytes if it is in shared memory.

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


def placed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array itself; in a worker process, a copy in the memory in which the batch is sent."""
    if not in_worker():
        return array
    out = empty(array.shape, array.dtype)
    out[...] = array
    return out


def in_worker() -> bool:
    """Whether `empty` makes arrays in shared memory now."""
    return current is not None


class Arena:
    """A piece of memory in which arrays are made, one after the other, while a ``with`` lasts.

    Parameters
    ----------
    memory : writable buffer

    Attributes
    ----------
    bytes : ndarray of uint8
        The memory, to copy to and from.
    used : int
        How many bytes of it are taken.
    asked : int
        How many bytes were requested, including those that did not fit.
    """

    def __init__(self, memory: Any) -> None:
        self._memory = memory
        self.bytes = np.frombuffer(memory, np.uint8)
        self.size = len(self.bytes)
        self.used = 0
        self.asked = 0
        self.thread = threading.get_ident()
        self._start = _address(self.bytes)
        self._base: npt.NDArray[Any] | None = None  # what all arrays are views of; they keep it alive
        self._made: dict[int, tuple[npt.NDArray[Any], int]] = {}

    def empty(self, shape: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any] | None:
        """An array, or None if it does not fit, or would hold Python objects."""
        if dtype.hasobject:
            return None
        shape = tuple(shape) if np.ndim(shape) else (shape,)
        begin = self.allocate(math.prod(shape) * dtype.itemsize)
        if begin is None:
            return None
        if self._base is None:
            self._base = np.frombuffer(self._memory, np.uint8)
        array: npt.NDArray[Any] = np.ndarray(shape, dtype, buffer=self._base, offset=begin)
        self._made[id(array)] = array, begin
        return array

    def allocate(self, size: int) -> int | None:
        """The offset of `size` more bytes, or None if they do not fit."""
        self.asked += -(-size // ALIGNMENT) * ALIGNMENT
        begin = -(-self.used // ALIGNMENT) * ALIGNMENT
        if size <= 0 or begin + size > self.size:
            return None
        self.used = begin + size
        return begin

    def offset(self, buffer: memoryview) -> int | None:
        """The offset of the buffer in the arena, or None if it is elsewhere."""
        if id(buffer.obj) in self._made:
            return self._made[id(buffer.obj)][1]
        begin = _address(np.frombuffer(buffer, np.uint8)) - self._start if buffer.nbytes else -1
        return begin if 0 <= begin < self.size else None

    def gather(self, buffers: list[memoryview]) -> list[tuple[int, int]] | None:
        """The offsets and sizes of the buffers in the arena; those that were elsewhere are copied. None if they do not
        fit."""
        offsets = [self.offset(buffer) for buffer in buffers]
        self.forget()
        if not any(offset is not None for offset in offsets) and not self.has_views():
            self.used = 0  # what was made here is gone
        ranges = []
        for offset, buffer in zip(offsets, buffers, strict=True):
            if offset is None and buffer.nbytes:
                offset = self.allocate(buffer.nbytes)
                if offset is None:
                    return None
                self.bytes[offset : offset + buffer.nbytes] = np.frombuffer(buffer, np.uint8)
            ranges.append((offset or 0, buffer.nbytes))
        return ranges

    def forget(self) -> None:
        """Drop the arena's own references to the arrays that were made in it."""
        self._made.clear()

    def has_views(self) -> bool:
        """Whether somebody else holds an array that was made in the arena. Call `forget` before.

        The arena drops its reference to what all arrays are views of, and looks whether it is still there. That does
        not depend on the numbers that `sys.getrefcount` returns, which differ between versions of Python. Where an
        interpreter frees objects later, the answer errs towards True, and the memory is not used again until then.
        """
        if self._base is None:
            return False
        base = weakref.ref(self._base)
        self._base = None
        self._base = base()
        return self._base is not None

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
