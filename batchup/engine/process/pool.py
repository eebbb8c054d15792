"""Worker processes: started clean, fed through pipes, replaced when they die.

There is no thread here. Whoever waits for a result reads the pipes for all; each worker has its share of the tasks
beforehand, so the workers go on while nobody waits. A result lies in shared memory of its worker's, is mapped here
without a copy, and the memory goes back to the worker when the last array that lies in it is collected.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import os
import pickle
import signal
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from ...errors import PoolClosedError, WorkerDiedError, WorkerError, noted
from ..checks import whole
from ..pools import Pool, close_at_exit, forked
from . import pickling
from .constants import Constant
from .group import GRACE, WorkerGroup, WorkerProcess, end_group
from .protocol import CALL, ERROR, FORGET, GONE, HELLO, IN_SLOT, ON_SHELF, TASK, framed, piped

__all__ = ["ProcessPool"]

QUICK = 0.0002  # seconds; tasks that take less go several together
SHORT = (errno.ENOMEM, errno.EMFILE, errno.ENFILE)


class Answer:
    """The reply of a worker process: a `Reply` that reads the pipes while it waits."""

    retried = 0
    seconds = 0.0
    state = "waiting"
    message: tuple[Any, ...] = ()
    lease: Any = None
    value: Any = None
    error: BaseException | None = None
    worker: WorkerProcess | None = None
    exit_codes: tuple[int | None, ...] = ()  # of the workers that this task has cost

    def __init__(self, pool: ProcessPool, number: int, frame: bytes, kept: Any) -> None:
        self.pool = pool
        self.number = number
        self.frame = frame  # the task, as it is sent
        self.kept = kept  # the constants that the task refers to, until it is done

    def done(self) -> bool:
        if self.state == "waiting":
            self.pool._glance()
        return self.state != "waiting"

    def cancel(self) -> bool:
        return self.pool._forgo(self)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        if self.state == "waiting":
            self.pool._wait_for(self, timeout)
        if self.state == "arrived":
            self._open()
        return self.error

    def result(self, timeout: float | None = None) -> Any:
        error = self.error if self.state == "open" else self.exception(timeout)
        if error is not None:
            raise error
        return self.value

    def _open(self) -> None:
        kind, header, where = self.message
        pid = self.worker.process.pid if self.worker else 0
        value: Any = None
        failed: BaseException | None = None
        try:
            if kind == ERROR:
                failed = noted(_told_error(*header), f"in worker pid {pid}")
            elif self.lease is not None:
                value = pickling.result_in(self.lease, header, where)
            else:
                value = pickling.result_loads(header, [bytearray(buffer) for buffer in where])
        except Exception as error:
            failed = WorkerError(f"what came back from worker pid {pid} cannot be loaded here: {error}")
            failed.__cause__ = error
        # all at once and last: if Ctrl-C comes before, it is opened again
        self.value, self.error, self.lease, self.message, self.kept, self.state = value, failed, None, (), None, "open"


class _Remote(Exception):
    """Carries the traceback of a worker as the cause of the error that it belongs to."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def _told_error(pickled: bytes, type_name: str, message: str, text: str) -> Exception:
    """The error of a worker as itself, or as a `WorkerError` where that cannot be had."""
    try:
        error = pickle.loads(pickled) if pickled else None
    except Exception:
        error = None
    if not isinstance(error, Exception) or isinstance(error, StopIteration):
        error = WorkerError(f"{type_name}: {message}")
        error.type_name, error.remote_traceback = type_name, text
    with contextlib.suppress(Exception):  # a frozen one stays as it is
        error.__cause__ = _Remote(text)
    return error


class ProcessPool(Pool):
    """Worker processes.

    Parameters
    ----------
    workers : int
        How many, at least 1.
    retries : int, default 2
        How often a task is given to another worker after the one that had it died.

    Raises
    ------
    NotImplementedError
        On Windows, where only `ThreadPool` can be had.

    Examples
    --------
    >>> with ProcessPool(2) as pool:
    ...     pool.submit(lambda x: x + 1, 2).result()
    3
    """

    isolated = True

    def __init__(self, workers: int, retries: int = 2) -> None:
        if os.name != "posix":
            raise NotImplementedError("worker processes need a POSIX system (Linux, macOS); use threads here")
        self.workers = whole("workers", workers)
        self.retries = whole("retries", retries, least=0)
        self._group = WorkerGroup(self.workers)
        self._forked = forked()
        self._lock = threading.RLock()
        self._turn = threading.Condition(self._lock)  # notified when results have come, or nobody reads any more
        self._reader: int | None = None  # the thread that reads the pipes, while one does
        self._waiting: dict[int, Answer] = {}
        self._disordered = self._acting = False
        self._dropped: collections.deque[Answer] = collections.deque()
        self._closed = False
        self._numbers = iter(range(1, 1 << 62))
        self._failed_starts = self._restarts = 0
        self._short = ""  # why there is no shared memory for results, until the user is told
        self._told = False
        self._forgotten: collections.deque[int] = collections.deque()
        self._end = weakref.finalize(self, end_group, self._group, self._forked)
        close_at_exit(self)

    def share(self, obj: Any, last: Constant | None = None) -> Constant:
        """What stands for `obj` among the arguments of tasks: its arrays are copied to shared memory once.

        Freed when the returned object is collected, or the pool is closed. `last`, from an earlier call, is given
        again if `obj` has not changed since.
        """
        self._should_be_open()
        if last is not None and last.holds(obj):
            return last
        constant = Constant(obj)
        with self._lock:  # `stats` goes through them
            self._group.constants.add(constant)
        weakref.finalize(constant, self._forgotten.append, constant.serial).atexit = False
        return constant

    def submit(self, fn: Callable[..., Any] | Constant, /, *args: Any, **kwargs: Any) -> Answer:
        kind, function = (TASK, fn.reference) if isinstance(fn, Constant) else (CALL, pickling.inline(fn))
        number = next(self._numbers)
        try:
            frame = framed((kind, number, function, pickling.arguments_dumps(args, kwargs), False))
        except ValueError as error:  # marshal's own limit
            raise ValueError("the arguments of a task should be below 2 GiB; share() what is large") from error
        answer = Answer(self, number, frame, (fn, args, kwargs))
        with self._lock:
            self._should_be_open()
            self._safely(self._begin, answer)
        return answer

    def stats(self) -> dict[str, int]:
        with self._lock:
            sizes = [len(memory) for worker in self._group.workers for memory in worker.maps.values()]
            constants = sum(constant.nbytes for constant in self._group.constants)
            return {
                "workers": self.workers,
                "restarts": self._restarts,
                "slots": len(sizes),
                "shared_bytes": sum(sizes) + constants,
            }

    def warning(self) -> str:
        if not self._short:
            return ""
        why, self._short, self._told = self._short, "", True
        return (
            f"there is no shared memory for the results of worker processes ({why}), so they come through pipes, which "
            "takes longer; keep fewer batches, use a smaller batch_buffer_size, or give the program more memory"
        )

    def give_up(self, answer: Any) -> None:
        """Nobody waits for it any longer: if it is with a worker, that worker is replaced."""
        if self._forked():
            return
        with self._lock:
            worker = answer.worker
            if self._forgo(answer) and worker is not None:
                worker.spared = True
                worker.process.kill()

    def close(self) -> None:
        if self._forked():
            return
        with self._lock:
            for answer in list(self._waiting.values()):
                if answer.state == "waiting":
                    _fail(answer, PoolClosedError("the pool was closed before this task was done"))
            self.leave()

    def leave(self) -> None:
        """Close without a word: whoever waits goes on waiting, as at the end of the program."""
        if self._forked():
            return
        with self._lock:
            self._waiting.clear()
            self._turn.notify_all()
            self._closed = True
            self._end()

    def leave_to_parent(self) -> None:
        self._lock = threading.RLock()  # a thread that is not here may have held the other
        self._turn = threading.Condition(self._lock)
        self._group.leave_to_parent()

    def _should_be_open(self) -> None:
        if self._forked():
            raise PoolClosedError("the pool is of another process, of which this one is a fork; make one here")
        if self._closed:
            raise PoolClosedError("the pool is closed")

    def _safely(self, act: Callable[..., None], *args: Any) -> None:
        """Do what must not be left half done: if it is (by Ctrl-C), all workers begin anew."""
        disordered = self._disordered
        self._disordered = self._acting = True
        try:
            if disordered:
                self._begin_anew()
            act(*args)
        finally:
            self._acting = False
        self._disordered = False

    def _begin_anew(self) -> None:
        for worker in list(self._group.workers):
            worker.process.kill()
            worker.end(time.monotonic() + GRACE)
            self._group.remove(worker)
        for place in range(self.workers):
            self._group.clear_mark(place)
            self._group.start(place)
        self._waiting = {number: each for number, each in sorted(self._waiting.items()) if each.state == "waiting"}
        for answer in list(self._waiting.values()):
            self._assign(answer)

    def _begin(self, answer: Answer) -> None:
        if self._forgotten:
            serials = [self._forgotten.popleft() for _ in range(len(self._forgotten))]
            for worker in self._group.workers:
                worker.send_now((FORGET, serials))
        if self._dropped:
            self._drop()
        self._waiting[answer.number] = answer
        self._assign(answer)

    def _drop(self) -> None:
        """Have workers forget the tasks that nobody waits for."""
        while self._dropped:
            answer = self._dropped.popleft()
            self._waiting.pop(answer.number, None)
            if answer.worker is not None and answer.worker.answers.pop(answer.number, None) is not None:
                self._group.drop(answer.worker, [answer.number])

    def _assign(self, answer: Answer) -> None:
        """Give a task to the worker that has the fewest."""
        workers = self._group.workers
        if workers:
            loads = [len(worker.answers) for worker in workers]
            worker = answer.worker = workers[loads.index(min(loads))]
            worker.answers[answer.number] = answer
            function = _shared_function(answer)
            worker.send_task(answer.frame, function is not None and function.seconds < QUICK)
        else:
            self._finish(answer, WorkerDiedError("there is no worker process left, and none can be started"))

    def _finish(self, answer: Answer | None, error: BaseException) -> None:
        if answer is not None:
            _fail(answer, error)
            self._waiting.pop(answer.number, None)

    def _forgo(self, answer: Answer) -> bool:
        """Called by anybody at any time, the garbage collector included: then it only leaves word."""
        if self._forked():
            return False
        with self._lock:
            if answer.state != "waiting":
                return False
            _fail(answer, PoolClosedError("the task was cancelled"))
            self._dropped.append(answer)
            if not self._acting and not self._closed:
                self._safely(self._drop)
            return True

    def _glance(self) -> None:
        """Read what has come, without waiting."""
        if self._forked():
            return
        with self._lock:
            if self._reader is None and not self._closed and not self._acting:
                self._safely(self._group.flush)
                self._safely(self._take_in, self._group.ready(0.0))

    def _wait_for(self, answer: Answer, timeout: float | None) -> None:
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
                        self._safely(self._group.flush)
                ready = self._group.ready(left)
                with self._lock:
                    if not self._closed:
                        self._safely(self._take_in, ready)
            finally:
                if reading:
                    with self._lock:
                        self._reader = None
                        self._turn.notify_all()

    def _take_in(self, ready: list[WorkerProcess]) -> None:
        self._drop()
        for worker in ready:
            if worker.results < 0:  # replaced meanwhile
                continue
            while True:
                for message in worker.inbox.read():
                    self._arrived(worker, *message)
                if worker.inbox.ended or not worker.ended or worker.inbox.dry:
                    break
            if worker.inbox.ended or worker.ended:
                self._replace(worker)

    def _arrived(
        self, worker: WorkerProcess, number: int, seconds: float, kind: int, header: Any, where: Any, more: Any
    ) -> None:
        if kind == HELLO:
            worker.greeted = True
            self._failed_starts = 0
            return
        if kind == GONE:
            worker.forget(header)
            return
        lease = None
        if kind >= IN_SLOT:
            lease = self._lease(worker, kind, more)
            if lease is None:  # it is done again: by another worker, if this one is dying and its memory is gone
                if number in worker.answers:
                    worker.send_task(piped(worker.answers[number].frame), False)
                return
        elif more:
            self._say_short(more)
        answer = worker.answers.pop(number, None)
        if answer is not None and answer.state == "waiting":
            answer.seconds = seconds
            function = _shared_function(answer)
            if function is not None:
                function.seconds = seconds
            answer.message, answer.lease, answer.state = (kind, header, where), lease, "arrived"
        self._waiting.pop(number, None)  # last: what Ctrl-C finds there is done again

    def _lease(self, worker: WorkerProcess, kind: int, slot: tuple[int, str, int] | None) -> Any:
        """The memory of a result, or None if it cannot be mapped."""
        if slot is None:
            return worker.shelf
        if kind == ON_SHELF:
            worker.shelf = None  # whatever comes of it, the next results are not in the last one
        try:
            lease = worker.lease(*slot)
        except OSError as error:
            worker.refuse(slot[0])
            if error.errno in SHORT:
                self._say_short(f"{slot[2]} bytes cannot be mapped: {error}")
            return None
        if kind == ON_SHELF:
            worker.shelf = lease
        return lease

    def _say_short(self, why: str) -> None:
        if not self._told:
            self._short = why

    def _replace(self, dead: WorkerProcess) -> None:
        """Start another worker in place of one that died, and have all that it had done again."""
        group = self._group
        code = dead.end(time.monotonic() + GRACE)
        at_work_on = dead.answers.get(group.mark(dead.place))
        group.clear_mark(dead.place)
        group.remove(dead)
        if not dead.greeted and not dead.spared:
            self._failed_starts += 1
        if at_work_on is not None and not dead.spared and code != -signal.SIGINT:  # Ctrl-C is no fault of the data
            at_work_on.exit_codes += (code,)
            if len(at_work_on.exit_codes) > self.retries:
                self._finish(dead.answers.pop(at_work_on.number), _died(at_work_on))
        if self._failed_starts > 2 * self.workers:
            for answer in dead.answers.values():
                why = f"worker processes end before they begin to work, with exit code {code}"
                self._finish(answer, WorkerDiedError(why))
            dead.answers = {}
            self._failed_starts = 0
        group.start(dead.place)
        self._restarts += 1
        for answer in dead.answers.values():
            if answer.state == "waiting":
                answer.retried += 1
                self._assign(answer)


def _shared_function(answer: Answer) -> Constant | None:
    kept = answer.kept  # read once: the collector may cancel the task at any time
    return kept[0] if kept is not None and isinstance(kept[0], Constant) else None


def _fail(answer: Answer, error: BaseException) -> None:
    answer.error, answer.state, answer.lease, answer.kept = error, "open", None, None


OFTEN = {
    -9: "; -9 is often the system's answer to too little memory",
    -11: "; -11 is that of code in C, often where it writes into a tensor that shares the memory of an array of the "
    "source, which is read-only here: make a copy first",
}


def _died(answer: Answer) -> WorkerDiedError:
    attempts = len(answer.exit_codes)
    codes = ", ".join(map(str, answer.exit_codes))
    hints = "".join(hint for code, hint in OFTEN.items() if code in answer.exit_codes)
    error = WorkerDiedError(f"{attempts} worker processes in a row died at this task (exit codes {codes}{hints})")
    error.attempts, error.exit_codes = attempts, answer.exit_codes
    return error
