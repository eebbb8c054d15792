"""Memory that batches are made in: aligned, given out once, and not used again while somebody has an array in it."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from batchup.engine import arena


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


def made(memory, *shapes):
    """Arrays of these shapes, made in an arena."""
    with memory:
        return [arena.empty(shape, np.uint8) for shape in shapes]


def test_arrays_lie_one_behind_the_other_and_are_aligned():
    """Each at a multiple of 64 bytes from the first one on."""
    memory = arena.Arena(bytearray(4096))
    arrays = made(memory, 10, 100, (2, 3))

    assert [0, 64, 192] == [memory.offset(memoryview(array)) for array in arrays]
    assert [0, 64, 192] == [array.ctypes.data - memory.bytes.ctypes.data for array in arrays]


def test_what_does_not_fit_or_holds_objects_is_an_ordinary_array():
    """It is counted among what was asked for, so that the next arena can be larger."""
    memory = arena.Arena(bytearray(256))
    small, large = made(memory, 100, 1000)
    with memory:
        objects = arena.empty(3, object)

    assert np.shares_memory(memory.bytes, small)
    assert not np.shares_memory(memory.bytes, large)
    assert [None] * 3 == list(objects)
    made(memory, 100, 1000)
    assert 128 + 1024 == memory.asked


def test_without_an_arena_arrays_are_ordinary():
    """As outside of a worker."""
    assert not arena.in_worker()
    with arena.Arena(bytearray(64)):
        assert arena.in_worker()

    assert arena.empty((2, 3)).flags.owndata


HOLDERS = {
    "the array": lambda array: array,
    "a view": lambda array: array[3:],
    "a view of a view": lambda array: array[3:].reshape(-1, 1)[::2],
    "a memoryview": lambda array: memoryview(array)[5:],
    "what numpy makes of that": lambda array: np.frombuffer(memoryview(array), np.uint8),
    "something around it": lambda array: {"x": [array]},
}


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
def test_an_arena_knows_whether_somebody_has_a_view_of_it(holder):
    """However that came about; it can be asked again and again."""
    memory = arena.Arena(bytearray(4096))
    held = holder(made(memory, 100)[0])
    memory.forget()

    assert [True, True] == [memory.has_views(), memory.has_views()]
    del held
    assert [False, False] == [memory.has_views(), memory.has_views()]


def test_an_array_is_copied_to_the_memory_of_the_worker():
    """Outside of a worker it stays as it is."""
    array = np.arange(3)
    assert arena.placed(array) is array
    with arena.Arena(bytearray(1000)) as made:
        placed = arena.placed(array)
        assert made.offset(memoryview(placed)) == 0

    assert [0, 1, 2] == placed.tolist()


def test_views_of_before_count():
    """Those of an earlier ``with``, also when new arrays were made since."""
    memory = arena.Arena(bytearray(4096))
    (old,) = made(memory, 100)
    memory.forget()
    assert memory.has_views()
    (new,) = made(memory, 100)
    memory.forget()
    del new

    assert memory.has_views()
    del old
    assert not memory.has_views()


def test_a_view_that_only_the_collector_finds_counts_until_then():
    """Memory is rather used too late than too early."""
    memory = arena.Arena(bytearray(4096))
    cycle = made(memory, 100)
    cycle.append(cycle)
    memory.forget()
    del cycle

    assert memory.has_views()
    gc.collect()
    assert not memory.has_views()


def test_a_view_in_another_thread_counts():
    """Until that thread lets it go."""
    memory = arena.Arena(bytearray(4096))
    arrays = made(memory, 100)
    held, may_end = threading.Event(), threading.Event()

    def hold():
        array = arrays.pop()
        held.set()
        may_end.wait(30)
        del array

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert held.wait(30)
    memory.forget()

    assert memory.has_views()
    may_end.set()
    thread.join(30)
    assert not memory.has_views()


def test_gathering_copies_only_what_lies_elsewhere():
    """Buffers of the arena stay where they are; the others are put behind them."""
    memory = arena.Arena(bytearray(4096))
    (inside,) = made(memory, 100)
    inside[:] = 1
    ranges = memory.gather([memoryview(inside), memoryview(np.full(50, 2, np.uint8)), memoryview(b"")])

    assert [(0, 100), (128, 50), (0, 0)] == ranges
    assert [1] * 100 == memory.bytes[:100].tolist()
    assert [2] * 50 == memory.bytes[128:178].tolist()


def test_gathering_begins_at_the_start_when_nothing_is_in_use():
    """What was made in the arena, and is not part of the result, leaves its memory to it."""
    memory = arena.Arena(bytearray(256))
    made(memory, 200)

    assert [(0, 200)] == memory.gather([memoryview(np.zeros(200, np.uint8))])
    (held,) = made(memory, 200)
    assert memory.gather([memoryview(np.zeros(200, np.uint8))]) is None
    del held
