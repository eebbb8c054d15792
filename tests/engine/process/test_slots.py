"""The shared memory of a worker's results, from inside."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from batchup.engine import arena
from batchup.errors import SharedMemoryError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")


def test_what_cannot_be_packed_is_still_there(monkeypatch):
    """A result that somebody holds on to, with no memory for a copy of it: its bytes can go another way."""

    def none(*args):
        raise OSError(errno.ENOMEM, "no more of it")

    from batchup.engine.process.slots import Slots

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
    import resource

    from batchup.engine.process.slots import Slots

    monkeypatch.setattr(resource, "getrlimit", lambda what: (16, 16))
    slots = Slots()
    for _ in range(4):
        slots.lend(slots.take(1 << 16))

    with pytest.raises(SharedMemoryError, match="too many descriptors"):
        slots.take(1 << 16)
    slots.mapped([1])
    slots.take(1 << 16)


@pytest.mark.parametrize("shape", [6, (2, 3), [2, 3], np.array([2, 3]), np.int64(6), np.array(6), ()])
def test_an_empty_array_has_any_shape_that_numpy_takes(shape):
    """Where it is made in shared memory, too."""
    memory = arena.Arena(bytearray(4096))
    with memory:
        array = arena.empty(shape)

    assert np.empty(shape).shape == array.shape
    assert np.shares_memory(memory.bytes, array)


def test_a_thread_of_a_function_has_memory_of_its_own():
    """Where several ask at once, or after the batch was sent, none is given what another one has."""
    memory = arena.Arena(bytearray(4096))
    with memory, ThreadPoolExecutor(1) as thread:
        array = thread.submit(arena.empty, 6).result()

    assert not np.shares_memory(memory.bytes, array)
