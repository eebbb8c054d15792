"""Worker processes for all systems: tasks, results and shared objects go through pipes.

It does not use what only Linux has: shared memory without names, descriptors of processes, and waiting for several
pipes at once. Instead, each worker has two threads here, one that reads and one that writes (`blocking_pipes`). Shared
objects are sent to each worker once. A worker says which task it begins, so the parent knows what it ran when it died.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable
from typing import Any, NoReturn

from .blocking_pipes import Receiver, Sender, pieces_of
from .constants import Constant
from .group import WorkerGroup, WorkerProcess
from .protocol import BEGUN, CONSTANT, DROP, END, FORGET, KIND
from .starting import start_with_pipes

__all__ = ["PortableGroup", "PortableProcess"]

PROGRAM = "batchup.engine.process.portable_worker.portable_main"
LINGER = 1.0  # seconds after the end of a worker in which its pipe may end, if no process that it has forked holds it
SETTLE = 0.05  # seconds to wait until a worker has been sent what to drop; one that reads nothing never is
JOIN = 1.0  # seconds for the threads of workers that have ended


class News:
    """Whether something has come, for one thread that waits for it. Made of one lock, so that Ctrl-C does no harm.

    >>> news = News()
    >>> news.tell(), news.tell()
    (None, None)
    >>> news.wait(10.0), news.wait(0.0)
    (True, False)
    """

    def __init__(self) -> None:
        self._nothing = threading.Lock()  # held while there is nothing
        self._nothing.acquire()

    def tell(self) -> None:
        """Something has come."""
        with contextlib.suppress(RuntimeError):  # nobody has looked since the last time
            self._nothing.release()

    def wait(self, seconds: float) -> bool:
        """Wait until something comes. Whether it has, since the last call."""
        return self._nothing.acquire(timeout=seconds)


class PortableProcess(WorkerProcess):
    """A worker process whose results come through a pipe.

    Parameters
    ----------
    index : int
    news : News
        Told of each message.
    environment : dict
    path : list of str

    Attributes
    ----------
    running : int
        The number of the task that it runs; 0 for none.
    """

    def __init__(self, index: int, news: News, environment: dict[str, str], path: list[str]) -> None:
        super().__init__(index)
        self.running = 0
        self._known: set[int] = set()  # serial numbers of the constants that it has
        self._ended = False
        self._ended_since = 0.0  # when the process was seen to have ended
        self.process, tasks, results = start_with_pipes(PROGRAM, [], [index], environment, path)
        self.receiver = Receiver(results, lambda _: news.tell())
        self.sender = Sender(tasks)

    def send(self, message: tuple[Any, ...]) -> None:
        if message[0] == FORGET:
            self._known.difference_update(message[1])
        super().send(message)

    def flush(self) -> None:
        self._held_back = 0
        if self.unsent and not self.is_closed:
            unsent, self.unsent = self.unsent, bytearray()
            self.sender.put([unsent])

    def send_constants(self, constants: Iterable[Constant]) -> None:
        for constant in constants:
            memory = constant.sent
            if constant.serial in self._known or memory is None:
                continue
            self._known.add(constant.serial)
            self.send_constants(constant.parts)
            self.flush()
            self.sender.put(pieces_of((CONSTANT, constant.serial, None, None, None), [memory]))

    def read(self) -> list[tuple[Any, ...]]:
        has_ended = self.receiver.ended  # asked before the last messages are taken
        messages = []
        for message in self.receiver.take():
            if message[KIND] == BEGUN:
                self.running = message[0]
            else:
                self.running = 0 if message[0] == self.running else self.running
                messages.append(message)
        self._ended = self._ended or has_ended
        return messages

    def has_news(self) -> bool:
        """Whether there is something to read, or it has ended."""
        if self.receiver.messages or self.receiver.ended:
            return True
        if self.process.poll() is None:
            return False
        self._ended_since = self._ended_since or time.monotonic()
        self._ended = time.monotonic() - self._ended_since > LINGER
        return self._ended

    def has_more(self) -> bool:
        return False

    def has_ended(self) -> bool:
        return self._ended

    def lease(self, slot: int, path: str, size: int) -> NoReturn:
        raise NotImplementedError("its results are in no slots")

    def refuse(self, slot: int) -> None:
        return

    def forget(self, slots: list[int]) -> None:
        return

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.sender.put(pieces_of((END,)))
            self.sender.put(None)

    def after_fork(self) -> None:
        self.is_closed = True
        for fd in (self.sender.fd, self.receiver.fd):  # whose threads are the parent's
            with contextlib.suppress(OSError):
                os.close(fd)


class PortableGroup(WorkerGroup):
    """Such processes."""

    workers: list[PortableProcess]  # type: ignore[assignment]

    def __init__(self, n: int, initializer: Constant | None = None) -> None:
        self._news = News()
        super().__init__(n, initializer)

    def _started(self, index: int, path: list[str]) -> PortableProcess:
        return PortableProcess(index, self._news, self.environment, path)

    def flush(self) -> None:
        for worker in self.workers:
            worker.flush()

    def ready(self, timeout: float | None, most: float = 0.1) -> list[WorkerProcess]:
        seconds = most if timeout is None else min(most, timeout)
        found = self._with_news()
        if not found and seconds > 0:
            self._news.wait(seconds)
            found = self._with_news()
        return found

    def _with_news(self) -> list[WorkerProcess]:
        self._news.wait(0.0)  # first, so that what comes while we look is not missed
        return [worker for worker in self.workers if worker.has_news()]

    def mark(self, worker: WorkerProcess) -> int:
        assert isinstance(worker, PortableProcess)
        return worker.running

    def clear_mark(self, index: int) -> None:
        return

    def drop(self, worker: WorkerProcess, numbers: list[int]) -> None:
        worker.send_now((DROP, numbers))

    def settle(self, workers: Iterable[WorkerProcess]) -> None:
        for worker in workers:
            assert isinstance(worker, PortableProcess)
            worker.sender.settle(SETTLE)

    def _release(self, workers: list[WorkerProcess]) -> None:
        until = time.monotonic() + JOIN
        for worker in workers:
            assert isinstance(worker, PortableProcess)
            for thread in (worker.sender.thread, worker.receiver.thread):
                if thread is not threading.current_thread():  # the garbage collector may end a group anywhere
                    thread.join(max(0.0, until - time.monotonic()))
