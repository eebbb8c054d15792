"""Worker processes for Linux: results come in shared memory, and the parent waits for all of them at once."""

from __future__ import annotations

import contextlib
import os
import select
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .constants import Constant
from .group import WorkerGroup, WorkerProcess
from .protocol import DROP, MARK, Inbox
from .shared_memory import Memory, Segment
from .starting import start_with_pipes

__all__ = ["MappedGroup", "MappedProcess"]

PROGRAM = "batchup.engine.process.worker.main"


class MappedProcess(WorkerProcess):
    """A worker process whose results lie in memory that this process maps.

    Attributes
    ----------
    ended : bool
        Whether the system says that it has ended.
    tasks, results, ending : int
        Descriptors of the pipe to it, of the pipe from it, and of the process itself; -1 for none.
    """

    def __init__(self, index: int, lifeline: int, marks: Segment, environment: dict[str, str], path: list[str]) -> None:
        super().__init__(index)
        self.ended = False
        self.maps: dict[int, Memory] = {}
        self._leases: dict[int, weakref.ref[Any]] = {}
        self._on_freed: dict[int, Callable[[Any], None]] = {}
        self.tasks = self.results = self.ending = -1
        self.process, self.tasks, self.results = start_with_pipes(
            PROGRAM, [lifeline], [marks.size, index, marks.path], environment, path
        )
        self.inbox = Inbox(self.results)
        os.set_blocking(self.tasks, False)
        os.set_blocking(self.results, False)
        if hasattr(os, "pidfd_open"):  # its pipe may stay open after its end, held by a process that it has forked
            with contextlib.suppress(OSError):
                self.ending = os.pidfd_open(self.process.pid)

    def flush(self) -> None:
        self._held_back = 0
        if self.unsent and self.tasks >= 0:
            try:
                del self.unsent[: os.write(self.tasks, self.unsent)]
            except BlockingIOError:
                pass
            except BrokenPipeError:  # it is dead, and `ready` will say so
                self.unsent.clear()

    def send_constants(self, constants: Iterable[Constant]) -> None:
        """Nothing: it maps them."""

    def read(self) -> list[tuple[Any, ...]]:
        return self.inbox.read()

    def has_more(self) -> bool:
        return self.ended and not self.inbox.ended and not self.inbox.drained

    def has_ended(self) -> bool:
        return self.inbox.ended or self.ended

    def lease(self, slot: int, path: str, size: int) -> Any:
        if slot not in self.maps:
            self.maps[slot] = Segment.mapped(path, size)
            self.new_slots.append(slot)
            freed = self.free_slots
            self._on_freed[slot] = lambda _: freed.append(slot)
        lease = np.frombuffer(self.maps[slot], dtype=np.uint8)
        self._leases[slot] = weakref.ref(lease, self._on_freed[slot])
        return lease

    def refuse(self, slot: int) -> None:
        self.free_slots.append(slot)

    def forget(self, slots: list[int]) -> None:
        for slot in slots:
            for known in (self.maps, self._leases, self._on_freed):
                known.pop(slot, None)

    def close(self) -> None:
        self.is_closed = True
        fds, self.tasks, self.results, self.ending = [self.tasks, self.results, self.ending], -1, -1, -1
        self.inbox.fd = -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)

    def after_fork(self) -> None:
        self.close()


class MappedGroup(WorkerGroup):
    """Such processes, and the memory in which each notes what it runs."""

    workers: list[MappedProcess]  # type: ignore[assignment]

    def __init__(self, n: int, initializer: Constant | None = None) -> None:
        self.marks = Segment(8 * MARK * n)
        self._marks = np.frombuffer(self.marks.map(), dtype=np.int64).reshape(n, MARK)
        self._lifeline, self._keep_alive = os.pipe()  # ends when this process does: see `worker.die_with_parent`
        self._poll = select.poll()
        self._by_fd: dict[int, MappedProcess] = {}
        super().__init__(n, initializer)

    def _started(self, index: int, path: list[str]) -> MappedProcess:
        worker = MappedProcess(index, self._lifeline, self.marks, self.environment, path)
        for fd in (worker.results, worker.ending):
            self._listen(worker, fd, select.POLLIN)
        return worker

    def remove(self, worker: WorkerProcess) -> None:
        assert isinstance(worker, MappedProcess)
        for fd in (worker.tasks, worker.results, worker.ending):
            self._ignore(fd)
        super().remove(worker)

    def flush(self) -> None:
        for worker in self.workers:
            worker.flush()
            if worker.unsent:
                self._listen(worker, worker.tasks, select.POLLOUT)
            elif worker.tasks in self._by_fd:
                self._ignore(worker.tasks)

    def ready(self, timeout: float | None, most: float = 0.1) -> list[WorkerProcess]:
        seconds = most if timeout is None else min(most, timeout)
        found: dict[int, WorkerProcess] = {}
        for fd, _ in self._poll.poll(max(0, 1000 * seconds)):
            worker = self._by_fd.get(fd)
            if worker is not None:
                found[id(worker)] = worker
                worker.ended = worker.ended or fd == worker.ending
        return list(found.values())

    def mark(self, worker: WorkerProcess) -> int:
        return int(self._marks[worker.index, 0])

    def clear_mark(self, index: int) -> None:
        self._marks[index] = 0

    def drop(self, worker: WorkerProcess, numbers: list[int]) -> None:
        worker.send_now((DROP, numbers))
        if worker in self.workers:  # or the mark is that of its successor
            self._marks[worker.index, 1] += 1  # it looks for the message before it begins another task

    def settle(self, workers: Iterable[WorkerProcess]) -> None:
        """Nothing: they look at their marks."""

    def _release(self, workers: list[WorkerProcess]) -> None:
        self._close_lifeline()
        self.marks.close()

    def after_fork(self) -> None:
        super().after_fork()
        self._close_lifeline()

    def _close_lifeline(self) -> None:
        fds, self._lifeline, self._keep_alive = [self._lifeline, self._keep_alive], -1, -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)

    def _listen(self, worker: MappedProcess, fd: int, what: int) -> None:
        if fd >= 0:
            self._by_fd[fd] = worker
            self._poll.register(fd, what)

    def _ignore(self, fd: int) -> None:
        if self._by_fd.pop(fd, None) is not None:
            with contextlib.suppress(KeyError):
                self._poll.unregister(fd)
