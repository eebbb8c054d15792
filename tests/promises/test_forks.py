"""Forks: the pool makes none, and the user's do no harm."""

import os
import signal
import time

import pytest
from programs import quiet, run, running, started

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

SLOW = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads

def gated(x):
    if x[0, 0] >= 80:
        wait_until((here / "open").exists)
    return (x,)

expected = batches_of(ArrayDataSource([X]))

def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


def test_a_lock_held_elsewhere_does_not_reach_the_workers(tmp_path):
    """They are started clean, also those that come later: a lock that a thread holds here is free there."""
    (tmp_path / "held.py").write_text("import threading\nlock = threading.Lock()\n")
    ended = run(
        """
import held

def under_the_lock(x):
    import held
    with held.lock:
        return (x,)

has_it, done = threading.Event(), threading.Event()

def hold():
    with held.lock:
        has_it.set()
        done.wait()

holder = threading.Thread(target=hold)
holder.start()
has_it.wait()
with WorkerProcessPool(2) as pool:
    found = []
    for k, (x,) in enumerate(pool.parallel_data_source(ArrayDataSource([X]).map(under_the_lock), 4).batch_iterator(10)):
        if k == 5:
            os.kill(workers()[0], signal.SIGKILL)
        found.append(x.tolist())
    print(found == batches_of(ArrayDataSource([X])))
done.set()
holder.join()
""",
        tmp_path,
    )

    assert quiet("True\n") == ended


@pytest.mark.parametrize("kind", ["WorkerThreadPool", "WorkerProcessPool"])
def test_what_a_fork_does_is_its_own(tmp_path, kind):
    """A child forked in mid-epoch drops or closes what it has, and ends as programs do: the parent's epoch is exact."""
    ended = run(
        SLOW
        + f"""
pool = {kind}(2)
for does in ["batches.close()", "del batches; gc.collect()", "pool.close()", "del pool; gc.collect()", "pass"]:
    batches = pool.parallel_data_source(ArrayDataSource([X]).map(gated), 6).batch_iterator(10)
    found = [next(batches)[0].tolist()]
    child = os.fork()
    if child == 0:
        exec(does)
        sys.exit(5)
    code = ended(child)
    note("open")
    print(code, found + [x.tolist() for x, in batches] == expected)
    os.remove(here / "open")
print(batches_of(pool.parallel_data_source(ArrayDataSource([X]))) == expected)
""",
        tmp_path,
    )

    assert quiet("5 True\n" * 5 + "True\n") == ended


@pytest.mark.parametrize("kind", ["WorkerThreadPool", "WorkerProcessPool"])
def test_a_pool_is_refused_in_a_fork(tmp_path, kind):
    """The child is told, at a new loop and in the one under way; it may make a pool of its own; the parent goes on."""
    ended = run(
        SLOW
        + f"""
pool = {kind}(1)
par = pool.parallel_data_source(ArrayDataSource([X]).map(gated), 6)
batches = par.batch_iterator(10)
found = [next(batches)[0].tolist()]
child = os.fork()
if child == 0:
    try:
        list(batches)
    except PoolClosedError:
        pass
    try:
        batches_of(pool.parallel_data_source(ArrayDataSource([X])))
    except PoolClosedError:
        with {kind}(1) as own:
            same = batches_of(own.parallel_data_source(ArrayDataSource([X]))) == expected
        sys.exit(5 if same else 6)
    sys.exit(7)
print(ended(child))
note("open")
print(found + [x.tolist() for x, in batches] == expected)
""",
        tmp_path,
    )

    assert quiet("5\nTrue\n") == ended


def test_a_fork_beside_a_busy_thread(tmp_path):
    """Whatever another thread is at with the pool, the child is told at once, and does not wait for it."""
    ended = run(
        SLOW
        + """
def busy():
    with pool.engine._lock:
        has_it.set()
        done.wait()

has_it, done = threading.Event(), threading.Event()
with WorkerProcessPool(1) as pool:
    thread = threading.Thread(target=busy)
    thread.start()
    has_it.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        print(pool.engine.stats()["workers"], flush=True)
        try:
            pool.work_stream([(pow, (2, 2))]).retrieve()
        except PoolClosedError:
            os._exit(5)
    print(ended(child))
    done.set()
    thread.join()
    print(pool.work_stream([(pow, (2, 2))]).retrieve())
""",
        tmp_path,
    )

    assert quiet("1\n5\n4\n") == ended


def test_workers_go_with_their_parent_whatever_it_has_forked(tmp_path):
    """Killed, it leaves none behind but its fork, which has nothing to do with them."""
    body = (
        SLOW
        + """
pool = WorkerProcessPool(2)
batches = pool.parallel_data_source(ArrayDataSource([X])).batch_iterator(10)
next(batches)
if os.fork() == 0:
    wait_until((here / "open").exists)
    os._exit(0)
print(*workers(), flush=True)
threading.Event().wait()
"""
    )
    with started(body, tmp_path) as program:
        pids = [int(pid) for pid in program.line().split()]
        os.kill(program.pid, signal.SIGKILL)
        until = time.monotonic() + 30
        while len(running(program.pid)) > 1 and time.monotonic() < until:
            time.sleep(0.02)
        left = running(program.pid)
        (tmp_path / "open").touch()
        ended = program.ended()

    assert (3, 1) == (len(pids), len(left))
    assert (-signal.SIGKILL, "", "") == (ended.returncode, ended.stdout, ended.stderr)
