"""Workers that die: replaced, their tasks done again, and the task to blame named."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest

from batchup import ArrayDataSource, WorkerProcessPool, WorkStream
from batchup.engine.process import restarts
from batchup.engine.process.pool import ProcessPool
from batchup.errors import BatchTimeoutError, WorkerDiedError

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX"),
    pytest.mark.usefixtures("by_value"),
]


@pytest.fixture
def pool(two_processes):
    return two_processes


def pids_of(pool: WorkerProcessPool) -> set[int]:
    """The worker processes, all of them having begun to work."""
    gate = [pool.engine.submit(os.getpid) for _ in range(4)]
    return {reply.result() for reply in gate}


@pytest.mark.parametrize(
    ("kind", "at"), [(signal.SIGKILL, 0), (signal.SIGTERM, 3), (signal.SIGSEGV, 9), (signal.SIGKILL, 19)]
)
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
    [(signal.SIGKILL, "too little memory"), (signal.SIGSEGV, "code in C")],
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
            wait_until_there(slow_may_end)
            return "slow"
        if n == 3:
            slow_may_end.touch()
        os._exit(1)

    with WorkerProcessPool(2, retries=0) as pool:
        stream = pool.work_stream(((task, (n,)) for n in range(4)), 4)
        assert "slow" == next(stream)
        for _ in range(3):
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


def test_workers_that_cannot_begin_are_an_error(monkeypatch):
    """Not a loop that starts processes for ever."""
    monkeypatch.setattr("batchup.engine.process.starting.PROGRAM", "import sys; sys.exit(3)")
    with ProcessPool(1) as pool, pytest.raises(WorkerDiedError, match="exit code 3"):
        pool.submit(pow, 2, 3).result()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["", "portable"])
def test_a_task_that_interrupts_its_worker_is_no_endless_loop(monkeypatch, kind):
    """Ctrl-C is no fault of a task, unless it comes each time."""
    monkeypatch.setenv("BATCHUP_PROCESSES", kind)
    monkeypatch.setattr(restarts, "INTERRUPTS", 1)
    with WorkerProcessPool(1) as pool, pytest.raises(WorkerDiedError, match="exit codes -2, -2[^,]"):
        list(pool.work_stream([(signal.raise_signal, (signal.SIGINT,))]))
