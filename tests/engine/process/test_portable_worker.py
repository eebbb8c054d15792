"""A worker process for all systems, from inside."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from batchup.engine.process import constants, pickling
from batchup.engine.process.blocking_pipes import Receiver, pieces_of, write_whole
from batchup.engine.process.portable_worker import PortableLink
from batchup.engine.process.protocol import BEGUN, CALL, CONSTANT, DROP, END, ERROR, HELLO, IN_PIPE, KIND, START
from batchup.engine.process.worker import Worker

pytestmark = pytest.mark.timeout(60)


class Parent:
    """The other end of a link: what it sends, and what it hears."""

    def __init__(self):
        out, self.fd = os.pipe()
        heard, results = os.pipe()
        self.link, self.results = PortableLink(out, results), results
        self.heard = queue.SimpleQueue()
        self.receiver = Receiver(heard, self.heard.put)

    def send(self, *message, buffers=()):
        for piece in pieces_of(message, buffers):
            write_whole(self.fd, piece)

    def answers(self, n):
        return [self.heard.get() for _ in range(n)]

    def close(self):
        self.send(END)
        os.close(self.fd)
        os.close(self.results)
        self.receiver.thread.join(30)
        self.link._receiver.thread.join(30)


@pytest.fixture
def parent():
    made = Parent()
    yield made
    made.close()


def call(number, fn, *args):
    return CALL, number, pickling.inline(fn), pickling.arguments_dumps(args, {}), b"", False


def test_each_task_is_begun_before_its_result(parent):
    """So that the parent knows what a worker ran that is gone."""
    parent.send(START, b"")
    parent.send(*call(1, pow, 2, 3))
    parent.send(*call(2, int, "two"))
    parent.send(*call(3, np.ones, 100_000))
    serving = threading.Thread(target=Worker(parent.link).serve, daemon=True)
    serving.start()
    found = [(message[0], message[KIND]) for message in parent.answers(7)]
    parent.send(END)
    serving.join(30)

    assert not serving.is_alive()
    assert [(0, HELLO), (1, BEGUN), (1, IN_PIPE), (2, BEGUN), (2, ERROR), (3, BEGUN), (3, IN_PIPE)] == found


def test_a_constant_is_there_before_the_task_that_has_it(parent):
    """In memory of its own, read-only unless it says otherwise; it is unpickled on use."""
    constant = constants.Constant(np.arange(5), sent=True)
    parent.send(CONSTANT, constant.serial, None, None, None, buffers=[constant.sent])
    (message,) = parent.link.read(wait=True)

    assert CONSTANT == message[0]
    assert [constant.serial] == list(constants._received)
    array = constants.constant(constant.serial, "", constant.segment.size, constant.end)
    assert ([0, 1, 2, 3, 4], False) == (array.tolist(), array.flags.writeable)
    assert {} == constants._received
    constants.forget(constant.serial)
    assert {} == constants._constants


def test_what_comes_while_a_task_runs_is_seen_before_the_next(parent):
    """Nobody has to look into the pipe."""
    assert not parent.link.has_news(0.0)
    parent.send(DROP, [1, 2])
    while not parent.link.has_news(0.0):
        pass

    assert [(DROP, [1, 2])] == parent.link.read(wait=False)
    assert not parent.link.ended


@pytest.mark.parametrize(
    ("last", "limit", "code"),
    [("write_whole(fd, pieces_of((END,))[0])", None, 3), ("write_whole(fd, pieces_of((END,))[0])", 0.1, 0), ("", 9, 0)],
)
def test_a_worker_ends_at_once_if_its_parent_is_gone(last, limit, code):
    """It is told so by the end of its pipe, unless the pool was closed: then its task may run on, but not for long."""
    body = f"""
    import os, sys, threading
    from batchup.engine.process.blocking_pipes import pieces_of, write_whole
    from batchup.engine.process.portable_worker import PortableLink
    from batchup.engine.process.protocol import END

    out, fd = os.pipe()
    link = PortableLink(out, 1, {limit})
    {last}
    os.close(fd)
    link._receiver.thread.join()
    sys.exit(3)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(body)], capture_output=True, text=True, timeout=50)

    assert (code, "") == (done.returncode, done.stderr)
