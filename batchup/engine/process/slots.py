"""The shared memory that the results of a worker lie in, in the worker: made when needed, used again when free."""

from __future__ import annotations

import math
import mmap
import resource

import numpy as np

from ...errors import SharedMemoryError
from ..arena import Arena
from .shared_memory import Segment, Span, laid_out, total_size

Lent = tuple[int, str, int]  # number, path and size

__all__ = ["SHELVED", "Slot", "Slots"]

WINDOW = 64  # results, after which memory that was not needed in the meantime is given back
SHELVED = 1 << 16  # results up to here lie several to a slot, in bytes
SHELF = 1 << 18  # the size of such a slot


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
    """The slots of one worker: free ones, and those that the parent has."""

    def __init__(self) -> None:
        self._free: list[Slot] = []
        self._lent: dict[int, Slot] = {}
        self._gone: list[int] = []  # closed, and the parent does not know it yet
        self._made = 0
        self._unmapped = 0  # slots that have a descriptor, as the parent has not mapped them yet
        self._most_unmapped = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4
        self._done = 0  # results
        self._spare = 0  # the fewest that were free, and not needed, since the window began
        self._shelf: Slot | None = None  # that small results are put in, one behind the other
        self._filled = 0  # bytes of it

    def take(self, size: int, most: float = math.inf) -> Slot:
        """A free slot of at least `size` bytes, and `most` at most. It is the caller's until `give` or `lend`.

        Raises
        ------
        SharedMemoryError
            If one must be made, and cannot be.
        """
        slot = self._fitting(size, most) or self._another(size)
        self._spare = min(self._spare, len(self._free))
        return slot

    def _fitting(self, size: int, most: float) -> Slot | None:
        fitting = [slot for slot in self._free if size <= slot.size <= most and not slot.arena.kept]
        if not fitting:
            return None
        slot = min(reversed(fitting), key=_size)  # of those of one size the last that was used: it is in the cache
        self._free.remove(slot)
        return slot

    def _another(self, size: int) -> Slot:
        if self._unmapped >= self._most_unmapped:
            raise SharedMemoryError("too many descriptors are open that the parent has not seen yet")
        small = [slot for slot in self._free if slot.size < size]
        if small:
            self._close(min(small, key=_size))
        slot = Slot(self._made + 1, size)
        self._made += 1
        self._unmapped += 1
        return slot

    def give(self, slot: Slot) -> None:
        """It was not needed after all."""
        slot.arena.forget()
        self._free.append(slot)

    def lend(self, slot: Slot) -> Lent:
        """Have the parent use it: its number, path and size."""
        self._lent[slot.number] = slot
        return slot.number, slot.segment.path, slot.size

    def take_back(self, numbers: list[int]) -> None:
        """The parent does not use these any more, or could not map them."""
        for number in numbers:
            slot = self._lent.pop(number)
            if slot is self._shelf:
                self._shelf = None
            self._free.append(slot)

    def mapped(self, numbers: list[int]) -> None:
        """The parent has mapped these: their descriptors have done their work."""
        for number in numbers:
            self._lent[number].segment.close()
            self._unmapped -= 1

    def pack(self, slot: Slot | None, buffers: list[memoryview]) -> tuple[Slot, list[Span]]:
        """A slot with all buffers in it, and where. Those that are in `slot` already are not copied, if all fit there.

        It is another one too where somebody here holds on to an array in `slot`, which the parent may write to.
        `buffers` is emptied.

        Raises
        ------
        SharedMemoryError
            If another slot is needed and cannot be made; `buffers` holds the same bytes then.
        """
        if slot is not None:
            spans = slot.arena.gather(buffers)
            if spans is not None:
                buffers.clear()
                if not slot.arena.kept:
                    return slot, spans
                memory = slot.arena.lease.data
                buffers += [memory[offset : offset + n] for offset, n in spans]
        spans = laid_out(buffers)
        other = self.take(total_size(spans))
        for (offset, n), buffer in zip(spans, buffers, strict=True):
            if n:
                other.arena.lease[offset : offset + n] = np.frombuffer(buffer, np.uint8)
        buffers.clear()
        if slot is not None:
            self.give(slot)
        return other, spans

    def shelve(self, buffers: list[memoryview]) -> tuple[list[Span], Lent | None]:
        """Put a small result behind the others: where, and what `lend` says of the slot if it is not that of the last.

        Raises
        ------
        SharedMemoryError
            If another slot is needed and cannot be made.
        """
        spans, lent = laid_out(buffers, self._filled), None
        if self._shelf is None or total_size(spans) > SHELF:
            self._shelf = None
            self._shelf = self.take(SHELF, 4 * SHELF)
            spans, lent = laid_out(buffers), self.lend(self._shelf)
        memory = self._shelf.memory
        for (offset, n), buffer in zip(spans, buffers, strict=True):
            memory[offset : offset + n] = buffer
        self._filled = total_size(spans)
        return spans, lent

    def given_back(self) -> list[int]:
        """Called after each result: gives back memory that is not needed; the numbers of slots that are no more."""
        self._done += 1
        if self._done % WINDOW == 0:
            for slot in self._free[: self._spare]:
                self._close(slot)
            self._spare = len(self._free)
        gone = self._gone
        if gone:
            self._gone = []
        return gone

    def _close(self, slot: Slot) -> None:
        self._free.remove(slot)
        if slot.segment.fd >= 0:
            slot.segment.close()
            self._unmapped -= 1
        self._gone.append(slot.number)


def _size(slot: Slot) -> int:
    return slot.size
