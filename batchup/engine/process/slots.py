"""Slots: pieces of shared memory for the results of a worker. The worker makes them, and reuses them."""

from __future__ import annotations

import math
import mmap

import numpy as np

from ...errors import SharedMemoryError
from ..arena import Arena
from .protocol import SlotReference
from .shared_memory import ByteRange, Segment, laid_out, total_size

try:
    import resource
except ImportError:  # not on Windows, where there are no slots
    resource = None  # type: ignore[assignment]

__all__ = ["SHELVED", "Slot", "Slots"]

WINDOW = 64  # results; slots that were not needed for so many are closed
SHELVED = 1 << 16  # results of up to so many bytes lie several to a slot, on the shelf
SHELF = 1 << 18  # the size of that slot


class Slot:
    """One piece of shared memory, and the arena in it."""

    def __init__(self, number: int, size: int) -> None:
        self.number = number
        self.segment = Segment(-(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
        try:
            memory = self.segment.map()
        except SharedMemoryError:
            self.segment.close()
            raise
        self.arena = Arena(memory)
        self.memory = memoryview(memory).cast("B")
        self.size = self.segment.size


class Slots:
    """The slots of one worker: free ones, and those that the parent uses."""

    def __init__(self) -> None:
        self._free: list[Slot] = []
        self._lent: dict[int, Slot] = {}
        self._closed: list[int] = []  # numbers of slots that were closed, and the parent does not know it yet
        self._made = 0  # how many slots, which is also the number of the last one
        self._unmapped = 0  # how many slots have a descriptor, as the parent has not mapped them yet
        self._most_unmapped = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4
        self._results = 0  # how many there were
        self._idle = 0  # the minimum number of free slots in the current window of results
        self._shelf: Slot | None = None  # where small results are put, one after the other
        self._shelf_used = 0  # bytes of it

    def take(self, size: int, most: float = math.inf) -> Slot:
        """A free slot of `size` to `most` bytes. The caller owns it until it calls `give` or `lend`.

        Raises
        ------
        SharedMemoryError
            If there is none, and none can be made.
        """
        slot = self._fitting(size, most) or self._another(size)
        self._idle = min(self._idle, len(self._free))
        return slot

    def _fitting(self, size: int, most: float) -> Slot | None:
        fitting = [slot for slot in self._free if size <= slot.size <= most and not slot.arena.has_views()]
        if not fitting:
            return None
        slot = min(reversed(fitting), key=_size)  # of those of one size the one used last: it is in the cache
        self._free.remove(slot)
        return slot

    def _another(self, size: int) -> Slot:
        if self._unmapped >= self._most_unmapped:
            raise SharedMemoryError("too many descriptors are open of slots that the parent has not mapped yet")
        small = [slot for slot in self._free if slot.size < size]
        if small:
            self._close(min(small, key=_size))
        slot = Slot(self._made + 1, size)
        self._made += 1
        self._unmapped += 1
        return slot

    def give(self, slot: Slot) -> None:
        """Give back a slot that was not needed."""
        slot.arena.forget()
        self._free.append(slot)

    def lend(self, slot: Slot) -> SlotReference:
        """Hand the slot to the parent."""
        self._lent[slot.number] = slot
        return slot.number, slot.segment.path, slot.size

    def take_back(self, numbers: list[int]) -> None:
        """The parent does not use these slots any more, or could not map them."""
        for number in numbers:
            slot = self._lent.pop(number)
            if slot is self._shelf:
                self._shelf = None
            self._free.append(slot)

    def mapped(self, numbers: list[int]) -> None:
        """The parent has mapped these slots: their descriptors are not needed any more."""
        for number in numbers:
            self._lent[number].segment.close()
            self._unmapped -= 1

    def pack(self, slot: Slot | None, buffers: list[memoryview]) -> tuple[Slot, list[ByteRange]]:
        """A slot with all buffers in it, and their ranges. If all fit, buffers that are in `slot` are not copied.

        If an array in `slot` is still referenced in this process, another slot is used, since the parent may write to
        it. `buffers` is emptied.

        Raises
        ------
        SharedMemoryError
            If another slot is needed and cannot be made. Then `buffers` still holds the same bytes.
        """
        if slot is not None:
            ranges = slot.arena.gather(buffers)
            if ranges is not None:
                buffers.clear()
                if not slot.arena.has_views():
                    return slot, ranges
                memory = slot.arena.bytes.data
                buffers += [memory[offset : offset + n] for offset, n in ranges]
        ranges = laid_out(buffers)
        other = self.take(total_size(ranges))
        for (offset, n), buffer in zip(ranges, buffers, strict=True):
            if n:
                other.arena.bytes[offset : offset + n] = np.frombuffer(buffer, np.uint8)
        buffers.clear()
        if slot is not None:
            self.give(slot)
        return other, ranges

    def shelve(self, buffers: list[memoryview]) -> tuple[list[ByteRange], SlotReference | None]:
        """Put a small result after the others in one slot. Returns its place, and the reference of a new slot.

        Raises
        ------
        SharedMemoryError
            If another slot is needed and cannot be made.
        """
        ranges, lent = laid_out(buffers, self._shelf_used), None
        if self._shelf is None or total_size(ranges) > SHELF:
            self._shelf = None
            self._shelf = self.take(SHELF, 4 * SHELF)
            ranges, lent = laid_out(buffers), self.lend(self._shelf)
        memory = self._shelf.memory
        for (offset, n), buffer in zip(ranges, buffers, strict=True):
            memory[offset : offset + n] = buffer
        self._shelf_used = total_size(ranges)
        return ranges, lent

    def closed_slots(self) -> list[int]:
        """Close the slots that are not needed, and return their numbers. Call it after each result."""
        self._results += 1
        if self._results % WINDOW == 0:
            for slot in self._free[: self._idle]:
                self._close(slot)
            self._idle = len(self._free)
        closed = self._closed
        if closed:
            self._closed = []
        return closed

    def _close(self, slot: Slot) -> None:
        self._free.remove(slot)
        if slot.segment.fd >= 0:
            slot.segment.close()
            self._unmapped -= 1
        self._closed.append(slot.number)


def _size(slot: Slot) -> int:
    return slot.size
