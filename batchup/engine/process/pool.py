"""`ProcessPool`: worker processes that start clean, get tasks through pipes, and are replaced when they die.

A thread that waits for a result reads the results for all threads. Tasks are given to the workers in advance, so that
they continue while no thread waits. On Linux there is no background thread in the parent (`mapped`); elsewhere threads
read and write the pipes (`portable`).

This module has the methods of the pool, and the waiting. `group` has the processes, `schedule` says which worker gets a
task, `results` what comes back, `restarts` what happens when a worker dies, and `interruption` what happens after
Ctrl-C.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from ...errors import PoolClosedError
from ..checks import whole
from ..forks import forked
from ..pools import Pool, close_at_exit
from . import pickling
from .constants import Constant, constants_met
from .failures import name_of
from .group import WorkerGroup, WorkerProcess, end_group
from .interruption import Bookkeeping
from .platforms import is_portable
from .protocol import CALL, GONE, HELLO, KIND, TASK, framed
from .restarts import Restarts
from .results import Answer, Results
from .schedule import Schedule
from .surroundings import surroundings

__all__ = ["ProcessPool"]


class ProcessPool(Pool):
    """Worker processes.

    Parameters
    ----------
    workers : int
        How many, at least 1.
    retries : int, default 2
        How often a task is retried by another worker after its worker died.
    initializer : callable, optional
        Each worker calls ``initializer(*initargs)`` when it starts. If it raises an error, each task gets that.
    initargs : sequence

    Examples
    --------
    >>> with ProcessPool(2) as pool:
    ...     pool.submit(lambda x: x + 1, 2).result()
    3
    """

    isolated = True

    def __init__(
        self,
        workers: int,
        retries: int = 2,
        initializer: Callable[..., object] | None = None,
        initargs: Sequence[Any] = (),
    ) -> None:
        self.workers = whole("workers", workers)
        self.retries = whole("retries", retries, least=0)
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer should be a function, not {initializer!r}")
        self._is_portable = is_portable()
        first = Constant((initializer, tuple(initargs)), self._is_portable) if initializer else None
        self._group = _group_of(self._is_portable, self.workers, first)
        self._schedule = Schedule(self._group)
        self._results = Results(self._schedule.waiting)
        self._restarts = Restarts(self._schedule, self.workers, self.retries, name_of(initializer))
        self._bookkeeping = Bookkeeping(self._schedule.start_over)
        self._forked = forked()
        self._lock = threading.RLock()
        self._turn = threading.Condition(self._lock)  # notified when results have come, or nobody reads any more
        self._reader: int | None = None  # the thread that reads the pipes, while one does
        self._closed = False
        self._numbers = iter(range(1, 1 << 62))
        self._end = weakref.finalize(self, end_group, self._group, self._forked)
        close_at_exit(self)

    def share(self, obj: Any, last: Constant | None = None) -> Constant:
        """A reference to `obj` for use among the arguments of tasks: its arrays are copied to shared memory once.

        The copy is freed when the returned object is collected, or the pool is closed. `last`, from an earlier call, is
        returned again if `obj` has not changed since.
        """
        self._should_be_open()
        if last is not None and last.holds(obj):
            return last
        constant = Constant(obj, self._is_portable)
        with self._lock:  # `stats` iterates over them
            self._group.constants.add(constant)
        weakref.finalize(constant, self._schedule.unused_constants.append, constant.serial).atexit = False
        return constant

    def submit(self, fn: Callable[..., Any] | Constant, /, *args: Any, **kwargs: Any) -> Answer:
        number = next(self._numbers)
        shared = fn if isinstance(fn, Constant) else None
        constants: Sequence[Constant] = ()
        if self._is_portable:
            with constants_met() as met:
                frame = _frame(number, fn, args, kwargs)
            constants = met if shared is None else [shared, *met]
        else:
            frame = _frame(number, fn, args, kwargs)
        answer = Answer(self, number, frame, shared, (fn, args, kwargs), constants)
        with self._lock:
            self._should_be_open()
            self._bookkeeping.run(self._schedule.add, answer)
        return answer

    def stats(self) -> dict[str, int]:
        with self._lock:
            sizes = [len(memory) for worker in self._group.workers for memory in worker.maps.values()]
            constants = sum(constant.nbytes for constant in self._group.constants)
            return {
                "workers": self.workers,
                "restarts": self._restarts.count,
                "slots": len(sizes),
                "shared_bytes": sum(sizes) + constants,
            }

    def warning(self) -> str:
        results = self._results
        if not results.shortage:
            return ""
        why, results.shortage, results.warned = results.shortage, "", True
        return (
            f"there is no shared memory for the results of worker processes ({why}), so they come through pipes, which "
            "takes longer; keep fewer batches, use a smaller batch_buffer_size, or give the program more memory"
        )

    def give_up(self, answer: Any) -> None:
        """The task is not needed any more. If a worker runs it, that worker is replaced."""
        if self._forked():
            return
        with self._lock:
            worker = answer.worker
            if self.forgo(answer) and worker is not None:
                worker.killed_by_parent = True
                worker.process.kill()

    @property
    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        if self._forked():
            return
        with self._lock:
            for answer in list(self._schedule.waiting.values()):
                if answer.state == "waiting":
                    answer.fail(PoolClosedError("the pool was closed before this task was done"))
            self.close_quietly()

    def close_quietly(self) -> None:
        if self._forked():
            return
        with self._lock:
            self._schedule.waiting.clear()
            self._turn.notify_all()
            self._closed = True
            self._end()

    def after_fork(self) -> None:
        self._lock = threading.RLock()  # a thread that is not here may have held the other
        self._turn = threading.Condition(self._lock)
        self._group.after_fork()

    def forgo(self, answer: Answer) -> bool:
        """Cancel a task, unless it has ended. May be called at any time, also by the garbage collector: in the middle
        of the bookkeeping it only leaves a note."""
        if self._forked():
            return False
        with self._lock:
            if answer.state != "waiting":
                return False
            answer.fail(PoolClosedError("the task was cancelled"))
            self._schedule.cancelled.append(answer)
            if not self._bookkeeping.is_running and not self._closed:
                self._bookkeeping.run(self._schedule.drop_cancelled)
            return True

    def glance(self) -> None:
        """Read what has come, without waiting."""
        if self._forked():
            return
        with self._lock:
            if self._reader is None and not self._closed and not self._bookkeeping.is_running:
                self._bookkeeping.run(self._group.flush)
                self._bookkeeping.run(self._read, self._group.ready(0.0))

    def wait_for(self, answer: Answer, timeout: float | None) -> None:
        """Read the pipes, or wait for the thread that does, until the answer is there."""
        until = None if timeout is None else time.monotonic() + timeout
        me = threading.get_ident()
        while answer.state == "waiting":
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            if self._forked():
                self._should_be_open()
            reading = False
            try:
                with self._lock:
                    if answer.state != "waiting":
                        return
                    if self._reader not in (None, me):
                        self._turn.wait(0.1 if left is None else min(left, 0.1))
                        continue
                    reading = True
                    self._reader = me
                    if not self._closed:
                        self._bookkeeping.run(self._group.flush)
                ready = self._group.ready(left)
                with self._lock:
                    if not self._closed:
                        self._bookkeeping.run(self._read, ready)
            finally:
                if reading:
                    with self._lock:
                        self._reader = None
                        self._turn.notify_all()

    def _should_be_open(self) -> None:
        if self._forked():
            raise PoolClosedError("the pool is of another process, of which this one is a fork; make one here")
        if self._closed:
            raise PoolClosedError("the pool is closed")

    def _read(self, ready: list[WorkerProcess]) -> None:
        """Read the messages of these workers, and replace those that have ended."""
        self._schedule.drop_cancelled()
        for worker in ready:
            if worker.is_closed:  # replaced meanwhile
                continue
            while True:
                for message in worker.read():
                    kind = message[KIND]
                    if kind == HELLO:
                        self._restarts.note_start(worker)
                    elif kind == GONE:
                        worker.forget(message[KIND + 1])
                    else:
                        self._results.take(worker, *message)
                if not worker.has_more():
                    break
            if worker.has_ended():
                self._restarts.replace(worker)


def _frame(number: int, fn: Callable[..., Any] | Constant, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """A task, as it is sent."""
    kind, function = (TASK, fn.reference) if isinstance(fn, Constant) else (CALL, pickling.inline(fn))
    try:
        return framed((kind, number, function, pickling.arguments_dumps(args, kwargs), surroundings(), False))
    except ValueError as error:  # marshal's own limit
        raise ValueError("the arguments of a task should be below 2 GiB; share() what is large") from error


def _group_of(portable: bool, n: int, initializer: Constant | None) -> WorkerGroup:
    """The processes: for Linux, or for all systems."""
    if portable:
        from .portable import PortableGroup

        return PortableGroup(n, initializer)
    from .mapped import MappedGroup  # not imported where it cannot be used

    return MappedGroup(n, initializer)
