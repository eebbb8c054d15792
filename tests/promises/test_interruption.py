"""Ctrl-C, and the end of the parent."""

import os
import signal

import pytest
from programs import private_shm, quiet, run, started

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")

BLOCKED = """
def blocked(x):
    os.write(1, b"blocked\\n")
    time.sleep(1000)
    return (x,)

par = pool.parallel_data_source(ArrayDataSource([X]).map(blocked), 4)
"""


@pytest.mark.parametrize(
    ("kind", "n", "to", "opened"),
    [
        ("WorkerThreadPool", 2, "group", "with {}({}) as pool:"),
        ("WorkerThreadPool", 2, "parent", "pool = {}({})\nif True:"),
        ("WorkerProcessPool", 2, "group", "with {}({}) as pool:"),
        ("WorkerProcessPool", 1, "group", "pool = {}({})\nif True:"),
        ("WorkerProcessPool", 1, "parent", "with {}({}) as pool:"),
        ("WorkerProcessPool", 2, "parent", "pool = {}({})\nif True:"),
    ],
)
def test_ctrl_c_ends_a_program(tmp_path, kind, n, to, opened):
    """Long before its blocked sample would, with one traceback, no orphan, and no word on what leaked."""
    body = (
        opened.format(kind, n)
        + BLOCKED.replace("\n", "\n    ")
        + "\n    for x, in par.batch_iterator(10):\n        pass\n"
    )
    with started(body, tmp_path) as program:
        assert ["blocked"] * n == [program.line() for _ in range(n)]
        program.settle()
        (os.killpg if to == "group" else os.kill)(program.pid, signal.SIGINT)
        ended = program.ended()

    assert (-signal.SIGINT, "", 0) == (ended.returncode, ended.stdout, ended.left)
    assert 1 == ended.stderr.count("Traceback")
    assert ended.stderr.startswith("Traceback")
    assert ended.stderr.endswith("\nKeyboardInterrupt\n")


def test_a_caught_ctrl_c_costs_nothing(tmp_path):
    """Three in a row to all processes at one batch: the loop goes on with it when the program does."""
    body = """
def gated(x):
    if x[0, 0] == 200 and not (here / "open").exists():
        os.write(1, b"blocked\\n")
        wait_until((here / "open").exists)
    return (x,)

with WorkerProcessPool(2) as pool:
    batches = pool.parallel_data_source(ArrayDataSource([X]).map(gated), 4).batch_iterator(10)
    found = [next(batches)[0].tolist() for _ in range(5)]
    caught = 0
    while caught < 3:
        try:
            next(batches)
        except KeyboardInterrupt:
            caught += 1
    note("open")
    found += [x.tolist() for x, in batches]
    print(found == batches_of(ArrayDataSource([X])))
    print(batches_of(pool.parallel_data_source(ArrayDataSource([X]))) == batches_of(ArrayDataSource([X])))
"""
    with started(body, tmp_path) as program:
        for _ in range(3):
            assert "blocked" == program.line()
            program.settle()
            os.killpg(program.pid, signal.SIGINT)
        ended = program.ended()

    assert quiet("True\nTrue\n") == ended


@pytest.mark.parametrize("kind", ["WorkerThreadPool", "WorkerProcessPool"])
def test_a_caught_ctrl_c_to_the_parent_alone(tmp_path, kind):
    """The loop may be left, and the pool is used for the next one; or it goes on."""
    body = f"""
def gated(x):
    if x[0, 0] == 0:
        os.write(1, b"blocked\\n")
        wait_until((here / "open").exists)
    return (x,)

with {kind}(2) as pool:
    expected = batches_of(ArrayDataSource([X]))
    batches = pool.parallel_data_source(ArrayDataSource([X]).map(gated), 4).batch_iterator(10)
    try:
        next(batches)
    except KeyboardInterrupt:
        print("caught")
    note("open")
    print(batches_of(pool.parallel_data_source(ArrayDataSource([X]))) == expected)
    print([x.tolist() for x, in batches] == expected)
"""
    with started(body, tmp_path) as program:
        assert "blocked" == program.line()
        program.settle()
        os.kill(program.pid, signal.SIGINT)
        ended = program.ended()

    assert quiet("caught\nTrue\nTrue\n") == ended


@pytest.mark.parametrize(
    ("busy", "n", "way"),
    [
        ("blocked", 2, signal.SIGKILL),
        ("computing", 1, signal.SIGKILL),
        ("idle", 2, signal.SIGKILL),
        ("computing", 1, signal.SIGTERM),
    ],
)
def test_workers_go_with_their_parent(tmp_path, way, busy, n):
    """Killed or terminated, it leaves no process behind: not one that sleeps, computes or waits for a task."""
    body = (
        """
def blocked(x):
    os.write(1, b"blocked\\n")
    time.sleep(1000)

def computing(x):
    os.write(1, b"computing\\n")
    while True:
        sum(range(1000))

def idle(x):
    os.write(1, b"idle\\n")
    return (x,)

"""
        + f"""
pool = WorkerProcessPool({n})
batches = pool.parallel_data_source(ArrayDataSource([X[:20]]).map({busy}), 4).batch_iterator(10)
threading.Event().wait()
"""
    )
    with started(body, tmp_path) as program:
        assert [busy] * n == [program.line() for _ in range(n)]
        os.kill(program.pid, way)
        ended = program.ended()

    assert (-way, "", "", 0) == ended


def test_a_killed_parent_leaves_no_memory(tmp_path):
    """Its shared memory has no name: there is nothing in ``/dev/shm`` when it is gone."""
    before = private_shm(64)
    if before is None:
        pytest.skip("a /dev/shm of one's own is not permitted here (unshare -m)")
    ended = run(
        """
pool = WorkerProcessPool(2)
Y = np.zeros((250, 10_000))
kept = [next(pool.parallel_data_source(ArrayDataSource([Y]), 4).batch_iterator(10)) for _ in range(4)]
os.kill(os.getpid(), signal.SIGKILL)
""",
        tmp_path,
        before,
    )

    assert (128 + signal.SIGKILL, "left:\n", 0) == (ended.returncode, ended.stdout, ended.left)
