"""Worker processes: clean, replaced when they die, gone when the pool is."""

from __future__ import annotations

import errno
import gc
import itertools
import os
import platform
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

import batchup
from batchup import ArrayDataSource, WorkerProcessPool, WorkStream
from batchup.engine.process import pickling, shared_memory
from batchup.engine.process.constants import Constant
from batchup.engine.process.group import WorkerGroup
from batchup.engine.process.pool import ProcessPool
from batchup.errors import BatchTimeoutError, DataSourcePicklingError, PoolClosedError, WorkerDiedError, WorkerError

pytestmark = [pytest.mark.timeout(60), pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")]


@pytest.fixture(scope="module")
def pool():
    with WorkerProcessPool(2) as made:
        yield made


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


def test_memory_is_used_again(pool):
    """A consumer that keeps no batch needs no more slots than the buffer is deep, and a few."""
    fresh = WorkerProcessPool(2)
    par = fresh.parallel_data_source(ArrayDataSource([np.zeros((4000, 1000))]), 4)
    for _ in par.batch_iterator(10):
        pass

    assert sum(len(worker.maps) for worker in fresh.engine._group.workers) <= 4 + 2 * 2 + 2
    fresh.close()


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


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc here")
def test_memory_that_cannot_be_mapped_is_used_again(monkeypatch):
    """Whatever the parent refuses, the worker does not make more and more of it."""

    def refused(path, size):
        raise OSError(errno.ENOMEM, "no more of it")

    with WorkerProcessPool(1) as pool:
        (pid,) = pids_of(pool)
        monkeypatch.setattr(shared_memory.Segment, "mapped", staticmethod(refused))
        stream = pool.work_stream(((np.full, (100_000, n)) for n in range(40)), 4)
        with pytest.warns(RuntimeWarning, match="no shared memory"):
            found = [int(array[-1]) for array in stream]
        fds = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]

    assert list(range(40)) == found
    assert sum("memfd:batchup" in target for target in fds) <= 12


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


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
@pytest.mark.parametrize("at", [0, 3, 9])
def test_a_killed_worker_costs_nothing_but_time(pool, kind, at):
    """Every batch arrives, in order, once."""
    X = np.arange(4000).reshape(200, 20)
    batches = pool.parallel_data_source(ArrayDataSource([X]), 6).batch_iterator(10, shuffle=7)
    expected = list(ArrayDataSource([X]).batch_iterator(10, shuffle=7))

    got = []
    victims = pids_of(pool)
    for i, (batch,) in enumerate(batches):
        if i == at:
            os.kill(victims.pop(), kind)
        got.append(batch)
    assert len(expected) == len(got)
    assert all((e == g).all() for (e,), g in zip(expected, got, strict=True))


def test_all_workers_killed_while_idle_are_replaced(pool):
    """The next epoch does not notice."""
    for pid in pids_of(pool):
        os.kill(pid, signal.SIGKILL)

    assert [n**2 for n in range(20)] == list(pool.work_stream((pow, (n, 2)) for n in range(20)))


def test_a_task_that_kills_its_worker_is_named(pool):
    """Three workers, then an error with the batch and its samples; the others are not harmed."""

    def deadly(x):
        if x[0] == 20:
            os._exit(7)
        return (x,)

    batches = pool.parallel_data_source(ArrayDataSource([np.arange(60)]).map(deadly), 4).batch_iterator(10)
    first = [next(batches)[0][0] for _ in range(2)]
    with pytest.raises(WorkerDiedError, match="exit codes 7, 7, 7") as died:
        next(batches)

    assert [0, 10] == first
    assert (2, 3, (7, 7, 7)) == (died.value.batch_number, died.value.attempts, died.value.exit_codes)
    assert list(range(20, 30)) == died.value.indices.tolist()
    assert [30, 40, 50] == [x[0] for (x,) in batches]


def killed_by(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("number", "hint"),
    [(signal.SIGKILL, "too little memory"), (signal.SIGSEGV, "which is read-only here: make a copy first")],
)
def test_how_a_worker_ended_hints_at_why(number, hint):
    """By the system, or by a write to where it may not."""
    with ProcessPool(1, retries=0) as pool, pytest.raises(WorkerDiedError, match=hint) as died:
        pool.submit(killed_by, number).result()

    assert 1 == str(died.value).count("; -")


def test_a_worker_that_dies_beside_a_slow_task_does_not_accuse_it(tmp_path):
    """Only the task that was under way in the dead worker is charged."""
    slow_may_end = tmp_path / "end"

    def task(n):
        if n == 0:
            while not slow_may_end.exists():
                pass
            return "slow"
        if n == 5:
            slow_may_end.touch()
        os._exit(1)

    with WorkerProcessPool(2, retries=0) as pool:
        stream = pool.work_stream(((task, (n,)) for n in range(6)), 6)
        assert "slow" == next(stream)
        for _ in range(5):
            with pytest.raises(WorkerDiedError):
                next(stream)


def test_the_tasks_of_others_are_not_accused():
    """Two streams take turns in a worker: the one whose task kills it is to blame, not who has waited for longer."""
    with WorkerProcessPool(1, retries=0) as pool:
        innocent = pool.work_stream((time.sleep, (0.05,)) for _ in range(10))
        guilty = pool.work_stream([(os._exit, (7,))])

        assert [None] * 10 == list(innocent)
        with pytest.raises(WorkerDiedError):
            next(guilty)


def test_a_timeout_accuses_nobody_else(tmp_path):
    """What another stream's task was at when its worker was ended is done again, and charged with nothing."""
    opened = tmp_path / "opened"
    with WorkerProcessPool(1, retries=0) as pool:
        pids_of(pool)
        slow = pool.work_stream([(wait_until_there, (opened,))])
        hasty = WorkStream(pool.engine, [(pow, (2, 2))], timeout=0.2)

        with pytest.raises(BatchTimeoutError):
            next(hasty)
        opened.touch()
        assert [None] == list(slow)
        assert 1 == slow.stats().restarts


def wait_until_there(path):
    while not path.exists():
        time.sleep(0.005)


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
def test_noise_depends_on_the_seed_alone(pool, shuffle):
    """Not on the number of workers, nor on one that dies."""

    def fresh():
        return shuffle(5) if callable(shuffle) else shuffle

    with WorkerProcessPool(1) as one, WorkerProcessPool(4) as four:
        expected = drawn(one, fresh())
        assert expected == drawn(four, fresh())
    assert expected == drawn(pool, fresh(), kill_at=20)


def test_the_callers_generators_do_not_advance(pool):
    """And decide the noise where there is no other seed."""
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    first = drawn(pool, None)
    again = drawn(pool, None)

    assert (before == np.random.get_state()[1]).all()
    assert first == again


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

pool = batchup.WorkerProcessPool(2)

class Mine:
    colour = "red"

def task(n):
    return n, os.getpid(), Mine()

{body}
"""


def written(body: str, tmp_path: Path) -> list[str]:
    """The command that runs a program of its own, without a main guard."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.format(body=textwrap.dedent(body)))
    return [sys.executable, str(path)]


def run(body: str, tmp_path: Path, **kwargs: object) -> subprocess.CompletedProcess[str]:
    """What such a program said, and how it ended."""
    return subprocess.run(written(body, tmp_path), capture_output=True, text=True, timeout=30, **kwargs)


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
        for _ in range(5):
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
        start_new_session=True,
    )

    assert ("True\n", "") == (done.stdout, done.stderr)


@pytest.mark.parametrize("n", [3, 100_000], ids=["through the pipe", "in shared memory"])
def test_an_interruption_while_a_result_is_opened_loses_nothing(pool, monkeypatch, n):
    """Ctrl-C in the midst of unpickling a batch: caught, the batch comes, and not None in its place."""
    name = "result_loads" if n == 3 else "result_in"
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


def test_numbers_of_threads_are_shared_out(pool):
    """Workers together use no more threads for linear algebra than there are cores."""
    import joblib

    threads = max(1, joblib.cpu_count() // 2)
    assert [os.environ.get("OMP_NUM_THREADS", str(threads))] == list(
        pool.work_stream([(lambda: os.environ["OMP_NUM_THREADS"],)])
    )


def test_workers_that_cannot_begin_are_an_error(monkeypatch):
    """Not a loop that starts processes for ever."""
    monkeypatch.setattr("batchup.engine.process.group.START", "import sys; sys.exit(3)")
    with ProcessPool(1) as pool, pytest.raises(WorkerDiedError, match="exit code 3"):
        pool.submit(pow, 2, 3).result()


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
    for n in range(150):
        par = pool.parallel_data_source(ArrayDataSource([np.full(20, n)]))
        firsts.append([x[0] for (x,) in par.batch_iterator(10)])

    assert [[n, n] for n in range(150)] == firsts


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
    )

    assert ("a bad sample True\n", "") == (done.stdout, done.stderr)


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
    worker.main(*os.pipe(), reader, 8, 0, "/proc/1/fd/3")
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
        large, too_large = pool.work_stream((kept_after, (n,)) for n in (50 << 20, 400 << 20))

    assert kept == (large > 0.9)
    assert too_large < 0.1


def test_what_is_dropped_by_a_worker_that_is_gone_is_not_by_its_successor():
    """A cancellation that comes late does not have the new worker wait for a message that was sent to the old one."""
    group = WorkerGroup(1)
    try:
        (old,) = group.workers
        group.remove(old)
        old.end(0.0)
        group.start(0)
        group.drop(old, [1])

        assert [0, 0] == group._marks[0].tolist()
    finally:
        group.end(0.0)
