"""A run of a pipe: how far it works ahead, in which threads, and how it ends."""

from __future__ import annotations

import gc
import itertools
import os
import threading
import time
import weakref

import numpy as np
import pytest

from batchup.batch_iter import Infinite, Iterator, Loky, Threads, combine_to_arrays
from batchup.errors import PoolClosedError

pytestmark = pytest.mark.timeout(60)


def as_it_is(x):
    return x


def squared(x):
    return x**2


def lists(pipe):
    return [batch.tolist() for batch in pipe]


def wait_for(condition, seconds=30.0):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.001)
    assert condition()


def threads():
    return {thread for thread in threading.enumerate() if thread.name.startswith("batchup")}


def test_a_source_that_ends_leaves_nothing_running():
    """Its threads end without a call of `close`."""
    before = threads()
    pipe = Infinite(range(7), Threads(squared, n_workers=2), batch_size=3, batches_per_epoch=9)

    assert 3 == len(lists(pipe))
    assert before == threads()


def test_work_goes_on_while_the_loop_does_something_else():
    """Batches are prefetched."""
    made = threading.Semaphore(0)

    def combine(items):
        made.release()
        return items

    with Infinite(itertools.count(), batch_size=3, batches_per_epoch=9, buffer_size=2, combiner=combine) as pipe:
        epoch = pipe()
        assert made.acquire(timeout=30)
        next(epoch)

        assert made.acquire(timeout=30)
        assert made.acquire(timeout=30)


@pytest.mark.parametrize("buffer_size", [1, 3])
def test_no_more_batches_are_made_ahead_than_the_buffer_holds(buffer_size):
    """The functions stop when the buffer is full."""
    seen = []
    with Infinite(
        itertools.count(), seen.append, batch_size=4, batches_per_epoch=99, buffer_size=buffer_size, combiner=len
    ) as pipe:
        for taken, _ in enumerate(itertools.islice(pipe(), 5), 1):
            wait_for(lambda: len(seen) >= 4 * (taken + buffer_size))  # noqa: B023 - called at once
            assert len(seen) == 4 * (taken + buffer_size)


def test_neighbouring_functions_share_a_thread():
    """Consecutive functions are called for one item after the other, in one background thread."""
    idents = []

    def noted(x):
        idents.append((x, threading.get_ident()))
        return x

    with Infinite(range(4), noted, noted, noted, batch_size=4, batches_per_epoch=1) as pipe:
        list(pipe)

    assert [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3] == [x for x, _ in idents]
    assert 1 == len({ident for _, ident in idents} - {threading.get_ident()})


def test_the_combiner_may_be_a_stage():
    """Batches are then combined by its workers, in order."""
    idents = set()

    def combine(items):
        idents.add(threading.get_ident())
        return combine_to_arrays(items)

    with Infinite(
        range(40), as_it_is, batch_size=4, batches_per_epoch=10, combiner=Threads(combine, n_workers=2)
    ) as pipe:
        assert [list(range(n, n + 4)) for n in range(0, 40, 4)] == lists(pipe)
    assert 1 <= len(idents - {threading.get_ident()}) <= 2


def test_close_ends_a_loop_that_waits():
    """A loop in another thread that waits for a batch ends."""
    gate, waiting = threading.Event(), threading.Event()

    def work(x):
        waiting.set()
        gate.wait(30)

    pipe = Infinite(itertools.count(), Threads(work, n_workers=2), batch_size=4, batches_per_epoch=1)
    ended = []
    loop = threading.Thread(target=lambda: ended.append(list(pipe)))
    loop.start()
    assert waiting.wait(30)
    pipe.close()
    gate.set()
    loop.join(30)

    assert [[]] == ended


def endless(x):
    threading.Event().wait()


@pytest.mark.parametrize("kind", ["bare", "threads", "processes"])
def test_close_does_not_wait_for_a_function_that_never_returns(kind):
    """Processes are killed; a thread is left alone, and is a daemon."""
    gate = threading.Event()
    stage = {
        "bare": lambda x: gate.wait(60),
        "threads": Threads(lambda x: gate.wait(60), n_workers=2),
        "processes": Loky(endless, n_workers=2),
    }[kind]
    pipe = Infinite(itertools.count(), stage, batch_size=1, batches_per_epoch=1)
    pipe()
    begun = time.monotonic()
    pipe.close()

    assert time.monotonic() - begun < 30  # the function would take 60
    gate.set()


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="nobody counts descriptors here")
def test_a_pipe_that_was_closed_holds_no_memory():
    """Items in flight when it was closed are freed, with their shared memory and its descriptors."""

    def opened():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    def left_early():
        items = (np.zeros(100_000) for _ in itertools.count())
        with Infinite(items, Loky(np.negative), batch_size=2, batches_per_epoch=5) as pipe:
            next(pipe())

    left_early()
    before = opened()
    for _ in range(2):
        left_early()

    assert before == opened()


@pytest.mark.parametrize(
    "stages",
    [
        [],
        [as_it_is, as_it_is],
        [Threads(as_it_is, n_workers=2)],
        [Iterator(lambda items: map(as_it_is, items))],
    ],
    ids=["none", "bare", "threads", "iterator"],
)
def test_items_are_not_held(stages):
    """The pipe keeps no item that is in a batch, and no batch that was delivered."""

    class Item:
        pass

    alive: list[weakref.ref[Item]] = []

    def source(_):
        item = Item()
        alive.append(weakref.ref(item))
        return item

    def living():
        return sum(ref() is not None for ref in alive)

    items = map(source, range(8))
    with Infinite(items, *stages, batch_size=2, batches_per_epoch=4, combiner=len, buffer_size=4) as pipe:
        epoch = pipe()
        wait_for(lambda: len(alive) == 8 and living() == 0)
        assert [2, 2, 2, 2] == list(epoch)

    alive.clear()
    items = map(source, itertools.count())
    with Infinite(items, *stages, batch_size=2, batches_per_epoch=9, combiner=tuple) as pipe:
        epoch = pipe()
        for _ in range(3):
            next(epoch)
        wait_for(lambda: living() == len(alive) - 6)


def test_a_fork_does_not_wait_for_the_thread_of_its_parent():
    """A pipe that the parent started raises an error in a forked process."""
    pipe = Infinite(itertools.count(), batch_size=2, batches_per_epoch=2)
    epoch = pipe()
    next(epoch)
    pipe._run._forked = lambda: True

    with pytest.raises(PoolClosedError, match="another process"):
        next(epoch)
    pipe.close()
