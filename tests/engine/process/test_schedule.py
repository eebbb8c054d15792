"""Which worker gets which task."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from batchup.engine.process.constants import Constant
from batchup.engine.process.pool import ProcessPool
from batchup.engine.process.protocol import FORGET
from batchup.engine.process.results import Answer
from batchup.engine.process.schedule import QUICK, Schedule
from batchup.errors import WorkerDiedError

pytestmark = [pytest.mark.timeout(60), pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")]


class FakeWorker:
    """A worker that notes what it is sent."""

    def __init__(self):
        self.answers, self.sent, self.quick = {}, [], []

    def send_constants(self, constants):
        self.constants = list(constants)

    def send_task(self, frame, quick):
        self.sent.append(frame)
        self.quick.append(quick)

    def send_now(self, message):
        self.sent.append(message)


def schedule_of(n):
    """A schedule over `n` such workers, and what is dropped."""
    dropped = []
    workers = [FakeWorker() for _ in range(n)]
    group = SimpleNamespace(
        workers=workers,
        size=n,
        drop=lambda worker, numbers: dropped.append((worker, numbers)),
        settle=lambda told: None,
    )
    return Schedule(group), workers, dropped


def answer_of(number, function=None):
    return Answer(None, number, b"task %d" % number, function)


def test_a_task_goes_to_the_worker_that_has_the_fewest():
    """In turn, while none is done; then to the one that is done with some."""
    schedule, (one, two), _ = schedule_of(2)
    for number in range(1, 5):
        schedule.add(answer_of(number))
    two.answers.clear()
    schedule.add(answer_of(5))
    schedule.add(answer_of(6))

    assert [b"task 1", b"task 3"] == one.sent
    assert [b"task 2", b"task 4", b"task 5", b"task 6"] == two.sent
    assert [1, 2, 3, 4, 5, 6] == list(schedule.waiting)


def test_tasks_of_a_quick_function_are_marked():
    """The ones that took less than `QUICK` the last time; a function that is not shared is never known to be quick."""
    schedule, (worker,), _ = schedule_of(1)
    constant = Constant(len)
    schedule.add(answer_of(1, constant))
    constant.seconds = QUICK / 2
    schedule.add(answer_of(2, constant))
    schedule.add(answer_of(3))
    constant.close()

    assert [False, True, False] == worker.quick


def test_cancelled_tasks_are_dropped_by_their_workers():
    """With the next task; one that is done, or that no worker has, is just forgotten."""
    schedule, (one, two), dropped = schedule_of(2)
    answers = [answer_of(number) for number in range(1, 4)]
    for answer in answers:
        schedule.add(answer)
    del two.answers[2]
    schedule.cancelled.extend([answers[0], answers[1], answer_of(9)])
    schedule.add(answer_of(4))

    assert [(one, [1])] == dropped
    assert [3, 4] == list(schedule.waiting)


def test_workers_are_told_which_constants_are_not_used():
    """All of them, once, before the next task."""
    schedule, workers, _ = schedule_of(2)
    schedule.unused_constants.extend([7, 8])
    schedule.add(answer_of(1))
    schedule.add(answer_of(2))

    assert [[(FORGET, [7, 8]), b"task 1"], [(FORGET, [7, 8]), b"task 2"]] == [worker.sent for worker in workers]


def test_without_workers_a_task_fails():
    """At once, and nobody waits for it."""
    schedule, _, _ = schedule_of(0)
    answer = answer_of(1)
    schedule.add(answer)

    assert ("open", {}) == (answer.state, schedule.waiting)
    with pytest.raises(WorkerDiedError, match="no worker process left"):
        answer.result()


def test_starting_over_gives_new_workers_all_that_has_not_ended():
    """In the order of their numbers; what has come is not done again."""
    with ProcessPool(2) as pool:
        before = {pool.submit(os.getpid).result() for _ in range(4)}
        replies = [pool.submit(pow, n, 2) for n in range(6)]
        arrived = replies[0].result()
        pool._bookkeeping.run(pool._schedule.start_over)

        assert [arrived, 1, 4, 9, 16, 25] == [reply.result() for reply in replies]
        assert not before & {pool.submit(os.getpid).result() for _ in range(4)}
        assert {} == pool._schedule.waiting
