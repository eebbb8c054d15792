"""The processes of a pool: what is the same for all systems. `schedule` decides which task goes to which process.

There are two kinds. Those of `mapped` are for Linux: results come in shared memory, and the parent waits for all pipes
at once. Those of `portable` are for all systems: everything goes through pipes, and threads read and write them.
"""

from __future__ import annotations

import abc
import collections
import contextlib
import os
import select
import subprocess
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from .constants import Constant
from .protocol import FREE, MAPPED, START, framed
from .starting import environment_for, search_path

__all__ = ["GRACE", "WorkerGroup", "WorkerProcess", "end_group", "waited_for"]

GRACE = 0.5  # seconds that workers have to end their tasks when the pool is closed
LAST = 5.0  # seconds for those that cannot be killed


class WorkerProcess(abc.ABC):
    """One worker process, from outside.

    Attributes
    ----------
    answers : dict
        The replies to the tasks that it has, by number, in the order in which these were sent.
    has_started : bool
        Whether it has begun to work.
    killed_by_parent : bool
        Whether this process has killed it, so that no task is to blame.
    maps : dict
        The slots that are mapped here, by number.
    shelf : ndarray or None
        The memory of the slot that its small results are in, one after the other.
    free_slots : deque of int
        Slots that are free, which it does not know yet. May be appended to at any time.
    new_slots : list of int
        Slots that were mapped, which it does not know yet.
    unsent : bytearray
        Messages that wait for the next `flush`, or for room in the pipe.
    is_closed : bool
        Whether its pipes are closed, as it was replaced.
    """

    process: subprocess.Popen[bytes]
    is_closed = False

    def __init__(self, index: int) -> None:
        self.index = index
        self.answers: dict[int, Any] = {}
        self.has_started = False
        self.killed_by_parent = False
        self.maps: dict[int, Any] = {}
        self.shelf: Any = None
        self.free_slots: collections.deque[int] = collections.deque()
        self.new_slots: list[int] = []
        self.unsent = bytearray()
        self._held_back = 0  # how many tasks are in `unsent`, to go in one message with others

    def send(self, message: tuple[Any, ...]) -> None:
        """Have a message sent by the next `flush`."""
        self.unsent += framed(message)

    def send_now(self, message: tuple[Any, ...]) -> None:
        """Send a message, and all that wait."""
        self.send(message)
        self.flush()

    def send_task(self, frame: bytes, quick: bool) -> None:
        """Send a task, at once or in one message with the next ones.

        A quarter of the tasks that the worker has may wait for that, or half of them if they are `quick`.
        """
        if self.free_slots or self.new_slots:
            self._send_slots()
        self.unsent += frame
        self._held_back += 1
        if self._held_back * (2 if quick and len(self.answers) > 7 else 4) >= len(self.answers):
            self.flush()

    def _send_slots(self) -> None:
        if self.new_slots:
            self.send((MAPPED, self.new_slots))
            self.new_slots = []
        if self.free_slots:
            self.send((FREE, [self.free_slots.popleft() for _ in range(len(self.free_slots))]))

    @abc.abstractmethod
    def flush(self) -> None:
        """Write what waits, as far as there is room in the pipe."""

    @abc.abstractmethod
    def send_constants(self, constants: Iterable[Constant]) -> None:
        """Send these to the worker before its next task, unless it maps them itself."""

    @abc.abstractmethod
    def read(self) -> list[tuple[Any, ...]]:
        """The messages of one read; none if nothing is there."""

    @abc.abstractmethod
    def has_more(self) -> bool:
        """Whether it has ended, and there may be more to read of what it has sent."""

    @abc.abstractmethod
    def has_ended(self) -> bool:
        """Whether it is known to have ended."""

    @abc.abstractmethod
    def lease(self, slot: int, path: str, size: int) -> Any:
        """A new array over all of a slot, for one result. When it is collected, with its last view, the slot is free.

        Raises
        ------
        OSError
            If the worker is dead and its memory with it, or if the system does not map more.
        """

    @abc.abstractmethod
    def refuse(self, slot: int) -> None:
        """The slot cannot be mapped here. The worker may use it again."""

    @abc.abstractmethod
    def forget(self, slots: list[int]) -> None:
        """The worker has given back these slots."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the pipes. The process ends when it has read to the end of its tasks."""

    @abc.abstractmethod
    def after_fork(self) -> None:
        """In a fork: close the pipes, or the worker would not see their end when the parent closes them or is gone."""

    def end(self, until: float) -> int | None:
        """Wait for the process to end, and kill it at `until`. Its exit code."""
        try:
            return waited_for(self.process, max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            try:
                self.process.kill()
            except PermissionError:  # this process has become another user; the worker ends when its task does
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(LAST)
                return self.process.returncode
            return self.process.wait()


class WorkerGroup(abc.ABC):
    """The processes of a pool, and what they share. It holds no reference to the pool, so that this can be collected.

    Parameters
    ----------
    n : int
        How many.
    initializer : Constant, optional
        A function that each worker calls first, and its arguments.
    """

    def __init__(self, n: int, initializer: Constant | None = None) -> None:
        self.size = n
        self.initializer = initializer
        self.constants: weakref.WeakSet[Constant] = weakref.WeakSet([initializer] if initializer else [])
        self.environment = environment_for(n)
        self._folder = ""  # of the program when it made the pool
        with contextlib.suppress(OSError):
            self._folder = os.getcwd()
        self.workers: list[WorkerProcess] = []
        try:
            for index in range(n):
                self.start(index)
        except BaseException:
            self.end(0.0)
            raise

    def start(self, index: int) -> None:
        """Start a worker in this place."""
        worker = self._started(index, search_path(self._folder))
        if self.initializer:
            worker.send_constants([self.initializer])
        worker.send_now((START, self.initializer.reference if self.initializer else b""))
        self.workers.append(worker)

    def remove(self, worker: WorkerProcess) -> None:
        """Remove a worker, and close its pipes. May be called again."""
        if worker in self.workers:
            self.workers.remove(worker)
        worker.close()

    @abc.abstractmethod
    def _started(self, index: int, path: list[str]) -> WorkerProcess:
        """A new worker, with this `sys.path`."""

    @abc.abstractmethod
    def flush(self) -> None:
        """Write what waits; `ready` returns when a full pipe has room again."""

    @abc.abstractmethod
    def ready(self, timeout: float | None, most: float = 0.1) -> list[WorkerProcess]:
        """The workers that have sent something, have ended, or have room in their pipe. Waits for up to `most` s."""

    @abc.abstractmethod
    def mark(self, worker: WorkerProcess) -> int:
        """The number of the task that the worker runs, or ran when it died; 0 for none."""

    @abc.abstractmethod
    def clear_mark(self, index: int) -> None:
        """The next worker at `index` runs nothing."""

    @abc.abstractmethod
    def drop(self, worker: WorkerProcess, numbers: list[int]) -> None:
        """Have a worker drop tasks. It may still run the one that it is about to begin, or more if its pipe is full."""

    @abc.abstractmethod
    def settle(self, workers: Iterable[WorkerProcess]) -> None:
        """Have these workers begin nothing of what they were told to drop, from now on."""

    def end(self, grace: float) -> None:
        """End all processes, and free what they shared."""
        workers = list(self.workers)
        for worker in workers:
            self.remove(worker)
        until = time.monotonic() + grace
        for worker in workers:
            worker.end(until)
        for constant in list(self.constants):
            constant.close()
        self._release(workers)

    @abc.abstractmethod
    def _release(self, workers: list[WorkerProcess]) -> None:
        """Free the rest, when the workers have ended."""

    def after_fork(self) -> None:
        """In a fork: nothing of it is this process's."""
        for worker in self.workers:
            worker.after_fork()
            worker.process.returncode = 0  # this process need not wait for them


def waited_for(process: subprocess.Popen[bytes], seconds: float) -> int:
    """Wait for the end of a process. Its exit code.

    `subprocess.Popen.wait` looks again every 50 ms where it has a time limit; Linux says it at once.

    Raises
    ------
    subprocess.TimeoutExpired
        If it has not ended after so many seconds.
    """
    if process.poll() is None and hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):  # no descriptor is left
            fd = os.pidfd_open(process.pid)
            try:
                poll = select.poll()
                poll.register(fd, select.POLLIN)
                poll.poll(1000 * seconds)
            finally:
                os.close(fd)
            seconds = 0.0
    return process.wait(seconds)


def end_group(group: WorkerGroup, forked: Callable[[], bool]) -> None:
    """End the processes, unless they are those of the process that this one was forked from."""
    if not forked():
        group.end(GRACE)
