"""The processes of a pool, of either kind: what they are sent, and what they answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from worker_messages import frame_of, heard

from batchup.engine.process import pickling
from batchup.engine.process.group import end_group, waited_for
from batchup.engine.process.mapped import MappedGroup
from batchup.engine.process.portable import PortableGroup
from batchup.engine.process.protocol import ERROR, IN_PIPE, KIND

pytestmark = [pytest.mark.timeout(60), pytest.mark.skipif(os.name != "posix", reason="signals stop a worker here")]


@pytest.fixture(params=[MappedGroup, PortableGroup])
def kind(request):
    return request.param


@pytest.fixture
def group(kind):
    """One worker."""
    made = kind(1)
    yield made
    made.end(0.0)


def test_a_worker_greets_and_does_what_it_is_sent(group):
    """One task after the other; the answer has the number of the task."""
    (worker,) = group.workers
    for number in (1, 2):
        worker.send_task(frame_of(number, pow, number, 2), False)
    group.flush()
    results = heard(group, 2)

    assert [(1, IN_PIPE), (2, IN_PIPE)] == [(result[0], result[KIND]) for result in results]
    assert [1, 4] == [pickling.result_loads(header, where) for _, _, _, header, where, _ in results]


def test_tasks_wait_for_each_other_while_the_worker_has_enough_to_do(group):
    """Up to a quarter of those that it has, half of them if they are quick; the next flush sends them."""
    (worker,) = group.workers
    os.kill(worker.process.pid, signal.SIGSTOP)
    try:
        worker.answers = dict.fromkeys(range(16))
        sizes = []
        for quick in (False, True):
            for _ in range(8):
                worker.send_task(b"12345678", quick)
                sizes.append(len(worker.unsent))
    finally:
        worker.unsent.clear()
        worker.answers = {}

    assert [8, 16, 24, 0] * 2 + [8, 16, 24, 32, 40, 48, 56, 0] == sizes


def test_an_error_of_a_task_is_its_answer(group):
    """And the worker goes on."""
    (worker,) = group.workers
    worker.send_task(frame_of(1, int, "one"), False)
    worker.send_task(frame_of(2, int, "2"), False)
    group.flush()

    assert [ERROR, IN_PIPE] == [message[KIND] for message in heard(group, 2)]


def test_a_group_whose_second_worker_cannot_start_leaves_nothing(monkeypatch, kind):
    """The first one is ended, and the error is raised."""
    start, pids = kind.start, []

    def limited(group, index):
        if index == 1:
            raise OSError("no more processes")
        start(group, index)
        pids.append(group.workers[0].process.pid)

    monkeypatch.setattr(kind, "start", limited)
    with pytest.raises(OSError, match="no more processes"):
        kind(2)

    assert [False] == [psutil.pid_exists(pid) for pid in pids]


def test_the_end_of_a_worker_is_heard(group):
    """However it ended; its exit code is there then."""
    (worker,) = group.workers
    worker.process.kill()
    until = time.monotonic() + 30
    while not worker.has_ended() and time.monotonic() < until:
        for each in group.ready(1.0, most=1.0):
            each.read()

    assert -signal.SIGKILL == worker.end(time.monotonic() + 30)


def test_what_a_worker_ran_when_it_died_is_known(group, tmp_path):
    """It, and not the task before it, nor the one behind it."""
    (worker,) = group.workers
    for number, fn, arg in [(1, pow, 2), (2, time.sleep, 60), (3, pow, 2)]:
        worker.send_task(frame_of(number, fn, *([arg] * (2 if fn is pow else 1))), False)
    group.flush()
    until = time.monotonic() + 30
    while group.mark(worker) != 2 and time.monotonic() < until:
        for each in group.ready(0.05):
            each.read()
    worker.process.kill()
    while not worker.has_ended() and time.monotonic() < until:
        for each in group.ready(1.0, most=1.0):
            each.read()

    assert 2 == group.mark(worker)


def test_in_a_fork_the_end_is_left_to_the_parent(group):
    """Its workers run on."""
    end_group(group, lambda: True)

    assert psutil.pid_exists(group.workers[0].process.pid)


@pytest.mark.parametrize("descriptors", [True, False])
def test_the_end_of_a_process_is_waited_for(monkeypatch, descriptors):
    """With a descriptor of the process and without one; one that goes on is left alone when the time is up."""
    if not descriptors:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    ends = [sys.executable, "-c", "import sys; sys.stdin.read(); sys.exit(5)"]
    with subprocess.Popen(ends, stdin=subprocess.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            waited_for(process, 0.01)
        process.stdin.close()

        assert [5, 5] == [waited_for(process, 50.0) for _ in range(2)]
