"""Messages arrive whole and in order, and nobody waits who does not want to."""

from __future__ import annotations

import os
import queue

import numpy as np
import pytest

from batchup.engine.process.blocking_pipes import BLOCK, Receiver, Sender, pieces_of, write_whole

pytestmark = pytest.mark.timeout(60)


class Pipe:
    """What is put in at one end, and what comes out at the other."""

    def __init__(self):
        out, fd = os.pipe()
        self.heard = queue.SimpleQueue()
        self.receiver, self.sender = Receiver(out, self.heard.put), Sender(fd)

    def close(self):
        self.sender.put(None)
        for thread in (self.sender.thread, self.receiver.thread):
            thread.join(30)


@pytest.fixture
def pipe():
    made = Pipe()
    yield made
    made.close()


@pytest.mark.parametrize("size", [0, 1, BLOCK - 20, BLOCK - 8, BLOCK, BLOCK + 1, 5 * BLOCK])
def test_messages_of_any_size_arrive(pipe, size):
    """Several at a time, or one in many pieces."""
    sent = [(n, bytes([n]) * size, None) for n in range(20)]
    for message in sent:
        pipe.sender.put(pieces_of(message))

    assert sent == [pipe.heard.get() for _ in sent]
    assert sent == pipe.receiver.take()
    assert [] == pipe.receiver.take()


@pytest.mark.parametrize("sizes", [[3], [0], [1, BLOCK, 0], [1 << 20, 5]])
def test_buffers_come_with_their_message(pipe, sizes):
    """As memory of the receiver's own, which may be written to; the next message has none of them."""
    buffers = [np.full(size, i + 1, np.uint8).data for i, size in enumerate(sizes)]
    pipe.sender.put(pieces_of((1, 2, 3, "header", None, "more"), buffers))
    pipe.sender.put(pieces_of((2, 2, 3, "header", None, "more")))
    first, second = pipe.heard.get(), pipe.heard.get()

    assert (1, 2, 3, "header", [bytearray(buffer) for buffer in buffers], "more") == first
    assert (2, 2, 3, "header", None, "more") == second


def test_nobody_waits_for_room():
    """What the other side does not read is kept; when it goes away, the thread ends."""
    out, fd = os.pipe()
    sender = Sender(fd)
    for _ in range(4):
        sender.put([bytes(1 << 20)])
    assert sender.thread.is_alive()
    os.close(out)
    sender.thread.join(30)

    assert not sender.thread.is_alive()
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(fd)


def test_the_end_comes_after_the_last_message(pipe):
    """And is said once."""
    pipe.sender.put(pieces_of((1,)))
    pipe.close()

    assert [(1,), None] == [pipe.heard.get(), pipe.heard.get()]
    assert pipe.heard.empty()
    assert (True, [(1,)]) == (pipe.receiver.ended, pipe.receiver.take())


def test_half_a_message_is_none(pipe):
    """Its sender has died in the middle."""
    whole = b"".join(pieces_of((1, b"x" * 100)))
    pipe.sender.put([whole, whole[:50]])
    pipe.close()

    assert [(1, b"x" * 100)] == pipe.receiver.take()


def test_a_pipe_that_nobody_reads_is_an_error():
    """For whoever writes to it."""
    out, fd = os.pipe()
    os.close(out)
    with pytest.raises(OSError):  # noqa: PT011  (it has another number on Windows)
        write_whole(fd, b"x")
    os.close(fd)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere nobody knows what is in a pipe")
def test_what_was_written_is_there_after_both_sides_have_settled():
    """Though threads write and read it."""
    out, fd = os.pipe()
    sender, receiver = Sender(fd), Receiver(out, lambda message: None, settles=True)
    for n in range(200):
        sender.put(pieces_of((n, b"x" * 1000 * (n % 100))))
        sender.settle(30)
        receiver.settle()
        assert [n] == [message[0] for message in receiver.take()]
    sender.put(None)
    receiver.thread.join(30)
    receiver.settle()

    assert receiver.ended


def test_a_sender_that_cannot_write_does_not_settle():
    """It is not waited for, for long."""
    out, fd = os.pipe()
    sender = Sender(fd)
    sender.put([bytes(1 << 22)])
    sender.settle(0.01)

    assert sender.thread.is_alive()
    os.close(out)
    sender.thread.join(30)
