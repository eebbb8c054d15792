"""Objects that several processes share: their arrays are copied into shared memory once, and mapped by the others."""

from __future__ import annotations

import math
import mmap
import pickle
import threading
from typing import Any

import numpy as np

from ...errors import SharedMemoryError
from .pickling import ATOMS, dumps
from .shared_memory import Memory, Segment, address, after, equal, laid_out, write_all

__all__ = ["Constant", "constant", "forget"]


class Constant:
    """An object that the workers of a pool share: its arrays are in memory once, and each worker maps them read-only.

    If the object has an attribute ``writes_privately`` that is true, each worker may write to its arrays: the pages
    that it writes to are copied, and nobody else sees it.

    Pickled, it is a reference of some hundred bytes, which becomes the object where it is loaded.
    """

    serials = iter(range(1 << 62))
    seconds = math.inf  # that it took, as the function of a task, the last time

    def __init__(self, obj: Any) -> None:
        self.serial = next(self.serials)
        self.private = bool(getattr(obj, "writes_privately", False))
        outer, _referred.constants = getattr(_referred, "constants", None), []
        try:
            header, buffers = dumps(obj)
            self._within = _referred.constants  # other constants that are part of the object, and must not go before it
        finally:
            _referred.constants = outer
        parts = [memoryview(header), *buffers]
        spans = self.spans = laid_out(parts)
        # what cannot change is held, so that nothing else can come to be where it is
        self._fixed = [part if _is_of_bytes(part) else None for part in parts]
        spans_of = memoryview(pickle.dumps(spans))  # there may be thousands: they travel with the data
        self.end = after(spans)
        self.segment = Segment(self.end + spans_of.nbytes, reserve=False)
        try:
            for (offset, _), part in zip([*spans, (self.end, 0)], [*parts, spans_of], strict=True):
                write_all(self.segment.fd, part, offset)
        except OSError as error:
            self.segment.close()
            raise SharedMemoryError(f"{self.segment.size} bytes of shared memory cannot be had: {error}") from error
        self.reference = pickle.dumps(self, 5)
        self._memory: Memory | None = None

    def holds(self, obj: Any) -> bool:
        """Whether `obj` still is, byte for byte, what was copied.

        All of its memory is compared, at some gigabytes a second; but not that of arrays over `bytes`, which cannot
        change. An array that is only marked as not writeable can: through an earlier view, or when the mark is undone.
        """
        header, buffers = dumps(obj)
        parts = [memoryview(header), *buffers]
        if [part.nbytes for part in parts] != [n for _, n in self.spans] or self.segment.fd < 0:
            return False
        if self._memory is None:
            self._memory = self.segment.map()
        memory = memoryview(self._memory).cast("B")
        return all(
            (fixed is not None and _is_of_bytes(part) and address(fixed) == address(part))
            or equal(memory[offset : offset + n], part)
            for part, fixed, (offset, n) in zip(parts, self._fixed, self.spans, strict=True)
        )

    @property
    def nbytes(self) -> int:
        """The shared memory that it takes."""
        return self.segment.size

    def __reduce__(self) -> tuple[Any, ...]:
        within = getattr(_referred, "constants", None)
        if within is not None:
            within.append(self)
        return constant, (self.serial, self.segment.path, self.segment.size, self.end, self.private)

    def close(self) -> None:
        """Free the memory, once no worker maps it."""
        self._memory = None
        self.segment.close()


ATOMS.add(Constant)  # ordinary pickling makes a reference of it


def _is_of_bytes(part: memoryview) -> bool:
    """Whether this is the memory of an array over `bytes`, which nobody writes to."""
    owner: Any = part.obj
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return isinstance(owner, bytes) and isinstance(part.obj, np.ndarray)


_referred = threading.local()  # the constants that were met while another one was made
_constants: dict[int, Any] = {}


def constant(serial: int, path: str, size: int, end: int, private: bool = False) -> Any:
    """In a worker: the object of a `Constant`, mapped when it is first asked for."""
    if serial not in _constants:
        with open(path, "rb") as file:
            access = mmap.ACCESS_COPY if private else mmap.ACCESS_READ
            memory = memoryview(mmap.mmap(file.fileno(), size, access=access))
        header, *buffers = (memory[offset : offset + n] for offset, n in pickle.loads(memory[end:]))
        _constants[serial] = pickle.loads(header, buffers=buffers)
    return _constants[serial]


def forget(serial: int) -> None:
    """In a worker: let go of a constant that is not used any more."""
    _constants.pop(serial, None)
