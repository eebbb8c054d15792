"""Pipes as all systems have them: a thread waits for what comes, and another one for room to write.

Messages are those of `protocol`. Large buffers of a message come before it, each as it is behind its length.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from .protocol import framed, length_of, length_prefix, unframed

__all__ = ["BUFFERS", "Receiver", "Sender", "pieces_of", "write_whole"]

BUFFERS = 4  # where in a message its buffers are put when it has come
BUFFER = 1 << 63  # added to a length: what follows is a buffer, not a message
BLOCK = 1 << 16  # bytes to read at once where more than one message may be there
MOST = 1 << 26  # bytes to write at once
Piece: TypeAlias = bytes | bytearray | memoryview


def pieces_of(message: tuple[Any, ...], buffers: Sequence[Any] = ()) -> list[Piece]:
    """The bytes to write for a message: its buffers first, then the message."""
    pieces: list[Piece] = []
    for buffer in buffers:
        view = memoryview(buffer)
        pieces += [length_prefix(view.nbytes | BUFFER), view]
    return [*pieces, framed(message)]


def write_whole(fd: int, piece: Piece) -> None:
    """Write all of it, and wait for room.

    Raises
    ------
    OSError
        If nobody reads any more.
    """
    view = memoryview(piece)
    left = view.cast("B") if view.nbytes else view
    while left.nbytes:
        left = left[os.write(fd, left[:MOST]) :]


class Sender:
    """Writes to a pipe in a thread of its own, so that nobody waits for room. The thread closes the pipe.

    Parameters
    ----------
    fd : int
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._queue: queue.SimpleQueue[Sequence[Piece] | threading.Lock | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=_write, args=(fd, self._queue), name="batchup-sender", daemon=True)
        self.thread.start()

    def put(self, pieces: Sequence[Piece] | None) -> None:
        """Write these after all that waits to be written; None closes the pipe."""
        self._queue.put(pieces)

    def settle(self, seconds: float) -> None:
        """Wait until all that was put is written, but not for long."""
        written = threading.Lock()  # not an Event: Ctrl-C in the midst of one may leave it locked
        written.acquire()
        self._queue.put(written)
        written.acquire(timeout=seconds)


def _write(fd: int, pieces: queue.SimpleQueue[Any]) -> None:
    with contextlib.suppress(OSError):  # nobody reads any more; the thread that reads the other pipe notices that
        try:
            while (some := pieces.get()) is not None:
                if isinstance(some, list):
                    for piece in some:
                        write_whole(fd, piece)
                else:
                    some.release()
                del some
        finally:
            os.close(fd)


class Receiver:
    """Reads from a pipe in a thread of its own, which closes the pipe at its end.

    Parameters
    ----------
    fd : int
    settles : bool
        Whether `settle` is to be called.
    heard : callable
        Called with each message, when it is among `messages`, and with None at the end.

    Attributes
    ----------
    messages : deque of tuple
        Those that have come. Buffers are in their places, as bytearrays.
    ended : bool
        Whether no more will come.
    """

    def __init__(self, fd: int, heard: Callable[[tuple[Any, ...] | None], object], settles: bool = False) -> None:
        self.fd = fd
        self.messages: deque[tuple[Any, ...]] = deque()
        self.ended = False
        self._heard = heard
        self._ahead = bytearray()  # bytes that were read, of the next messages
        self._settles = settles and os.name == "posix"  # elsewhere the system does not say whether something has come
        self._reading = threading.Lock()  # held while bytes were read that are not among the messages yet
        self.thread = threading.Thread(target=self._read, name="batchup-receiver", daemon=True)
        self.thread.start()

    def take(self) -> list[tuple[Any, ...]]:
        """The messages that have come since."""
        return [self.messages.popleft() for _ in range(len(self.messages))]

    def settle(self) -> None:
        """Wait until all that has come is among the messages, where the system says what has come."""
        if self._settles:
            with contextlib.suppress(OSError):  # it has just been closed
                while not self.ended and select.select([self.fd], [], [], 0)[0]:
                    time.sleep(0.0001)  # the thread is about to read it
            with self._reading:
                pass

    def _read(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            try:
                while True:
                    if self._settles:
                        select.select([self.fd], [], [])
                    with self._reading:
                        self._take_in()
                        while self._ahead:
                            self._take_in()
            finally:
                self.ended = True
                os.close(self.fd)
        self._heard(None)

    def _take_in(self) -> None:
        message = self._message()
        self.messages.append(message)
        self._heard(message)

    def _message(self) -> tuple[Any, ...]:
        buffers = []
        while True:
            length = length_of(self._exactly(8))
            if not length & BUFFER:
                break
            buffers.append(self._exactly(length - BUFFER))
        message = unframed(self._exactly(length))
        return (*message[:BUFFERS], buffers, *message[BUFFERS + 1 :]) if buffers else message

    def _exactly(self, n: int) -> bytearray:
        """The next `n` bytes."""
        while len(self._ahead) < n < BLOCK:
            self._ahead += _some(os.read(self.fd, BLOCK))
        found = self._ahead[:n]
        del self._ahead[:n]
        if len(found) == n:
            return found
        whole = bytearray(n)  # read to where it stays
        whole[: len(found)] = found
        with memoryview(whole) as view, open(self.fd, "rb", 0, closefd=False) as file:
            done = len(found)
            while done < n:
                done += _some(file.readinto(view[done:]))
        return whole


def _some(read: Any) -> Any:
    """What was read, unless the pipe has ended."""
    if not read:
        raise EOFError
    return read
