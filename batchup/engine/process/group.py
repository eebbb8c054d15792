"""The processes of a pool: how they are started, written to, read from and ended.

Which task goes to which process is said in `schedule`.
"""

from __future__ import annotations

import collections
import contextlib
import os
import select
import shutil
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
from .protocol import DROP, FREE, MAPPED, MARK, START, Inbox, framed
from .shared_memory import Memory, Segment

__all__ = ["GRACE", "WorkerGroup", "WorkerProcess", "end_group"]

GRACE = 0.5  # seconds that workers have to end their tasks when the pool is closed
PROGRAM = (
    "import sys; n = int(sys.argv[1]); sys.path[:] = sys.argv[2 : 2 + n]; "
    "from batchup.engine.process.worker import main; main(*map(int, sys.argv[2 + n : -1]), sys.argv[-1])"
)
THREADS = (  # how many threads libraries start; PyTorch heeds the first
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)


class WorkerProcess:
    """One worker process, from outside.

    Attributes
    ----------
    answers : dict
        The replies to the tasks that it has, by number, in the order in which these were sent.
    has_started : bool
        Whether it has begun to work.
    killed_by_parent : bool
        Whether this process has killed it, so that no task is to blame.
    ended : bool
        Whether the system says that it has ended.
    maps : dict
        The slots that are mapped here, by number.
    shelf : ndarray or None
        The memory of the slot that its small results are in, one after the other.
    unsent : bytearray
        Messages that wait for the next `flush`, or for room in the pipe.
    tasks, results, ending : int
        Descriptors of the pipe to it, of the pipe from it, and of the process itself; -1 for none.
    """

    def __init__(self, index: int, lifeline: int, marks: Segment, environment: dict[str, str], path: list[str]) -> None:
        self.index = index
        self.answers: dict[int, Any] = {}
        self.has_started = False
        self.killed_by_parent = False
        self.ended = False
        self.maps: dict[int, Memory] = {}
        self._leases: dict[int, weakref.ref[Any]] = {}
        self._on_freed: dict[int, Callable[[Any], None]] = {}
        self._freed: collections.deque[int] = collections.deque()  # slots that are free, which it does not know yet
        self.shelf: Any = None
        self._mapped: list[int] = []  # slots that were mapped, which the worker does not know yet
        self.unsent = bytearray()
        self._held_back = 0  # how many tasks are in `unsent`, to go in one message with others
        self.tasks = self.results = self.ending = -1
        opened: list[int] = []
        try:
            for _ in range(2):
                opened += os.pipe()
            tasks_out, self.tasks, self.results, results_in = opened
            self.inbox = Inbox(self.results)
            os.set_blocking(self.tasks, False)
            os.set_blocking(self.results, False)
            self.process = _start_process([tasks_out, results_in, lifeline], marks, index, environment, path)
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
        """Write what waits, as far as there is room in the pipe."""
        self._held_back = 0
        if self.unsent and self.tasks >= 0:
            try:
                del self.unsent[: os.write(self.tasks, self.unsent)]
            except BlockingIOError:
                pass
            except BrokenPipeError:  # it is dead, and `ready` will say so
                self.unsent.clear()

    def lease(self, slot: int, path: str, size: int) -> Any:
        """A new array over all of a slot, for one result. When it is collected, with its last view, the slot is free.

        Raises
        ------
        OSError
            If the worker is dead and its memory with it, or if the system does not map more.
        """
        if slot not in self.maps:
            self.maps[slot] = Segment.mapped(path, size)
            self._mapped.append(slot)
            freed = self._freed
            self._on_freed[slot] = lambda _: freed.append(slot)
        lease = np.frombuffer(self.maps[slot], dtype=np.uint8)
        self._leases[slot] = weakref.ref(lease, self._on_freed[slot])
        return lease

    def refuse(self, slot: int) -> None:
        """The slot cannot be mapped here. The worker may use it again."""
        self._freed.append(slot)

    def forget(self, slots: list[int]) -> None:
        """The worker has given back these slots."""
        for slot in slots:
            for known in (self.maps, self._leases, self._on_freed):
                known.pop(slot, None)

    def close(self) -> None:
        """Close the pipes. The process ends when it has read to the end of its tasks."""
        fds, self.tasks, self.results, self.ending = [self.tasks, self.results, self.ending], -1, -1, -1
        self.inbox.fd = -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)

    def end(self, until: float) -> int | None:
        """Wait for the process to end, and kill it at `until`. Its exit code."""
        try:
            return self.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def _start_process(
    fds: list[int], marks: Segment, index: int, environment: dict[str, str], path: list[str]
) -> subprocess.Popen[bytes]:
    """A worker process, started by exec: clean, with this interpreter's options and path."""
    # with the path as arguments: nothing is searched for in the working directory, which may be gone
    options = ["-P", *getattr(subprocess, "_args_from_interpreter_flags", list)()]
    numbers = [*fds, marks.size, index]
    command = [python(), *options, "-c", PROGRAM, str(len(path)), *path, *map(str, numbers), marks.path]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # until `worker.main` sets what Ctrl-C does
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=fds, env=environment)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def python() -> str:
    """The interpreter of workers: this one, or that of `multiprocessing.set_executable`.

    Raises
    ------
    RuntimeError
        If there is none.
    """
    chosen: Any = sys.executable
    if "multiprocessing" in sys.modules:
        from multiprocessing import spawn

        chosen = spawn.get_executable() or chosen
    executable = os.fsdecode(chosen) if chosen else ""
    hint = "name one that has the same packages, multiprocessing.set_executable(path), or use threads"
    if executable == (sys.executable or "") and getattr(sys, "frozen", False):
        raise RuntimeError(
            "worker processes need a Python interpreter, and this program is frozen (sys.frozen): its executable would "
            f"start the whole program again; {hint}"
        )
    if not executable or not (os.path.exists(executable) or shutil.which(executable)):
        raise RuntimeError(
            f"worker processes need a Python interpreter, but sys.executable is {chosen!r}, which cannot be run; {hint}"
        )
    return executable


def search_path(folder: str) -> list[str]:
    """`sys.path` with absolute entries: relative ones count from `folder`. If that is empty, they are left out.

    >>> set(map(os.path.isabs, search_path("/")))
    {True}
    """
    entries = [os.path.join(folder, entry) for entry in sys.path if isinstance(entry, str)]
    return [os.path.normpath(entry) for entry in entries if os.path.isabs(entry)]


class WorkerGroup:
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
        self.marks = Segment(8 * MARK * n)
        self._marks = np.frombuffer(self.marks.map(), dtype=np.int64).reshape(n, MARK)
        self._lifeline, self._keep_alive = os.pipe()  # ends when this process does: see `worker.die_with_parent`
        self.constants: weakref.WeakSet[Constant] = weakref.WeakSet([initializer] if initializer else [])
        self._poll = select.poll()
        self._by_fd: dict[int, WorkerProcess] = {}
        self.environment = dict(os.environ)
        for name in THREADS:
            self.environment.setdefault(name, str(max(1, cores() // n)))
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
        """Start a worker; its mark is the one at `index`."""
        worker = WorkerProcess(index, self._lifeline, self.marks, self.environment, search_path(self._folder))
        worker.send_now((START, self.initializer.reference if self.initializer else b""))
        self.workers.append(worker)
        for fd in (worker.results, worker.ending):
            self._listen(worker, fd, select.POLLIN)

    def remove(self, worker: WorkerProcess) -> None:
        """Remove a worker, and close its pipes. May be called again."""
        for fd in (worker.tasks, worker.results, worker.ending):
            self._ignore(fd)
        if worker in self.workers:
            self.workers.remove(worker)
        worker.close()

    def flush(self) -> None:
        """Write what waits; `ready` returns when a full pipe has room again."""
        for worker in self.workers:
            worker.flush()
            if worker.unsent:
                self._listen(worker, worker.tasks, select.POLLOUT)
            elif worker.tasks in self._by_fd:
                self._ignore(worker.tasks)

    def ready(self, timeout: float | None, most: float = 0.1) -> list[WorkerProcess]:
        """The workers that have sent something, have ended, or have room in their pipe. Waits for up to `most` s."""
        seconds = most if timeout is None else min(most, timeout)
        found = {}
        for fd, _ in self._poll.poll(max(0, 1000 * seconds)):
            worker = self._by_fd.get(fd)
            if worker is not None:
                found[id(worker)] = worker
                worker.ended = worker.ended or fd == worker.ending
        return list(found.values())

    def mark(self, index: int) -> int:
        """The number of the task that the worker at `index` runs; 0 for none."""
        return int(self._marks[index, 0])

    def clear_mark(self, index: int) -> None:
        self._marks[index] = 0

    def drop(self, worker: WorkerProcess, numbers: list[int]) -> None:
        """Have a worker drop tasks. It may still run the one that it is about to begin, or more if its pipe is full."""
        worker.send_now((DROP, numbers))
        if worker in self.workers:  # or the mark is that of its successor
            self._marks[worker.index, 1] += 1  # it looks for the message before it begins another task

    def end(self, grace: float) -> None:
        """End all processes, and free what they shared."""
        workers = list(self.workers)
        for worker in workers:
            self.remove(worker)
        until = time.monotonic() + grace
        for worker in workers:
            worker.end(until)
        self._close_lifeline()
        for constant in list(self.constants):
            constant.close()
        self.marks.close()

    def after_fork(self) -> None:
        """In a fork: close the pipes, or workers would not see their end when the parent closes them or is gone."""
        for worker in self.workers:
            worker.close()
            worker.process.returncode = 0  # this process need not wait for them
        self._close_lifeline()

    def _close_lifeline(self) -> None:
        fds, self._lifeline, self._keep_alive = [self._lifeline, self._keep_alive], -1, -1
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
