"""Worker processes: clean, replaced when they die, gone when the pool is."""

from __future__ import annotations

import gc
import itertools
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import psutil
import pytest
from launcher import begun

import batchup
from batchup import ArrayDataSource, WorkerProcessPool
from batchup.engine.process.constants import Constant
from batchup.engine.process.platforms import is_portable
from batchup.errors import DataSourcePicklingError, PoolClosedError

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("by_value")]
needs_shared_memory = pytest.mark.skipif(is_portable(), reason="portable worker processes have no shared memory")


@pytest.fixture
def pool(two_processes):
    return two_processes


def pids_of(pool: WorkerProcessPool) -> set[int]:
    """The worker processes, all of them having begun to work."""
    gate = [pool.engine.submit(os.getpid) for _ in range(4)]
    return {reply.result() for reply in gate}


def test_lambdas_and_local_classes_work(pool):
    """Functions travel by value where they cannot be found by name."""

    class Half:
        def __init__(self, x):
            self.x = x / 2

    assert [1.5] == [half.x for half in pool.work_stream([(lambda x: Half(x), (3,))])]


def test_memory_is_used_again(pool):
    """A consumer that keeps no batch needs no more slots than the buffer is deep, and a few."""
    fresh = WorkerProcessPool(2)
    par = fresh.parallel_data_source(ArrayDataSource([np.zeros((4000, 1000))]), 4)
    for _ in par.batch_iterator(10):
        pass

    assert sum(len(worker.maps) for worker in fresh.engine._group.workers) <= 4 + 2 * 2 + 2
    fresh.close()


@needs_shared_memory
def test_memory_that_is_not_needed_any_more_is_given_back():
    """A pool that had large batches, and has small ones now."""
    with WorkerProcessPool(2) as pool:
        large = pool.work_stream((np.zeros, (1 << 17,)) for _ in range(30))
        for _ in large:
            pass
        before = large.stats()
        small = pool.work_stream((pow, (n, 2)) for n in range(600))
        for _ in small:
            pass

        assert before.slots > 0
        assert (0, 0) == (small.stats().slots, small.stats().shared_bytes)


def test_what_a_worker_holds_on_to_stays_as_it_is():
    """A function that keeps its batches finds them unchanged, whatever is written to them here, or made after them."""
    held = []

    def holding(x):
        held.append(x)
        return x, np.array([int(each[0, 0]) for each in held])

    X = np.repeat(np.arange(120), 10_000).reshape(120, 10_000)
    with WorkerProcessPool(1) as pool:
        batches = pool.parallel_data_source(ArrayDataSource([X]).map(holding), 3).batch_iterator(10)
        for i, (x, first) in enumerate(batches):
            assert list(range(0, 10 * (i + 1), 10)) == first.tolist()
            x[:] = -1


@needs_shared_memory
def test_a_function_makes_its_batch_where_it_is_sent_from(tmp_path):
    """`empty` finds room in the slot, though the samples that the function was given lie there too."""

    def drawn(x):
        image = batchup.empty((4, 1 << 17))  # exactly so many pages
        with open(tmp_path / "made", "a") as file:
            print(image.base is not None, file=file)
        image[:] = x[0]
        return (image,)

    with WorkerProcessPool(1) as pool:
        batches = pool.parallel_data_source(ArrayDataSource([np.arange(80)]).map(drawn)).batch_iterator(4)

        assert [4 * n for n in range(20)] == [int(image[0, 0]) for (image,) in batches]
    assert ["False", "False"] + ["True"] * 18 == (tmp_path / "made").read_text().split()


def test_arrays_are_shared_not_copied(pool):
    """A large array is in shared memory once, and read-only in the workers."""
    X = np.arange(1_000_000)
    constant = pool.shared_constant(X)

    assert X.nbytes <= constant.nbytes <= X.nbytes + 4096
    assert [(False, X.sum())] == list(pool.work_stream([(lambda a: (a.flags.writeable, a.sum()), (constant,))]))


def test_a_constant_is_freed_with_its_last_use(pool):
    """When nobody holds it and no task needs it, its memory is given back."""
    constant = pool.shared_constant(np.arange(10_000))
    stream = pool.work_stream(itertools.repeat((np.sum, (constant,)), 30))
    gone = weakref.ref(constant), weakref.ref(constant.segment)
    del constant

    assert [49_995_000] * 30 == list(stream)
    del stream
    gc.collect()
    assert (None, None) == (gone[0](), gone[1]())


def test_a_source_that_cannot_be_pickled_is_refused_at_the_call(pool):
    """The error names the attribute."""

    class Accessor:
        def __init__(self):
            self.handle = threading.Lock()

        def __len__(self):
            return 5

        def __getitem__(self, i):
            return i

    par = pool.parallel_data_source(ArrayDataSource([Accessor()]))
    with pytest.raises(DataSourcePicklingError, match=r"data\[0\].handle"):
        par.batch_iterator(2)


def noise(x):
    return np.random.random(2), [random.random()]


def drawn(pool, shuffle, epochs=2, kill_at=None):
    par = pool.parallel_data_source(ArrayDataSource([np.zeros((100, 1))]).map(noise))
    found = []
    for _ in range(epochs):
        for i, (a, b) in enumerate(par.batch_iterator(2, shuffle=shuffle)):
            if i == kill_at:
                os.kill(pids_of(pool).pop(), signal.SIGKILL)
            found.append((*a, *b))
    return found


@pytest.mark.parametrize("shuffle", [None, True, 7])
def test_noise_is_different_in_every_batch(pool, shuffle):
    """Functions that use `numpy.random` or `random` repeat nothing, over workers and over epochs."""
    assert 100 == len(set(drawn(pool, shuffle)))


@pytest.mark.parametrize("shuffle", [7, np.random.SeedSequence(7), np.random.RandomState, np.random.default_rng])
def test_noise_depends_on_the_seed_alone(pool, kept_processes, shuffle):
    """Not on the number of workers."""

    def fresh():
        return shuffle(5) if callable(shuffle) else shuffle

    expected = drawn(pool, fresh())

    assert [expected] * 2 == [drawn(kept_processes(n), fresh()) for n in (1, 3)]


def test_noise_does_not_depend_on_a_worker_that_dies(pool):
    """What it was at is done again, with the same numbers."""
    assert drawn(pool, 7) == drawn(pool, 7, kill_at=20)


def test_the_callers_generator_decides_where_there_is_no_other_seed(pool):
    """A seed is drawn from it for each loop, so that loops differ, and the whole can be repeated."""
    np.random.seed(3)
    first, other = drawn(pool, None, epochs=1), drawn(pool, None, epochs=1)
    np.random.seed(3)
    again = drawn(pool, None, epochs=1)

    assert first == again
    assert first != other


def test_a_pool_is_not_used_in_a_fork(pool):
    """A forked child gets an error instead of stealing its parent's results; the parent goes on."""
    stream = pool.work_stream((pow, (n, 2)) for n in range(40))
    next(stream)
    child = os.fork()
    if child == 0:
        try:
            list(pool.work_stream([(pow, (2, 3))]))
        except PoolClosedError:
            pool.close()
            os._exit(42)
        os._exit(1)

    assert 42 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert [n**2 for n in range(1, 40)] == list(stream)


def test_close_ends_all_processes():
    """Busy or idle, and at the second call there is nothing to do."""
    pool = WorkerProcessPool(2)
    pids = pids_of(pool)
    stream = pool.work_stream([(wait_for_ever,), (wait_for_ever,)])
    pool.close()
    pool.close()

    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    with pytest.raises(PoolClosedError):
        next(stream)


def wait_for_ever() -> None:
    threading.Event().wait()


def test_a_collected_pool_is_closed():
    """Nobody holds it: its processes end."""
    pool = WorkerProcessPool(1)
    pids = pids_of(pool)
    del pool
    gc.collect()

    assert not [pid for pid in pids if psutil.pid_exists(pid)]


PROGRAM = """
import os, sys, threading
import numpy as np
import batchup

pool = batchup.WorkerProcessPool({n})

class Mine:
    colour = "red"

def task(n):
    return n, os.getpid(), Mine()

{body}
"""


def written(body: str, tmp_path: Path) -> list[str]:
    """The command that runs a program of its own, without a main guard."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.format(n=2, body=textwrap.dedent(body)))
    return [sys.executable, str(path)]


def run(body: str, tmp_path: Path, n: int = 2) -> subprocess.CompletedProcess[str]:
    """What such a program said, and how it ended; it is a fork of one that has batchup (see `launcher`)."""
    program = begun(["batchup.engine.process.pool"], PROGRAM.format(n=n, body=textwrap.dedent(body)), folder=tmp_path)
    stdout, stderr = program.communicate(timeout=30)
    return subprocess.CompletedProcess([], program.returncode, stdout, stderr)


def test_a_program_ends_with_pools_and_iterators_open(tmp_path):
    """Without a word, without a main guard, and without a process left."""
    done = run(
        """
        stream = pool.work_stream((task, (n,)) for n in range(100))
        threads = batchup.WorkerThreadPool(2).work_stream([(threading.Event().wait,)])
        print(next(stream)[1])
        """,
        tmp_path,
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert not psutil.pid_exists(int(done.stdout))


def test_a_class_of_the_program_comes_back_as_its_own(tmp_path):
    """Results do not bring an older state of a class with them."""
    done = run(
        """
        stream = pool.work_stream((task, (n,)) for n in range(30))
        next(stream)
        Mine.colour = "blue"
        assert {type(mine) for _, _, mine in stream} == {Mine}
        print(Mine.colour)
        """,
        tmp_path,
        n=1,
    )

    assert ("blue\n", "") == (done.stdout, done.stderr)


def test_a_killed_program_takes_its_workers_along(tmp_path):
    """Busy ones too."""
    done = run(
        """
        stream = pool.work_stream([(task, (0,)), (task, (1,))])
        print(*{next(stream)[1], next(stream)[1]}, flush=True)
        blocked = pool.work_stream([(lambda: __import__("time").sleep(60),)] * 2)
        os.kill(os.getpid(), 9)
        """,
        tmp_path,
    )
    until = time.monotonic() + 30  # their tasks would take 60
    while any(map(alive, map(int, done.stdout.split()))) and time.monotonic() < until:
        time.sleep(0.01)

    assert -9 == done.returncode
    assert 2 == len(done.stdout.split())
    assert not [pid for pid in map(int, done.stdout.split()) if alive(pid)]


def alive(pid: int) -> bool:
    """Whether a process still runs; one that has ended and that nobody has asked about yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_ctrl_c_ends_a_program_at_once(tmp_path):
    """One traceback, of the program itself, and nothing left."""
    body = """
        stream = pool.work_stream([(os.getpid,), (lambda: __import__("time").sleep(60),)])
        print(next(stream), flush=True)
        next(stream)
    """
    with subprocess.Popen(
        written(body, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as program:
        worker = int(program.stdout.readline())
        os.killpg(program.pid, signal.SIGINT)
        _, said = program.communicate(timeout=30)  # its task would take 60

    assert 1 == said.count("Traceback")
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert not psutil.pid_exists(worker)


def test_a_caught_ctrl_c_leaves_the_pool_usable(tmp_path):
    """The workers it killed are replaced, and the stream goes on where it was."""
    done = run(
        """
        import signal
        stream = pool.work_stream((task, (n,)) for n in range(200))
        got = [next(stream)[0]]
        for _ in range(2):
            try:
                os.killpg(0, signal.SIGINT)
                threading.Event().wait(1)
            except KeyboardInterrupt:
                pass
            got.append(next(stream)[0])
        got += [n for n, _, _ in stream]
        print(got == list(range(200)))
        """,
        tmp_path,
    )

    assert ("True\n", "") == (done.stdout, done.stderr)


def test_the_reference_to_a_constant_is_small():
    """Whatever is behind it: each task carries one."""
    constant = Constant(list(range(100_000)))

    assert len(constant.reference) < 500
    constant.close()


def test_an_unchanged_source_is_sent_once(pool):
    """Epoch after epoch the same shared copy; a source changed in place is sent again."""
    X = np.arange(100_000).reshape(10_000, 10)
    par = pool.parallel_data_source(ArrayDataSource([X]))
    sums, copies = [], []
    for epoch in range(4):
        if epoch == 3:
            X[1234, 5] += 1
        sums.append(sum(x.sum() for (x,) in par.batch_iterator(500)))
        copies.append(par._fetch.serial)

    assert [copies[0]] * 3 == copies[:3]
    assert copies[3] > copies[0]
    assert [X.sum() - 1] * 3 + [X.sum()] == sums


def test_many_sources_one_after_the_other(pool):
    """Each loop gets the samples of its own source, though ids and descriptors are used again."""
    firsts = []
    for n in range(60):
        par = pool.parallel_data_source(ArrayDataSource([np.full(20, n)]))
        firsts.append([x[0] for (x,) in par.batch_iterator(10)])

    assert [[n, n] for n in range(60)] == firsts


def test_an_error_of_the_program_comes_back_as_its_own(tmp_path):
    """A class of ``__main__`` is caught by its name."""
    done = run(
        """
        class Torn(ValueError):
            pass

        def fail():
            raise Torn("a bad sample")

        try:
            next(pool.work_stream([(fail,)]))
        except Torn as error:
            print(error, "fail" in str(error.__cause__))
        """,
        tmp_path,
        n=1,
    )

    assert ("a bad sample True\n", "") == (done.stdout, done.stderr)
