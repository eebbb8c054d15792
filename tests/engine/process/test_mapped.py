"""Worker processes for Linux: started, written to, read from and ended."""

from __future__ import annotations

import gc
import os
import signal
import time

import numpy as np
import psutil
import pytest
from worker_messages import frame_of, heard

from batchup.engine.process import pickling, shared_memory
from batchup.engine.process.group import end_group
from batchup.engine.process.mapped import MappedGroup
from batchup.engine.process.protocol import GONE, IN_SLOT, KIND

pytestmark = [pytest.mark.timeout(60), pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")]


def test_what_is_dropped_by_a_worker_that_is_gone_is_not_by_its_successor():
    """A cancellation that comes late does not have the new worker wait for a message that was sent to the old one."""
    group = MappedGroup(1)
    try:
        (old,) = group.workers
        group.remove(old)
        old.end(0.0)
        group.start(0)
        group.drop(old, [1])

        assert [0, 0] == group._marks[0].tolist()
    finally:
        group.end(0.0)


@pytest.fixture
def group():
    """One worker."""
    made = MappedGroup(1)
    yield made
    made.end(0.0)


def test_a_full_pipe_does_not_block(group):
    """What it does not take stays, and is sent when there is room again."""
    (worker,) = group.workers
    large = frame_of(1, len, b"x" * (1 << 23))
    os.kill(worker.process.pid, signal.SIGSTOP)
    worker.send_task(large, False)
    left = len(worker.unsent)
    os.kill(worker.process.pid, signal.SIGCONT)
    until = time.monotonic() + 30
    while worker.unsent and time.monotonic() < until:
        group.flush()
        group.ready(1.0)
    group.flush()

    assert 0 < left < len(large)
    assert 1 << 23 == pickling.result_loads(heard(group, 1)[0][KIND + 1], [])


def test_the_end_of_a_worker_is_heard(group):
    """Through its pipe, or through the descriptor of the process."""
    (worker,) = group.workers
    worker.process.kill()
    until = time.monotonic() + 30
    while not (worker.ended or worker.inbox.ended) and time.monotonic() < until:
        for each in group.ready(1.0, most=1.0):
            each.inbox.read()

    assert -signal.SIGKILL == worker.end(time.monotonic() + 30)


def test_a_slot_is_free_with_the_last_array_in_it(group):
    """The worker is told with the next task; then it uses the memory again."""
    (worker,) = group.workers
    paths = []
    for number in range(1, 5):
        worker.send_task(frame_of(number, np.full, 100_000, number), False)
        group.flush()
        (result,) = [each for each in heard(group, 1) if each[KIND] != GONE]
        _, _, kind, header, ranges, slot = result
        array = pickling.result_in(worker.lease(*slot), header, ranges)
        assert (IN_SLOT, number, 100_000) == (kind, array[0], len(array))
        paths.append(slot[0])
        view = array[5:10]
        del array
        assert [] == list(worker.free_slots)
        del view
        gc.collect()
        assert [slot[0]] == list(worker.free_slots)

    assert 1 == len(worker.maps)
    assert [paths[0]] * 4 == paths


def test_the_end_of_a_group_leaves_nothing():
    """No process, descriptor or memory; in a fork it is left to the parent."""
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    group = MappedGroup(2)
    pids = [worker.process.pid for worker in group.workers]
    end_group(group, lambda: True)
    assert all(map(psutil.pid_exists, pids))
    end_group(group, lambda: False)
    del group
    gc.collect()

    assert [] == [pid for pid in pids if psutil.pid_exists(pid)]
    if before:
        assert before == set(os.listdir("/proc/self/fd"))


def test_memory_that_the_worker_has_given_back_is_not_mapped_any_more(group):
    """Its number may be forgotten."""
    (worker,) = group.workers
    segment = shared_memory.Segment(4096)
    lease = worker.lease(7, segment.path, 4096)
    assert [7] == list(worker.maps)
    del lease
    worker.forget([7, 8])

    assert {} == worker.maps
    assert [7] == list(worker.free_slots)
    segment.close()
