"""A worker process, from inside."""

from __future__ import annotations

import itertools
import os
import platform
import subprocess
import sys
import textwrap
import time
from collections import deque

import numpy as np
import psutil
import pytest

from batchup import WorkerProcessPool
from batchup.engine.process import pickling
from batchup.engine.process.protocol import ERROR, IN_PIPE, IN_SLOT, MARK, ON_SHELF
from batchup.engine.process.worker import PipeLink, Worker
from batchup.errors import SharedMemoryError

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX"),
    pytest.mark.usefixtures("by_value"),
]


@pytest.mark.parametrize(
    ("gone", "code", "said"),
    [("os.close(writer)", 0, ""), ("pass", 1, "FileNotFoundError: no such memory\n")],
    ids=["gone", "there"],
)
def test_a_worker_whose_parent_goes_while_it_begins_says_nothing(gone, code, said):
    """Its memory is not there any more; if the parent still is, that is an error."""
    body = f"""
    import os
    from batchup.engine.process import worker

    def mapped(path, size):
        {gone}
        raise FileNotFoundError("no such memory")

    worker.shared_memory.Segment.mapped = mapped
    reader, writer = os.pipe()
    worker.main(*map(str, os.pipe()), str(reader), "8", "0", "/proc/1/fd/3")
    """
    command = [sys.executable, "-c", textwrap.dedent(body)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert (code, said) == (ended.returncode, ended.stderr[ended.stderr.find("FileNotFoundError:") :])


def kept_after(nbytes: int) -> float:
    """How much of the memory of an array the process still has when the array is gone, as a part."""
    process = psutil.Process()
    before = process.memory_info().rss
    array = np.ones(nbytes, np.uint8)
    del array
    return (process.memory_info().rss - before) / nbytes


@pytest.mark.skipif(
    platform.libc_ver() < ("glibc", "2.36") or "LD_PRELOAD" in os.environ, reason="a newer glibc keeps so much"
)
@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, True),
        ({"MALLOC_MMAP_THRESHOLD_": "1000000"}, False),
        ({"MALLOC_ARENA_MAX": "2"}, True),
        ({"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1000000"}, False),
    ],
)
def test_workers_keep_the_memory_of_large_arrays(monkeypatch, settings, kept):
    """It is used again for the next batch, rather than had from the system anew; up to a limit, and if you let them."""
    for name in [name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]:
        monkeypatch.delenv(name)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with WorkerProcessPool(1) as pool:
        large, too_large = pool.work_stream((kept_after, (n,)) for n in (50 << 20, 160 << 20))

    assert kept == (large > 0.9)
    assert too_large < 0.1


@pytest.fixture
def worker():
    """What runs tasks in a worker process, here in this one."""
    ends = os.pipe(), os.pipe()
    yield Worker(PipeLink(ends[0][0], ends[1][1], memoryview(np.zeros(MARK, np.int64))))
    for fd in itertools.chain(*ends):
        os.close(fd)


def run(worker: Worker, fn, *args, piped=False):
    """The outcome of a task."""
    return worker.run(False, pickling.inline(fn), pickling.arguments_dumps(args, {}), b"", piped)


def test_results_go_where_their_size_says(worker):
    """Through the pipe up to 4 kB, on the shelf up to 64 kB, else in a slot; through the pipe if that is wished."""
    for size, kind in [(10, IN_PIPE), (4096, IN_PIPE), (4097, ON_SHELF), (1 << 16, ON_SHELF), (1 << 17, IN_SLOT)]:
        assert kind == run(worker, np.zeros, size, np.uint8)[0]
        assert IN_PIPE == run(worker, np.zeros, size, np.uint8, piped=True)[0]


def test_the_slot_of_a_large_result_is_said(worker):
    """Its number, path and size; of small ones, only with the first on a shelf."""
    _, _, ranges, (number, path, size) = run(worker, np.zeros, 1 << 17, np.uint8)
    first, second = (run(worker, np.ones, 5000, np.uint8) for _ in range(2))

    assert ([(0, 1 << 17)], 1, 1 << 17) == (ranges, number, size)
    assert os.path.exists(path)
    assert ([(0, 5000)], 2, True) == (first[2], first[3][0], second[3] is None)
    assert [(5056, 5000)] == second[2]


def test_without_shared_memory_the_pipe_serves_and_says_why(worker, monkeypatch):
    """Whatever the size."""

    def none(self, size, reserve=True):
        raise SharedMemoryError("no space left")

    monkeypatch.setattr("batchup.engine.process.slots.Segment", none.__get__(object()))
    for size in (5000, 1 << 17):
        kind, header, buffers, why = run(worker, np.ones, size, np.uint8)
        assert (IN_PIPE, "no space left") == (kind, why)
        assert size == pickling.result_loads(header, [bytearray(each) for each in buffers]).sum()


def exits():
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("fn", "name", "pickled"), [(lambda: 1 / 0, "ZeroDivisionError", True), (exits, "SystemExit", False)]
)
def test_an_error_is_an_outcome(worker, fn, name, pickled):
    """With its pickle if it may be raised elsewhere, its type, its message and its traceback."""
    kind, (pickle_of_it, type_name, _, text), _, _ = run(worker, fn)

    assert (ERROR, name, pickled) == (kind, type_name, bool(pickle_of_it))
    assert text.startswith("Traceback")


def test_streams_take_turns(worker):
    """One task of each function; tasks of one function in their order."""
    for number, function in enumerate([b"f", b"f", b"f", b"g", b"g", b"h"]):
        worker.queues.setdefault(function, deque()).append((number, (False, function, (), False)))

    assert [0, 3, 5, 1, 4, 2] == [worker.next_task()[0] for _ in range(6)]
    assert {} == worker.queues


def test_dropped_tasks_are_not_run(worker):
    """The others stay in their order."""
    worker.queues = {b"f": deque([(1, ()), (2, ()), (3, ())]), b"g": deque([(4, ())])}
    worker.drop({2, 4, 9})

    assert {b"f": deque([(1, ()), (3, ())])} == worker.queues


def in_two_processes(n):
    """A fork that is not ended, and goes on as if it were the worker."""
    os.fork()
    return n, os.getpid()


def alive(process):
    """Whether it runs; one that has ended, and that the worker has not asked about, does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("kind", ["", "portable"])
def test_a_fork_that_comes_back_from_a_task_ends(monkeypatch, kind):
    """Only the worker answers, and nothing is left when the pool is closed."""
    monkeypatch.setenv("BATCHUP_PROCESSES", kind)
    with WorkerProcessPool(1) as pool:
        pid = next(pool.work_stream([(os.getpid,)]))
        answers = list(pool.work_stream((in_two_processes, (n,)) for n in range(5)))
        forks, until = psutil.Process(pid).children(), time.monotonic() + 30
        while any(map(alive, forks)) and time.monotonic() < until:
            time.sleep(0.005)

    assert [(n, pid) for n in range(5)] == answers
    assert [] == [fork for fork in forks if alive(fork)]


@pytest.mark.parametrize("kind", ["", "portable"])
def test_a_worker_whose_output_was_closed_ends_in_silence(monkeypatch, capfd, kind):
    """By a task, or an initializer."""
    monkeypatch.setenv("BATCHUP_PROCESSES", kind)
    with WorkerProcessPool(1) as pool:
        list(pool.work_stream([(exec, ("import sys; sys.stdout.close()",))]))

    assert ("", "") == capfd.readouterr()
