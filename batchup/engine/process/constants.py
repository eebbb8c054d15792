"""Objects that all workers share. Their arrays are copied to shared memory once, and mapped by the workers."""

from __future__ import annotations

import contextlib
import math
import pickle
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...errors import SharedMemoryError
from .pickling import ATOMS, dumps, generators_in, is_generator
from .places import is_ours, place_of
from .shared_memory import Memory, Segment, address, aligned_end, equal, private_memory
from .views import ByteArray, laid_out_once

__all__ = ["Constant", "SentMemory", "constant", "constants_met", "forget", "receive"]


class Constant:
    """An object that the workers of a pool share. Its arrays are in memory once, and each worker maps them, as
    read-only arrays (see `private_memory` for writes in C all the same).

    If the object has an attribute ``writes_privately`` that is true, each worker may write to its arrays: it writes to
    copies of its own of the pages.

    Its pickle is a reference of some hundred bytes. Unpickled in a worker, that is the object.

    Parameters
    ----------
    obj : object
    sent : bool, default False
        Whether its memory is sent to each worker, rather than mapped.

    Attributes
    ----------
    parts : list of Constant
        Those that are part of the object.
    """

    serials = iter(range(1 << 62))
    seconds = math.inf  # that the last task took that has it as its function

    def __init__(self, obj: Any, sent: bool = False) -> None:
        self.serial = next(self.serials)
        self.writable = bool(getattr(obj, "writes_privately", False))
        generators: list[Any] = []
        with constants_met() as self.parts:  # they live as long as it does
            header, buffers = dumps(obj, generators)
        parts = [memoryview(header), *buffers]
        ranges, written = laid_out_once(parts)
        self.ranges = ranges
        # what cannot change is held, so that nothing else can be allocated at its address
        self._fixed = [part if _is_of_bytes(part) else None for part in parts]
        ranges_pickled = memoryview(pickle.dumps(ranges))  # there may be thousands, so they are stored with the data
        self.end = aligned_end([max(ranges, key=sum)])
        size = self.end + ranges_pickled.nbytes
        self.segment: Segment | SentMemory = SentMemory(size) if sent else Segment(size, reserve=False)
        try:
            for i in written:
                self.segment.write(parts[i], ranges[i][0])
            self.segment.write(ranges_pickled, self.end)
        except OSError as error:
            self.segment.close()
            raise SharedMemoryError(f"{size} bytes of shared memory cannot be allocated: {error}") from error
        self.reference = pickle.dumps(self, 5)
        if generators:
            _warn_of_generator(obj)
        self._memory: Memory | None = None

    def holds(self, obj: Any) -> bool:
        """Whether `obj` still equals, byte for byte, what was copied.

        All of its memory is compared, at some gigabytes per second, but for arrays over `bytes`, which cannot change.
        An array with ``flags.writeable = False`` can: through an earlier view, or when the flag is set again.
        """
        header, buffers = dumps(obj)
        parts = [memoryview(header), *buffers]
        if [part.nbytes for part in parts] != [n for _, n in self.ranges] or self.segment.is_closed:
            return False
        if self._memory is None:
            self._memory = self.segment.map()
        memory = memoryview(self._memory).cast("B")
        return all(
            (fixed is not None and _is_of_bytes(part) and address(fixed) == address(part))
            or equal(memory[offset : offset + n], part)
            for part, fixed, (offset, n) in zip(parts, self._fixed, self.ranges, strict=True)
        )

    @property
    def sent(self) -> bytearray | None:
        """The memory to send to workers; None if they map it, or it is closed."""
        return self.segment.memory if isinstance(self.segment, SentMemory) else None

    @property
    def nbytes(self) -> int:
        """The size of its shared memory."""
        return self.segment.size

    def __reduce__(self) -> tuple[Any, ...]:
        within = getattr(_pickling, "constants", None)
        if within is not None:
            within.append(self)
        return constant, (self.serial, self.segment.path, self.segment.size, self.end, self.writable)

    def close(self) -> None:
        """Free the memory, once no worker maps it."""
        self._memory = None
        self.segment.close()


class SentMemory:
    """Memory of this process, whose content is sent to workers. It has the methods of a `Segment`."""

    path = ""

    def __init__(self, size: int) -> None:
        self.size = size
        self.memory: bytearray | None = bytearray(size)

    @property
    def is_closed(self) -> bool:
        return self.memory is None

    def write(self, buffer: memoryview, offset: int) -> None:
        """Copy a buffer to `offset`."""
        if self.memory is not None and buffer.nbytes:
            np.frombuffer(self.memory, np.uint8)[offset : offset + buffer.nbytes] = np.frombuffer(buffer, np.uint8)

    def map(self) -> Memory:
        return self.memory

    def close(self) -> None:
        self.memory = None


ATOMS.add(Constant)  # `pickle` pickles it as a reference


_warned: set[str] = set()  # what was said


def _warn_of_generator(obj: Any) -> None:
    place = place_of(obj, lambda part: bool(generators_in(part)))
    if is_ours(place.part) or is_ours(place.parent) and is_generator(place.part):
        return  # one of a sampler, or another one that is used in this process alone
    kind = type(place.part)
    said = (
        f"{place} is a random generator ({kind.__module__.partition('.')[0]}'s {kind.__name__}), and each worker "
        "process has a copy of it, so that its random numbers repeat in each worker; use source.random_map(fn), which "
        "calls fn(*batch, rng) with another generator for each batch"
    )
    if said not in _warned:
        _warned.add(said)
        warnings.warn(said, RuntimeWarning, stacklevel=_frames_of_ours())


def _frames_of_ours() -> int:
    """The `stacklevel` of the code that called batchup."""
    frame, n = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "batchup":
        frame, n = frame.f_back, n + 1
    return n


def _is_of_bytes(part: memoryview) -> bool:
    """Whether this is the memory of an array over `bytes`, which nobody can write to."""
    owner: Any = part.obj
    while isinstance(owner, (np.ndarray, ByteArray)):
        owner = owner.base
    return isinstance(owner, bytes) and isinstance(part.obj, np.ndarray)


_pickling = threading.local()  # of each thread: the constants that it has met while it pickles something


@contextlib.contextmanager
def constants_met() -> Iterator[list[Constant]]:
    """The constants that this thread pickles while a ``with`` lasts."""
    found: list[Constant] = []
    outer = getattr(_pickling, "constants", None)
    _pickling.constants = found
    try:
        yield found
    finally:
        _pickling.constants = outer


_constants: dict[int, Any] = {}  # in a worker, by serial number: the objects
_received: dict[int, bytearray] = {}  # in a worker, by serial number: memory that was sent, before it is unpickled


def constant(serial: int, path: str, size: int, end: int, writable: bool = False) -> Any:
    """In a worker: the object of a `Constant`. It is mapped at the first call, or was sent before."""
    if serial not in _constants:
        memory = _memory(path, size, writable) if path else memoryview(_received[serial])
        memory = memory if writable else memory.toreadonly()
        header, *buffers = (memory[offset : offset + n] for offset, n in pickle.loads(memory[end:]))
        _constants[serial] = pickle.loads(header, buffers=buffers)
        _received.pop(serial, None)
    return _constants[serial]


def _memory(path: str, size: int, writable: bool) -> memoryview:
    with open(path, "rb") as file:
        return private_memory(file.fileno(), size, writable)


def receive(serial: int, memory: bytearray) -> None:
    """In a worker: the memory of a constant has come."""
    _received[serial] = memory


def forget(serial: int) -> None:
    """In a worker: free a constant that is not used any more."""
    _constants.pop(serial, None)
    _received.pop(serial, None)
