"""The processes of a pool: how they are started, fed, heard and ended. Which task goes where is not known here."""

from __future__ import annotations

import collections
import contextlib
import os
import select
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ..pools import cores
from .constants import Constant
from .protocol import DROP, FREE, MAPPED, MARK, Inbox, framed
from .shared_memory import Memory, Segment

__all__ = ["GRACE", "WorkerGroup", "WorkerProcess", "end_group"]

GRACE = 0.5  # seconds that a worker has to end its task when the pool is closed
START = (
    "import sys; n = int(sys.argv[1]); sys.path[:] = sys.argv[2 : 2 + n]; "
    "from batchup.engine.process.worker import main; main(*map(int, sys.argv[2 + n : -1]), sys.argv[-1])"
)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class WorkerProcess:
    """One worker process, from outside.

    Attributes
    ----------
    answers : dict
        The replies that it owes, by number, in the order in which their tasks were sent.
    greeted : bool
        Whether it has begun to work.
    spared : bool
        Whether it was ended by this process, so that no task is to blame.
    """

    def __init__(self, place: int, life: int, marks: Segment, environment: dict[str, str]) -> None:
        self.place = place
        self.answers: dict[int, Any] = {}
        self.greeted = False
        self.spared = False
        self.ended = False
        self.maps: dict[int, Memory] = {}
        self._leases: dict[int, weakref.ref[Any]] = {}
        self._when_freed: dict[int, Callable[[Any], None]] = {}
        self._freed: collections.deque[int] = collections.deque()
        self.shelf: Any = None  # the slot that small results are put in, one behind the other
        self._mapped: list[int] = []  # and the worker does not know it yet
        self.unsent = bytearray()
        self._held_back = 0  # tasks that are not sent
        self.tasks = self.results = self.ending = -1
        opened: list[int] = []
        try:
            for _ in range(2):
                opened += os.pipe()
            tasks_out, self.tasks, self.results, results_in = opened
            self.inbox = Inbox(self.results)
            os.set_blocking(self.tasks, False)
            os.set_blocking(self.results, False)
            self.process = _started([tasks_out, results_in, life], marks, place, environment)
        except BaseException:
            for fd in opened:
                os.close(fd)
            raise
        os.close(tasks_out)
        os.close(results_in)
        if hasattr(os, "pidfd_open"):  # its pipe may stay open after its end, held by a process that it has forked
            with contextlib.suppress(OSError):
                self.ending = os.pidfd_open(self.process.pid)

    def send(self, message: tuple[Any, ...]) -> None:
        """Put a message on its way. It goes with the next call of `flush`, as far as the pipe takes it then."""
        self.unsent += framed(message)

    def send_now(self, message: tuple[Any, ...]) -> None:
        """Send a message, and all that were held back."""
        self.send(message)
        self.flush()

    def send_task(self, frame: bytes, quick: bool) -> None:
        """Send a task, soon: while the worker has enough to do, a few may go in one message; of quick ones, more."""
        if self._mapped:
            self.send((MAPPED, self._mapped))
            self._mapped = []
        if self._freed:
            self.send((FREE, [self._freed.popleft() for _ in range(len(self._freed))]))
        self.unsent += frame
        self._held_back += 1
        if self._held_back * (2 if quick and len(self.answers) > 7 else 4) >= len(self.answers):
            self.flush()

    def flush(self) -> None:
        """Write what is unsent, as far as the pipe takes it."""
        self._held_back = 0
        if self.unsent and self.tasks >= 0:
            try:
                del self.unsent[: os.write(self.tasks, self.unsent)]
            except BlockingIOError:
                pass
            except BrokenPipeError:  # it is dead, which will be heard
                self.unsent.clear()

    def lease(self, slot: int, path: str, size: int) -> Any:
        """The memory of a slot, as the one array that all others will be views of; when it goes, the slot is free.

        Raises
        ------
        OSError
            If the worker is dead and its memory with it, or if the system does not map more.
        """
        if slot not in self.maps:
            self.maps[slot] = Segment.mapped(path, size)
            self._mapped.append(slot)
            freed = self._freed
            self._when_freed[slot] = lambda _: freed.append(slot)
        lease = np.frombuffer(self.maps[slot], dtype=np.uint8)
        self._leases[slot] = weakref.ref(lease, self._when_freed[slot])
        return lease

    def refuse(self, slot: int) -> None:
        """It cannot be mapped here: the worker may use it for something else."""
        self._freed.append(slot)

    def forget(self, slots: list[int]) -> None:
        """The worker has given back their memory."""
        for slot in slots:
            for known in (self.maps, self._leases, self._when_freed):
                known.pop(slot, None)

    def close(self) -> None:
        """Close the pipes. The process sees the end of its tasks, and ends."""
        fds, self.tasks, self.results, self.ending = [self.tasks, self.results, self.ending], -1, -1, -1
        self.inbox.fd = -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)

    def end(self, until: float) -> int | None:
        """Wait for the process to end, kill it at `until`; how it ended."""
        try:
            return self.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def _started(fds: list[int], marks: Segment, place: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """A worker process, by exec: clean, with this interpreter's options and path."""
    # the path is given: nothing is looked for in the working directory, which may be gone
    options = ["-P", *getattr(subprocess, "_args_from_interpreter_flags", list)()]
    path = [entry or os.getcwd() for entry in sys.path if isinstance(entry, str)]
    numbers = [*fds, marks.size, place]
    command = [sys.executable, *options, "-c", START, str(len(path)), *path, *map(str, numbers), marks.path]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # until it takes Ctrl-C without a word
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=fds, env=environment)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class WorkerGroup:
    """The processes of a pool, and what they share; knows nothing of the pool, which can thus be collected."""

    def __init__(self, n: int) -> None:
        self.marks = Segment(8 * MARK * n)
        self._marks = np.frombuffer(self.marks.map(), dtype=np.int64).reshape(n, MARK)
        self._life, self._keep_alive = os.pipe()  # ends when this process does, and all workers with it
        self.constants: weakref.WeakSet[Constant] = weakref.WeakSet()
        self._poll = select.poll()
        self._by_fd: dict[int, WorkerProcess] = {}
        self.environment = dict(os.environ)
        for name in THREADS:
            self.environment.setdefault(name, str(max(1, cores() // n)))
        self.workers: list[WorkerProcess] = []
        try:
            for place in range(n):
                self.start(place)
        except BaseException:
            self.end(0.0)
            raise

    def start(self, place: int) -> None:
        """Begin a worker; `place` is that of its mark."""
        worker = WorkerProcess(place, self._life, self.marks, self.environment)
        self.workers.append(worker)
        for fd in (worker.results, worker.ending):
            self._listen(worker, fd, select.POLLIN)

    def remove(self, worker: WorkerProcess) -> None:
        """Forget a worker, and close its pipes. May be called again."""
        for fd in (worker.tasks, worker.results, worker.ending):
            self._ignore(fd)
        if worker in self.workers:
            self.workers.remove(worker)
        worker.close()

    def flush(self) -> None:
        """Send what was held back; what a full pipe does not take waits until it does."""
        for worker in self.workers:
            worker.flush()
            if worker.unsent:
                self._listen(worker, worker.tasks, select.POLLOUT)
            elif worker.tasks in self._by_fd:
                self._ignore(worker.tasks)

    def ready(self, timeout: float | None, most: float = 0.1) -> list[WorkerProcess]:
        """The workers that have something to say, have ended, or can take more; waits no longer than `most` seconds."""
        seconds = most if timeout is None else min(most, timeout)
        found = {}
        for fd, _ in self._poll.poll(max(0, 1000 * seconds)):
            worker = self._by_fd.get(fd)
            if worker is not None:
                found[id(worker)] = worker
                worker.ended = worker.ended or fd == worker.ending
        return list(found.values())

    def mark(self, place: int) -> int:
        """The number of the task that the worker with this place is at; 0 for none."""
        return int(self._marks[place, 0])

    def clear_mark(self, place: int) -> None:
        self._marks[place] = 0

    def drop(self, worker: WorkerProcess, numbers: list[int]) -> None:
        """Have a worker forget tasks: it begins none but one that it is about to (or more, if its pipe is full)."""
        worker.send_now((DROP, numbers))
        if worker in self.workers:  # and its mark is not that of the one in its place
            self._marks[worker.place, 1] += 1  # it looks for the message before it begins another task

    def end(self, grace: float) -> None:
        """End all processes, and free what they shared."""
        workers = list(self.workers)
        for worker in workers:
            self.remove(worker)
        until = time.monotonic() + grace
        for worker in workers:
            worker.end(until)
        self._close_life()
        for constant in list(self.constants):
            constant.close()
        self.marks.close()

    def leave_to_parent(self) -> None:
        """In a fork: close the pipes, whose end tells the workers that they are not needed, or their parent is gone."""
        for worker in self.workers:
            worker.close()
            worker.process.returncode = 0  # nobody here waits for them
        self._close_life()

    def _close_life(self) -> None:
        fds, self._life, self._keep_alive = [self._life, self._keep_alive], -1, -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)

    def _listen(self, worker: WorkerProcess, fd: int, what: int) -> None:
        if fd >= 0:
            self._by_fd[fd] = worker
            self._poll.register(fd, what)

    def _ignore(self, fd: int) -> None:
        if self._by_fd.pop(fd, None) is not None:
            with contextlib.suppress(KeyError):
                self._poll.unregister(fd)


def end_group(group: WorkerGroup, forked: Callable[[], bool]) -> None:
    """End the processes, unless they are those of the process that this one was forked from."""
    if not forked():
        group.end(GRACE)
