"""Calls of one function, by threads, processes and coroutines."""

import asyncio
import os
import threading

import pytest
from flow_batches import Points, X, points

from batchup.flow import (
    Dataset,
    apply_parallel,
    close_workers,
    inbatch_parallel,
)

pytestmark = pytest.mark.timeout(60)

TARGETS = ["for", "threads", "mpc", "async"]


@pytest.mark.parametrize("target", ["f", "t", "m", "a", *TARGETS])
def test_targets(target):
    """The result is the same with each target."""
    assert [10, 11, 12, 13] == points().shift(10, target=target).x.tolist()


def test_an_unknown_target():
    """An unknown target is an error that names it."""
    with pytest.raises(ValueError, match="target should be for, threads, mpc or async"):
        points().shift(1, target="gpu")


def test_an_item_function_may_use_parallel_actions_itself():
    """Nested calls with the same target do not deadlock."""

    class Nested(Points):
        @apply_parallel(src="x", target="threads", n_workers=1)
        def outer(self, x):
            return Points(3, preloaded=(X, X)).shift(x, target="threads", n_workers=1).x.sum()

    assert [3, 6] == Nested(2, preloaded=(X, X)).outer().x.tolist()


def test_workers_are_shared_and_end():
    """Calls share threads; `close_workers` ends them, and new ones start when needed."""

    def name(x):
        return threading.current_thread().name

    def run():
        return set(points(8).apply_parallel(name, src="x", dst="z", target="threads", n_workers=2).z)

    assert run() | run() <= {"batchup-0", "batchup-1"}
    close_workers()
    assert not [thread for thread in threading.enumerate() if thread.name == "batchup-1"]
    assert run()


def test_processes_are_others():
    """``mpc`` runs in other processes, and the dataset is not sent to them."""
    dataset = Dataset(4, Points, preloaded=(X, X), unpicklable=threading.Lock())
    batch = dataset.create_batch([1, 2])

    assert os.getpid() not in batch.apply_parallel(lambda x: os.getpid(), src="x", dst="y", target="mpc").y
    assert [2, 3] == batch.shift(1, target="mpc").x.tolist()


def test_coroutines_within_a_running_loop():
    """Coroutines run even if there is a running loop, as in a notebook."""

    class Reads(Points):
        @inbatch_parallel(init="indices", post="keep", target="async")
        async def read(self, item):
            await asyncio.sleep(0)
            return item

    async def notebook():
        return Reads(3).read().y.tolist()

    assert [0, 1, 2] == asyncio.run(notebook())


def test_coroutines_wait_side_by_side():
    """All coroutines start before the first one ends."""
    begun = []

    class Reads(Points):
        @inbatch_parallel(init="indices", post="keep", target="async")
        async def read(self, item):
            begun.append(item)
            while len(begun) < self.size:
                await asyncio.sleep(0)
            return item

    assert [0, 1, 2] == Reads(3).read().y.tolist()
