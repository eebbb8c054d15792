"""The shared memory of a worker's results, from inside."""

from __future__ import annotations

import errno
import os
import resource

import numpy as np
import pytest

from batchup.engine import arena
from batchup.engine.process.slots import WINDOW, Slots
from batchup.errors import SharedMemoryError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")


def test_what_cannot_be_packed_is_still_there(monkeypatch):
    """A result that somebody holds on to, with no memory for a copy of it: its bytes can go another way."""

    def none(*args):
        raise OSError(errno.ENOMEM, "no more of it")

    slots = Slots()
    slot = slots.take(1 << 16)
    with slot.arena:
        held = arena.empty(8000)
    held[:] = np.arange(8000)
    buffers = [memoryview(held).cast("B")]
    for name in ("posix_fallocate", "ftruncate"):
        monkeypatch.setattr(os, name, none, raising=False)
    with pytest.raises(SharedMemoryError):
        slots.pack(slot, buffers)

    assert [held.tobytes()] == [bytes(buffer) for buffer in buffers]


def test_most_descriptors_are_left_to_the_data(monkeypatch):
    """A worker whose slots nobody has mapped yet makes no more of them when they have taken a quarter."""
    monkeypatch.setattr(resource, "getrlimit", lambda what: (16, 16))
    slots = Slots()
    for _ in range(4):
        slots.lend(slots.take(1 << 16))

    with pytest.raises(SharedMemoryError, match="too many descriptors"):
        slots.take(1 << 16)
    slots.mapped([1])
    slots.take(1 << 16)


def test_the_slot_used_last_is_used_next():
    """Of those of the right size: its memory is in the cache. One that is too small is not."""
    slots = Slots()
    one, two, small = slots.take(1 << 16), slots.take(1 << 16), slots.take(1 << 12)
    for slot in (two, one, small):
        slots.give(slot)

    assert [one, two] == [slots.take(1 << 16), slots.take(1 << 16)]


def test_a_slot_with_an_array_that_somebody_keeps_is_not_used_again():
    """Until that is gone."""
    slots = Slots()
    slot = slots.take(1 << 16)
    with slot.arena:
        kept = arena.empty(8000)
    slots.give(slot)
    other = slots.take(1 << 16)
    assert other is not slot
    del kept

    assert slots.take(1 << 16) is slot


def test_a_result_that_lies_in_its_slot_is_not_copied():
    """Where it is alone; what the function keeps of it makes a copy in another slot."""
    slots = Slots()
    for keep in (False, True):
        slot = slots.take(1 << 16)
        with slot.arena:
            array = arena.empty(8000)
        array[:] = 3
        buffers = [memoryview(array).cast("B")]
        kept = array if keep else None
        del array
        packed, ranges = slots.pack(slot, buffers)

        assert ([], [(0, 64_000)], not keep) == (buffers, ranges, packed is slot)
        assert (packed.arena.bytes[:64_000].view(float) == 3).all()
        slots.lend(packed)
        del kept


def test_slots_that_are_idle_for_a_while_are_closed():
    """As many as were free all the time, after a window of results; the parent is told their numbers."""
    slots = Slots()
    taken = [slots.take(1 << 16) for _ in range(3)]
    for slot in taken:
        slots.give(slot)
    closed = []
    for _ in range(3 * WINDOW):
        slot = slots.take(1 << 16)
        slots.give(slot)
        closed += slots.closed_slots()

    assert 2 == len(closed)
    assert slot.number not in closed
