"""Messages arrive whole, in order, however the pipe cuts them."""

from __future__ import annotations

import os
import select
import threading

import pytest

from batchup.engine.process.blocking_pipes import write_whole
from batchup.engine.process.protocol import CALL, PIPE, Inbox, framed, piped

pytestmark = pytest.mark.timeout(60)
MESSAGES = [(1, "one", b"\0" * 10, [(0, 1)]), (), (2, None, 0.5), (3, b"x" * 5000)]


@pytest.fixture
def pipe():
    """A pipe that does not block: where to read and where to write."""
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    yield ends
    for fd in ends:
        try:
            os.close(fd)
        except OSError:  # closed by the test
            continue


@pytest.mark.parametrize("size", [1, 7, 8, 9, 100, 100_000])
def test_messages_arrive_as_they_were_sent(pipe, size):
    """In pieces of any size."""
    reader, writer = pipe
    inbox, sent, got = Inbox(reader), b"".join(map(framed, MESSAGES)), []
    for start in range(0, len(sent), size):
        os.write(writer, sent[start : start + size])
        got += inbox.read()

    assert MESSAGES == got


def test_one_read_takes_all_that_is_there(pipe):
    """Then the inbox is drained, and not ended."""
    reader, writer = pipe
    inbox = Inbox(reader)
    os.write(writer, b"".join(map(framed, MESSAGES)))

    assert (MESSAGES, False) == (inbox.read(), inbox.drained)
    assert ([], True, False) == (inbox.read(), inbox.drained, inbox.ended)
    os.write(writer, framed((7,)))
    assert ([(7,)], False) == (inbox.read(), inbox.drained)


@pytest.mark.parametrize("size", [PIPE - 20, PIPE, 5 * PIPE + 1])
def test_a_message_may_be_larger_than_one_read(pipe, size):
    """And the small ones before and after it arrive, too; the memory for it is not kept."""
    reader, writer = pipe
    messages = [(1,), (b"x" * size,), *[(n, b"y" * 1000) for n in range(3000)]]
    sender = threading.Thread(target=write_whole, args=(writer, b"".join(map(framed, messages))))
    inbox, got = Inbox(reader), []
    sender.start()
    while len(got) < len(messages):
        select.select([reader], [], [], 10)
        got += inbox.read()
    sender.join()

    assert messages == got
    assert PIPE == len(inbox._room)


def test_the_end_of_the_pipe_is_seen(pipe):
    """Behind the messages that were sent before; half a message is none."""
    reader, writer = pipe
    inbox = Inbox(reader)
    os.write(writer, framed((1,)) + framed((2,))[:-1])
    os.close(writer)

    assert ([(1,)], False) == (inbox.read(), inbox.ended)
    assert ([], True) == (inbox.read(), inbox.ended)


def test_a_task_can_be_sent_again_with_its_result_through_the_pipe(pipe):
    """All else of it stays."""
    reader, writer = pipe
    os.write(writer, piped(framed((CALL, 3, b"function", ([b"arguments"],), False))))

    assert [(CALL, 3, b"function", ([b"arguments"],), True)] == Inbox(reader).read()
