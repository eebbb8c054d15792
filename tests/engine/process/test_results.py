"""Results of worker processes: mapped, used again when free, and errors as they were raised."""

from __future__ import annotations

import errno
import os
import threading

import numpy as np
import pytest

from batchup import ArrayDataSource, WorkerProcessPool
from batchup.engine.process import pickling, shared_memory
from batchup.engine.process.platforms import is_portable
from batchup.errors import WorkerError

pytestmark = pytest.mark.timeout(60)
needs_shared_memory = pytest.mark.skipif(is_portable(), reason="portable worker processes have no shared memory")


@pytest.fixture
def pool(two_processes):
    return two_processes


@pytest.mark.parametrize("columns", [1000, 101, 7], ids=["large", "several to a slot", "through the pipe"])
def test_a_batch_is_the_consumers_own(pool, columns):
    """Batches are writable, and writing to one changes no other, though their memory is used again."""
    X = np.arange(400 * columns, dtype=np.float64).reshape(400, columns)
    par = pool.parallel_data_source(ArrayDataSource([X]), 4)

    kept = []
    for i, (batch,) in enumerate(par.batch_iterator(10)):
        if i % 3:
            batch[:] = -1
        else:
            kept.append((i, batch))
    assert all((batch == X[10 * i : 10 * i + 10]).all() for i, batch in kept)
    assert 14 == len(kept)


@needs_shared_memory
def test_memory_that_cannot_be_mapped_is_used_again(monkeypatch):
    """Whatever the parent refuses, the worker does not make more and more of it."""

    def refused(path, size):
        raise OSError(errno.ENOMEM, "no more of it")

    with WorkerProcessPool(1) as pool:
        pid = pool.engine.submit(os.getpid).result()
        monkeypatch.setattr(shared_memory.Segment, "mapped", staticmethod(refused))
        stream = pool.work_stream(((np.full, (100_000, n)) for n in range(40)), 4)
        with pytest.warns(RuntimeWarning, match="no shared memory"):
            found = [int(array[-1]) for array in stream]
        fds = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]

    assert list(range(40)) == found
    assert sum("memfd:batchup" in target for target in fds) <= 12


@needs_shared_memory
def test_small_batches_lie_several_to_a_slot():
    """So that they cost little memory and little time; a slot goes back when all that lie in it are gone."""
    with WorkerProcessPool(1) as pool:
        batches = pool.work_stream((np.full, (1000, n)) for n in range(200))
        kept = list(batches)
        all_kept = batches.stats()
        del kept[:150], kept[1:]
        for _ in pool.work_stream((np.full, (1000, n)) for n in range(600)):
            pass

        assert 200 * 8000 <= all_kept.shared_bytes <= 1.2 * 200 * 8000
        assert (kept[0] == 150).all()
        assert batches.stats().slots <= 5


def test_an_error_comes_back_as_itself(pool):
    """Its type, its message, the traceback of the worker as the cause, and where it was."""
    with pytest.raises(ZeroDivisionError) as raised:
        next(pool.work_stream([(lambda: 1 / 0,)]))

    assert "in <lambda>" in str(raised.value.__cause__)
    assert any(note.startswith("in worker pid") for note in raised.value.__notes__)


def test_an_error_that_cannot_be_pickled_is_told(pool):
    """As a `WorkerError` with its type, its message and its traceback."""

    class Odd(Exception):
        def __init__(self, a, b):
            super().__init__(f"{a} and {b}")

    def fail():
        raise Odd(1, 2)

    with pytest.raises(WorkerError, match="Odd: 1 and 2") as raised:
        next(pool.work_stream([(fail,)]))
    assert "Odd" == raised.value.type_name
    assert "in fail" in raised.value.remote_traceback


def test_a_result_that_cannot_be_pickled_is_an_error(pool):
    """The pool goes on."""
    with pytest.raises((WorkerError, TypeError), match="cannot pickle"):
        next(pool.work_stream([(threading.Lock,)]))
    assert [8] == list(pool.work_stream([(pow, (2, 3))]))


@pytest.mark.parametrize("n", [3, 100_000], ids=["through the pipe", "in shared memory"])
def test_an_interruption_while_a_result_is_opened_loses_nothing(pool, monkeypatch, n):
    """Ctrl-C in the midst of unpickling a batch: caught, the batch comes, and not None in its place."""
    name = "result_loads" if n == 3 or is_portable() else "result_in"
    opened, calls = getattr(pickling, name), []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return opened(*args)

    monkeypatch.setattr(pickling, name, interrupted)
    stream = pool.work_stream((np.full, (n, i)) for i in range(2))
    with pytest.raises(KeyboardInterrupt):
        next(stream)

    assert [[i] * n for i in range(2)] == [array.tolist() for array in stream]
