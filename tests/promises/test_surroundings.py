"""Where programs run, and how they end: no hang, and no noise."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from programs import Program, quiet, run

import batchup

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")

POOLS = ["WorkerThreadPool", "WorkerProcessPool"]
EPOCH = """
def once(pool, **kwargs):
    par = pool.parallel_data_source(ArrayDataSource([X]).map(lambda x: (x + 1,)), 4)
    return batches_of(par) == batches_of(ArrayDataSource([X + 1]))
"""


@pytest.mark.parametrize("kind", POOLS)
def test_in_a_thread(tmp_path, kind):
    """A pool that is made, used and closed in another thread than the main one; and one that is handed to another."""
    ended = run(
        EPOCH
        + f"""
pools = []

def make():
    with {kind}(1) as pool:
        print(once(pool))
    pools.append({kind}(1))

for fn in [make, lambda: print(once(pools[0]))]:
    thread = threading.Thread(target=fn)
    thread.start()
    thread.join()
print(once(pools[0]))
""",
        tmp_path,
    )

    assert quiet("True\n" * 3) == ended


@pytest.mark.parametrize("inner", POOLS)
@pytest.mark.parametrize("outer", POOLS)
def test_pools_in_pools(tmp_path, outer, inner):
    """A map function that makes a pool of its own, and one that leaves it open."""
    ended = run(
        f"""
from batchup import work_pool

def with_a_pool(x):
    with work_pool.{inner}(1) as pool:
        return tuple(np.array(each) for each in pool.work_stream((np.multiply, (row, 2)) for row in x))

def with_an_open_pool(x):
    work_pool.left_open = work_pool.{inner}(1)
    return tuple(np.array(each) for each in work_pool.left_open.work_stream((np.multiply, (row, 2)) for row in x))

with {outer}({1 if "Process" in outer else 2}) as pool:
    for fn in [with_a_pool, with_an_open_pool]:
        batches = pool.parallel_data_source(ArrayDataSource([X[:20]]).map(fn), 4).batch_iterator(10)
        print([np.stack(rows).tolist() for rows in batches] == batches_of(ArrayDataSource([2 * X[:20]])))
""",
        tmp_path,
    )

    assert quiet("True\nTrue\n") == ended


@pytest.mark.parametrize(("end", "n"), [("", 2), ("sys.exit(3)", 1), ("threads[0].join(0.01)", 1)])
def test_exit_with_live_iterators(tmp_path, end, n):
    """Blocked ones among them, of both pools, held by the module, by a thread and by a cycle: the exit code is kept."""
    ended = run(
        f"""
pools = [WorkerThreadPool(2), WorkerProcessPool({n})]

def blocks_at_ten(x):
    if x[0, 0] == 400:
        time.sleep(1000)
    return (x,)

kept, taken, threads = [], [threading.Event(), threading.Event()], []

def consume(pool, event):
    for k, batch in enumerate(pool.parallel_data_source(ArrayDataSource([X]).map(blocks_at_ten), 4).batch_iterator(10)):
        if k == 9:
            event.set()

for pool, event in zip(pools, taken):
    batches = pool.parallel_data_source(ArrayDataSource([X]), 4).batch_iterator(10)
    kept.append((next(batches), batches))
    kept.append(kept)
    threads.append(threading.Thread(target=consume, args=(pool, event), daemon=True))
    threads[-1].start()
    event.wait()
print("end")
{end}
""",
        tmp_path,
    )

    assert (3 if "3" in end else 0, "end\n", "", 0) == ended


@pytest.mark.parametrize("kind", POOLS)
def test_hooks_at_exit(tmp_path, kind):
    """One that was registered after the pool was made can use it; an earlier one finds it closed, and is told."""
    ended = run(
        EPOCH
        + f"""
import atexit

def earlier():
    try:
        once(pool)
    except PoolClosedError:
        print("closed")

atexit.register(lambda: print("an innocent one"))
atexit.register(earlier)
pool = {kind}(1)
print(once(pool))
atexit.register(lambda: print(once(pool)))
""",
        tmp_path,
    )

    assert quiet("True\nTrue\nclosed\nan innocent one\n") == ended


@pytest.mark.parametrize("way", ["-c", "stdin", "module", "-X dev", "-I", "interactive"])
def test_ways_to_start_python(tmp_path, way):
    """Without a main guard: as an argument, on stdin, as a module, in development mode, isolated, line by line."""
    path = tmp_path / "program.py"
    path.write_text(
        """
from batchup import WorkerProcessPool

class Mine:
    def __init__(self, x):
        self.x = x

with WorkerProcessPool(1) as pool: print([mine.x for mine in pool.work_stream((Mine, (n,)) for n in range(9))])
"""
    )
    root = str(Path(batchup.__file__).parents[1])
    arguments = {
        "-c": ["-W", "error", "-c", path.read_text()],
        "stdin": ["-W", "error", "-"],
        "module": ["-W", "error", "-m", "program"],
        "-X dev": ["-X", "dev", "-W", "error", str(path)],
        "-I": ["-I", "-W", "error", "-c", f"import sys; sys.path.insert(0, {root!r})\n{path.read_text()}"],
        "interactive": ["-W", "error", "-i", "-q", str(path)],
    }[way]
    with open(path if way == "stdin" else os.devnull) as stdin:
        program = Program([sys.executable, *arguments], tmp_path, stdin=stdin)
        try:
            ended = program.ended()
        finally:
            program.close()

    if way == "interactive":
        ended = ended._replace(stderr=ended.stderr.replace(">>> ", "").strip())
    assert quiet("[0, 1, 2, 3, 4, 5, 6, 7, 8]\n") == ended


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-"])
def test_without_standard_streams(tmp_path, closed):
    """Closed stdin, stdout or both, as under some supervisors."""
    ended = run(
        EPOCH
        + """
with WorkerProcessPool(1) as pool:
    note("result", once(pool))
""",
        tmp_path,
        ["sh", "-c", f'exec "$@" {closed}', "sh"],
    )

    assert quiet("") == ended
    assert "True\n" == (tmp_path / "result").read_text()


def test_with_64_descriptors(tmp_path):
    """Some pools, many iterators, and more batches kept than there are descriptors."""
    ended = run(
        EPOCH
        + """
Y = np.arange(250 * 1000.0).reshape(250, 1000)
with WorkerProcessPool(4) as pool, WorkerThreadPool(4) as threads:
    print(once(pool), once(threads))
    streams = [pool.parallel_data_source(ArrayDataSource([Y]), 2).batch_iterator(2) for _ in range(10)]
    kept = [[x for x, in stream] for stream in streams]
    print([len(each) for each in kept] == [125] * 10, all((np.concatenate(each) == Y).all() for each in kept))
""",
        tmp_path,
        ["sh", "-c", 'ulimit -n 64 && exec "$@"', "sh"],
    )

    assert quiet("True True\nTrue True\n") == ended


@pytest.mark.skipif(importlib.util.find_spec("xdist") is None, reason="pytest-xdist is not installed")
def test_under_xdist(tmp_path):
    """Tests that use pools, run side by side."""
    (tmp_path / "test_one.py").write_text(
        """
import numpy as np
import pytest
from batchup.data_source import ArrayDataSource
from batchup.work_pool import WorkerProcessPool, WorkerThreadPool

@pytest.mark.parametrize("n", range(2))
@pytest.mark.parametrize("kind", [WorkerProcessPool, WorkerThreadPool])
def test_sum(kind, n):
    with kind(1) as pool:
        source = ArrayDataSource([np.arange(100)]).map(lambda x: (x * n,))
        batches = pool.parallel_data_source(source).batch_iterator(10)
        assert 4950 * n == sum(x.sum() for x, in batches)
"""
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    options = ["-p", "xdist", "-n", "2", "-p", "no:cacheprovider"]  # other plugins take seconds to import
    command = [sys.executable, "-m", "pytest", "-q", "--disable-plugin-autoload", *options, "."]
    program = Program(command, tmp_path)
    try:
        ended = program.ended()
    finally:
        program.close()

    assert (0, "", 0) == (ended.returncode, ended.stderr, ended.left)
    assert "4 passed" in ended.stdout


def test_in_a_process_of_multiprocessing(tmp_path):
    """Pools in spawned processes, and in daemonic ones, which may have no children of their own kind."""
    (tmp_path / "spawned.py").write_text(
        """
import numpy as np
from batchup.data_source import ArrayDataSource
from batchup.work_pool import WorkerProcessPool

def total(queue):
    with WorkerProcessPool(1) as pool:
        batches = pool.parallel_data_source(ArrayDataSource([np.arange(100)])).batch_iterator(10)
        queue.put(int(sum(x.sum() for x, in batches)))
"""
    )
    ended = run(
        """
import multiprocessing
import spawned

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    for daemon in [False, True]:
        queue = context.SimpleQueue()
        process = context.Process(target=spawned.total, args=(queue,), daemon=daemon)
        process.start()
        print(queue.get())
        process.join()
        print(process.exitcode)
        queue.close()
""",
        tmp_path,
    )

    assert quiet("4950\n0\n4950\n0\n") == ended


def test_a_folder_that_is_not_there_any_more(tmp_path):
    """Workers can be started and replaced when the working directory is gone."""
    gone = tmp_path / "gone"
    gone.mkdir()
    ended = run(
        EPOCH
        + """
os.chdir(here / "gone")
with WorkerProcessPool(1) as pool:
    print(once(pool))
    os.rmdir(here / "gone")
    for pid in workers():
        os.kill(pid, signal.SIGKILL)
    print(once(pool))
""",
        tmp_path,
    )

    assert quiet("True\nTrue\n") == ended


def test_import_is_quiet():
    """`import batchup` starts nothing, and says nothing."""
    code = "import batchup, threading, sys; print(threading.active_count(), 'multiprocessing' in sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)

    assert ("1", "") == (done.stdout.split()[0], done.stderr)
