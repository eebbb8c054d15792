"""Samples that block, workers that are stopped, and consumers that are slow."""

import contextlib
import os

import pytest
from programs import quiet, run, started

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")

POOLS = ["WorkerThreadPool", "WorkerProcessPool"]


def run_side_by_side(bodies, folder):
    """How each program ended: they spend their time waiting."""
    with contextlib.ExitStack() as stack:
        programs = {}
        for kind, body in bodies.items():
            (folder / kind).mkdir()
            programs[kind] = stack.enter_context(started(body, folder / kind))
        return {kind: program.ended() for kind, program in programs.items()}


def test_a_blocked_sample_is_given_up(tmp_path):
    """After `timeout` seconds of waiting, with its batch and samples; the others arrive, and the pool is usable."""
    timeouts = {"WorkerThreadPool": 1.5, "WorkerProcessPool": 4.0}  # the next batch may have to wait for a new worker
    bodies = {
        kind: f"""
def blocks_at_ten(x):
    if x[0, 0] == 400:
        note("blocked")
        time.sleep(1000)
    return (x,)

with {kind}(2) as pool:
    expected = batches_of(ArrayDataSource([X]))
    batches_of(pool.parallel_data_source(ArrayDataSource([X])))  # the workers have begun
    par = pool.parallel_data_source(ArrayDataSource([X]).map(blocks_at_ten), 6, timeout={timeout})
    batches = par.batch_iterator(10)
    found = [next(batches)[0].tolist() for _ in range(10)]
    try:
        next(batches)
    except BatchTimeoutError as error:
        print(error.batch_number, error.indices.tolist(), error.timeout, isinstance(error, TimeoutError))
    print(found + [x.tolist() for x, in batches] == expected[:10] + expected[11:])
    print(len(noted("blocked")), batches.stats().restarts)
    print(batches_of(pool.parallel_data_source(ArrayDataSource([X]), 4)) == expected)
"""
        for kind, timeout in timeouts.items()
    }
    expected = {
        kind: quiet(
            f"""
            10 [100, 101, 102, 103, 104, 105, 106, 107, 108, 109] {timeout} True
            True
            1 {int(kind == "WorkerProcessPool")}
            True
            """
        )
        for kind, timeout in timeouts.items()
    }

    assert expected == run_side_by_side(bodies, tmp_path)


def test_a_stopped_worker_is_replaced(tmp_path):
    """SIGSTOP looks like a sample that blocks: its batch is given up, and nothing else."""
    ended = run(
        """
def stops_at_ten(x):
    if x[0, 0] == 400:
        os.kill(os.getpid(), signal.SIGSTOP)
    return (x,)

with WorkerProcessPool(1) as pool:
    expected = batches_of(ArrayDataSource([X]))
    batches_of(pool.parallel_data_source(ArrayDataSource([X])))
    batches = pool.parallel_data_source(ArrayDataSource([X]).map(stops_at_ten), 4, timeout=4).batch_iterator(10)
    found = [next(batches)[0].tolist() for _ in range(10)]
    try:
        next(batches)
    except BatchTimeoutError as error:
        print(error.batch_number)
    print(found + [x.tolist() for x, in batches] == expected[:10] + expected[11:], batches.stats().restarts)
""",
        tmp_path,
    )

    assert quiet("10\nTrue 1\n") == ended


def test_a_pool_with_a_stopped_worker_can_be_closed(tmp_path):
    """A stopped worker ends with the pool, and with the program."""
    ended = run(
        """
pool = WorkerProcessPool(2)
print(batches_of(pool.parallel_data_source(ArrayDataSource([X]))) == batches_of(ArrayDataSource([X])))
for pid in workers():
    os.kill(pid, signal.SIGSTOP)
""",
        tmp_path,
    )

    assert quiet("True\n") == ended


def test_a_slow_consumer_does_not_count(tmp_path):
    """`timeout` is what the consumer waits in one call: not what passes between calls, nor what workers take."""
    bodies = {
        kind: f"""
def after_a_while(x):
    time.sleep(0.08)
    note("done")
    return (x,)

with {kind}(1) as pool:
    batches_of(pool.parallel_data_source(ArrayDataSource([X])))
    batches = pool.parallel_data_source(ArrayDataSource([X]).map(after_a_while), 25, timeout=1.5).batch_iterator(10)
    found = [next(batches)[0].tolist()]
    wait_until(lambda: len(noted("done")) > 20)  # longer than the timeout, and the consumer is away
    found += [x.tolist() for x, in batches]
    print(found == batches_of(ArrayDataSource([X])))
"""
        for kind in POOLS
    }

    assert dict.fromkeys(POOLS, quiet("True\n")) == run_side_by_side(bodies, tmp_path)
