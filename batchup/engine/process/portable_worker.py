"""A worker process for all systems, from inside: the other end of `portable`."""

from __future__ import annotations

import os
import queue
import signal
import time
from typing import Any

from . import constants, worker
from .blocking_pipes import BUFFERS, Receiver, pieces_of, write_whole
from .descriptors import descriptor_of
from .protocol import BEGUN, CONSTANT, END, IN_PIPE, KIND, framed

__all__ = ["PortableLink", "portable_main"]

LAST = 2.0  # seconds that a task may run on when the pool is closed: longer than the parent waits before it kills


class PortableLink:
    """Reads tasks in a thread, and writes results: a `worker.Link`.

    Results wait until the next task begins, or there is none, and go in one message with the beginning of that one.

    Parameters
    ----------
    tasks, results : int
        Descriptors of the pipes.
    last : float, optional
        How many seconds after the end of the pool a task may run on. Then the process ends.
    """

    has_slots = False

    def __init__(self, tasks: int, results: int, last: float | None = None) -> None:
        self._last = last
        self._results = results
        self._waiting = bytearray()
        self._is_told_to_end = False
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._receiver = Receiver(tasks, self._heard, settles=True)

    def _heard(self, message: tuple[Any, ...] | None) -> None:
        if message is None:
            if not self._is_told_to_end:  # the parent is gone
                os._exit(0)
            if self._last is not None:
                self._news.put(None)
                time.sleep(self._last)
                os._exit(0)
        if message and message[0] == END:
            self._is_told_to_end = True
        self._news.put(None)

    def has_news(self, now: float) -> bool:
        self._receiver.settle()  # what was cancelled before now is not begun
        return bool(self._receiver.messages)

    def read(self, wait: bool) -> list[tuple[Any, ...]]:
        self._flush()
        if wait and not self._receiver.messages:
            self._news.get()
        messages = self._receiver.take()
        for message in messages:
            if message[0] == CONSTANT:
                constants.receive(message[1], message[BUFFERS][0])
        return messages

    @property
    def ended(self) -> bool:
        return self._is_told_to_end

    def begin(self, number: int) -> None:
        self._waiting += framed((number, 0.0, BEGUN, None, None, None))
        self._flush()

    def dropped(self) -> None:
        """Messages are read as soon as they come."""

    def send(self, message: tuple[Any, ...]) -> None:
        if message[KIND] == IN_PIPE and message[BUFFERS]:
            pieces = pieces_of((*message[:BUFFERS], [], *message[BUFFERS + 1 :]), message[BUFFERS])
            self._flush()
            for piece in pieces:
                self._write(piece)
        else:
            self._waiting += framed(message)

    send_result = send  # the next message says that the task has ended

    def _flush(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, bytearray()
            self._write(waiting)

    def _write(self, piece: Any) -> None:
        try:
            write_whole(self._results, piece)
        except OSError:  # the parent is gone
            os._exit(0)


def portable_main(tasks: str, results: str, index: str) -> None:
    """Work until the parent says that it is enough, or has ended.

    Parameters
    ----------
    tasks, results : str
        The names of the pipes: see `descriptors.descriptor_of`.
    index : str
        Which worker of the pool this is.
    """
    worker.place = int(index)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a worker without a traceback
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    worker.keep_freed_memory()
    link = PortableLink(descriptor_of(tasks, os.O_RDONLY), descriptor_of(results, os.O_WRONLY), LAST)
    worker.Worker(link).serve()
    worker.flush_output()
