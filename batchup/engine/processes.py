"""Worker processes: started clean, fed through pipes, replaced when they die.

There is no thread here. Whoever waits for a result reads the pipes for all; each worker has its share of the tasks
beforehand, so the workers go on while nobody waits. A result lies in shared memory of its worker's, is mapped here
without a copy, and the memory goes back to the worker when the last array that lies in it is collected.
"""

from __future__ import annotations

import collections
import json
import mmap
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np

from ..errors import PoolClosedError, SharedMemoryError, WorkerDiedError, WorkerError
from . import share
from .checks import whole
from .pools import Pool, close_at_exit, forked
from .share import Constant
from .worker import CALL, DROP, ERROR, FORGET, FREE, HELLO, TASK, Inbox, framed

__all__ = ["Processes"]

GRACE = 0.5  # seconds that a worker has to end its task when the pool is closed
START = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); import json, sys; "
    "sys.path[:], place = json.loads(sys.argv[1]); from batchup.engine.worker import main; main(*place)"
)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Answer:
    """The reply of a worker process: a `Reply` that reads the pipes while it waits."""

    retried = 0
    seconds = 0.0
    state = "waiting"
    message: tuple[Any, ...] = ()
    lease: Any = None
    value: Any = None
    error: BaseException | None = None
    worker: _Worker | None = None
    exit_codes: tuple[int | None, ...] = ()  # of the workers that this task has cost

    def __init__(self, pool: Processes, task: tuple[int, int, bytes, Any], kept: Any) -> None:
        self.pool = pool
        self.task = task  # as it is sent
        self.number = task[1]
        self.kept = kept  # the constants that the task refers to, until it is done

    def done(self) -> bool:
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
        error = self.exception(timeout)
        if error is not None:
            raise error
        return self.value

    def _open(self) -> None:
        kind, header, spans, buffers = self.message
        lease, self.lease, self.message, self.state, self.kept = self.lease, None, (), "open", None
        pid = self.worker.process.pid if self.worker else 0
        if kind == ERROR:
            self.error = _told_error(*header)
            self.error.add_note(f"in worker pid {pid}")
            return
        try:
            if lease is not None:
                memory = memoryview(lease)
                buffers = [memory[offset : offset + n] for offset, n in spans]
            else:
                buffers = [bytearray(buffer) for buffer in buffers]
            self.value = share.result_loads(header, buffers)
        except Exception as error:
            self.error = WorkerError(f"what came back from worker pid {pid} cannot be loaded here: {error}")
            self.error.__cause__ = error


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
    error.__cause__ = _Remote(text)
    return error


class _Worker:
    """One worker process, from outside."""

    def __init__(self, place: int, life: int, marks: share.Segment, environment: dict[str, str]) -> None:
        self.place = place
        self.answers: dict[int, Answer] = {}  # sent and not come back, in the order of sending
        self.greeted = False
        self.spared = False  # whether it was ended by this process, so that no task is to blame
        self.maps: dict[int, mmap.mmap] = {}
        self.leases: dict[int, weakref.ref[Any]] = {}
        self.when_freed: dict[int, Callable[[Any], None]] = {}
        self.freed: collections.deque[int] = collections.deque()
        self.unsent = bytearray()
        self.held_back = 0  # tasks that are not sent
        tasks_out, self.tasks = os.pipe()
        self.results, results_in = os.pipe()
        self.inbox = Inbox(self.results)
        os.set_blocking(self.tasks, False)
        os.set_blocking(self.results, False)
        inherited = (tasks_out, results_in, life)
        path = [entry or os.getcwd() for entry in sys.path if isinstance(entry, str)]
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", START, json.dumps([path, [*inherited, marks.path, marks.size, place]])],
                stdin=subprocess.DEVNULL,
                pass_fds=inherited,
                env=environment,
            )
        finally:
            os.close(tasks_out)
            os.close(results_in)

    def send(self, message: tuple[Any, ...]) -> None:
        """Put a message on its way. It goes with the next call of `flush`, as far as the pipe takes it then."""
        self.unsent += framed(message)

    def send_now(self, message: tuple[Any, ...]) -> None:
        """Send a message, and all that were held back."""
        self.send(message)
        self.flush()

    def flush(self) -> None:
        self.held_back = 0
        if self.unsent:
            try:
                del self.unsent[: os.write(self.tasks, self.unsent)]
            except BlockingIOError:
                pass
            except BrokenPipeError:  # it is dead, and its other pipe will say so
                self.unsent.clear()

    def submit(self, answer: Answer) -> None:
        answer.worker = self
        self.answers[answer.number] = answer
        if self.freed:
            self.send((FREE, [self.freed.popleft() for _ in range(len(self.freed))]))
        self.send(answer.task)
        self.held_back += 1
        if 4 * self.held_back >= len(self.answers):  # it has enough to do: a few tasks may go in one message
            self.flush()

    def lease(self, slot: int, path: str, size: int, gone: list[int]) -> Any:
        """The memory of a slot, as the one array that all others will be views of; when it goes, the slot is free."""
        for old in gone:
            self.maps.pop(old, None)
            self.leases.pop(old, None)
            self.when_freed.pop(old, None)
        if slot not in self.maps:
            self.maps[slot] = share.Segment.mapped(path, size, writable=True)
            freed = self.freed
            self.when_freed[slot] = lambda _: freed.append(slot)
        lease = np.frombuffer(self.maps[slot], dtype=np.uint8)
        self.leases[slot] = weakref.ref(lease, self.when_freed[slot])
        return lease

    def close(self) -> None:
        """Close the pipes. The process sees the end of its tasks, and ends."""
        if self.tasks >= 0:
            os.close(self.tasks)
            os.close(self.results)
            self.tasks = self.results = -1

    def end(self, until: float) -> int | None:
        """Wait for the process to end, kill it at `until`; how it ended."""
        try:
            return self.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Processes(Pool):
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
        On Windows: there `Threads` are what there is.

    Examples
    --------
    >>> with Processes(2) as pool:
    ...     pool.submit(lambda x: x + 1, 2).result()
    3
    """

    apart = True

    def __init__(self, workers: int, retries: int = 2) -> None:
        if os.name != "posix":
            raise NotImplementedError("worker processes need a POSIX system (Linux, macOS); use threads here")
        self.workers = whole("workers", workers)
        self.retries = whole("retries", retries, least=0)
        self._gang = _Gang(self.workers)
        self._forked = forked()
        self._lock = threading.RLock()
        self._turn = threading.Condition(self._lock)  # notified when results have come, or nobody reads any more
        self._reader: int | None = None  # the thread that reads the pipes, while one does
        self._waiting: dict[int, Answer] = {}
        self._disordered = False
        self._closed = False
        self._numbers = iter(range(1, 1 << 62))
        self._failed_starts = self._restarts = 0
        self._forgotten: collections.deque[int] = collections.deque()
        self._end = weakref.finalize(self, _end_gang, self._gang, self._forked)
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
        self._gang.constants.add(constant)
        weakref.finalize(constant, self._forgotten.append, constant.serial).atexit = False
        weakref.finalize(constant, constant.segment.close).atexit = False
        return constant

    def submit(self, fn: Callable[..., Any] | Constant, /, *args: Any, **kwargs: Any) -> Answer:
        kind, function = (TASK, fn.reference) if isinstance(fn, Constant) else (CALL, share.inline(fn))
        task = kind, next(self._numbers), function, share.arguments_dumps(args, kwargs)
        answer = Answer(self, task, (fn, args, kwargs))
        with self._lock:
            self._should_be_open()
            self._safely(self._begin, answer)
        return answer

    def stats(self) -> dict[str, int]:
        with self._lock:
            sizes = [len(memory) for worker in self._gang.workers for memory in worker.maps.values()]
            constants = sum(constant.nbytes for constant in self._gang.constants)
            return {
                "workers": self.workers,
                "restarts": self._restarts,
                "slots": len(sizes),
                "shared_bytes": sum(sizes) + constants,
            }

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
            for answer in self._waiting.values():
                _fail(answer, PoolClosedError("the pool was closed before this task was done"))
            self._waiting.clear()
            self._turn.notify_all()
            self._closed = True
            self._end()

    def _should_be_open(self) -> None:
        if self._forked():
            raise PoolClosedError("the pool is of another process, of which this one is a fork; make one here")
        if self._closed:
            raise PoolClosedError("the pool is closed")

    def _safely(self, act: Callable[..., None], *args: Any) -> None:
        """Do what must not be left half done: if it is (by Ctrl-C), all workers begin anew."""
        if self._disordered:
            for worker in list(self._gang.workers):
                worker.process.kill()
                worker.end(time.monotonic() + GRACE)
                self._gang.remove(worker)
            for place in range(self.workers):
                self._gang.clear_mark(place)
                self._gang.start(place)
            for answer in sorted(self._waiting.values(), key=lambda answer: answer.number):
                self._assign(answer)
            self._disordered = False
        self._disordered = True
        act(*args)
        self._disordered = False

    def _begin(self, answer: Answer) -> None:
        if self._forgotten:
            serials = [self._forgotten.popleft() for _ in range(len(self._forgotten))]
            for worker in self._gang.workers:
                worker.send_now((FORGET, serials))
        self._waiting[answer.number] = answer
        self._assign(answer)

    def _assign(self, answer: Answer) -> None:
        """Give a task to the worker that has the fewest."""
        workers = self._gang.workers
        if workers:
            min(workers, key=_load).submit(answer)
        else:
            self._finish(answer, WorkerDiedError("there is no worker process left, and none can be started"))

    def _finish(self, answer: Answer, error: BaseException) -> None:
        self._waiting.pop(answer.number, None)
        _fail(answer, error)

    def _forgo(self, answer: Answer) -> bool:
        if self._forked():
            return False
        with self._lock:
            if answer.done():
                return False
            self._finish(answer, PoolClosedError("the task was cancelled"))
            worker = answer.worker
            if worker is not None and worker.answers.pop(answer.number, None) is not None and not self._closed:
                self._safely(worker.send_now, (DROP, [answer.number]))
            return True

    def _wait_for(self, answer: Answer, timeout: float | None) -> None:
        """Read the pipes, or wait for the thread that does, until the answer is there."""
        until = None if timeout is None else time.monotonic() + timeout
        me = threading.get_ident()
        while not answer.done():
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            if self._forked():
                self._should_be_open()
            reading = False
            try:
                with self._lock:
                    if answer.done():
                        return
                    if self._reader not in (None, me):
                        self._turn.wait(1.0 if left is None else min(left, 1.0))
                        continue
                    reading = True
                    self._reader = me
                    if not self._closed:
                        self._safely(self._gang.flush)
                ready = self._gang.ready(left)
                with self._lock:
                    if not self._closed:
                        self._safely(self._take_in, ready)
            finally:
                if reading:
                    with self._lock:
                        self._reader = None
                        self._turn.notify_all()

    def _take_in(self, ready: list[_Worker]) -> None:
        for worker in ready:
            if worker.results < 0:  # replaced meanwhile
                continue
            worker.flush()
            for message in worker.inbox.read():
                self._arrived(worker, *message)
            if worker.inbox.ended:
                self._replace(worker)

    def _arrived(
        self, worker: _Worker, number: int, seconds: float, kind: int, header: Any, spans: Any, slot: Any
    ) -> None:
        if kind == HELLO and number == 0:
            worker.greeted = True
            self._failed_starts = 0
            return
        lease = None
        if isinstance(slot, tuple):
            try:
                lease, slot = worker.lease(*slot), ()
            except OSError as error:
                if worker.process.poll() is not None:  # it died, and the memory with it: the task is done again
                    return
                worker.freed.append(slot[0])
                if worker.answers.pop(number, None) is not None:
                    why = f"{slot[2]} bytes that came back cannot be mapped: {error}"
                    self._finish(self._waiting[number], SharedMemoryError(why))
                return
        answer = worker.answers.pop(number, None)
        if answer is not None:
            self._waiting.pop(number, None)
            answer.seconds = seconds
            answer.message, answer.lease, answer.state = (kind, header, spans, slot), lease, "arrived"

    def _replace(self, dead: _Worker) -> None:
        """Start another worker in place of one that died, and have all that it had done again."""
        gang = self._gang
        code = dead.end(time.monotonic() + GRACE)
        at_work_on = dead.answers.get(gang.mark(dead.place))
        gang.clear_mark(dead.place)
        gang.remove(dead)
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
        gang.start(dead.place)
        self._restarts += 1
        for answer in dead.answers.values():
            answer.retried += 1
            self._assign(answer)


def _load(worker: _Worker) -> int:
    return len(worker.answers)


def _fail(answer: Answer, error: BaseException) -> None:
    answer.error, answer.state, answer.lease, answer.kept = error, "open", None, None


def _died(answer: Answer) -> WorkerDiedError:
    attempts = len(answer.exit_codes)
    codes = ", ".join(map(str, answer.exit_codes))
    error = WorkerDiedError(
        f"{attempts} worker processes in a row died at this task (exit codes {codes}; -9 is often the system's answer "
        "to too little memory)"
    )
    error.attempts, error.exit_codes = attempts, answer.exit_codes
    return error


class _Gang:
    """The processes of a pool, and what they share; knows nothing of the pool, which can thus be collected."""

    def __init__(self, n: int) -> None:
        self.marks = share.Segment(8 * n)
        self._marks = np.frombuffer(self.marks.map(), dtype=np.int64)
        self.life, self._keep_alive = os.pipe()  # ends when this process does, and all workers with it
        self.constants: weakref.WeakSet[Constant] = weakref.WeakSet()
        self.poll = select.poll()
        self.by_fd: dict[int, _Worker] = {}
        self.environment = dict(os.environ)
        for name in THREADS:
            self.environment.setdefault(name, str(max(1, joblib.cpu_count() // n)))
        self.workers: list[_Worker] = []
        try:
            for place in range(n):
                self.start(place)
        except BaseException:
            self.end(0.0)
            raise

    def start(self, place: int) -> None:
        worker = _Worker(place, self.life, self.marks, self.environment)
        self.workers.append(worker)
        self.by_fd[worker.results] = worker
        self.poll.register(worker.results, select.POLLIN)

    def remove(self, worker: _Worker) -> None:
        self.poll.unregister(worker.results)
        del self.by_fd[worker.results]
        self.workers.remove(worker)
        worker.close()

    def flush(self) -> None:
        """Send what was held back."""
        for worker in self.workers:
            worker.flush()

    def ready(self, timeout: float | None) -> list[_Worker]:
        """The workers that have something to say, or whose pipe was full; waits for `timeout`, or a second at most."""
        stuck = [worker for worker in self.workers if worker.unsent]
        most = 10.0 if stuck else 1000.0
        events = self.poll.poll(most if timeout is None else min(most, 1000 * timeout + 1))
        return [worker for worker in (self.by_fd.get(fd) for fd, _ in events) if worker is not None] or stuck

    def mark(self, place: int) -> int:
        return int(self._marks[place])

    def clear_mark(self, place: int) -> None:
        self._marks[place] = 0

    def end(self, grace: float) -> None:
        workers = list(self.workers)
        for worker in workers:
            self.remove(worker)
        until = time.monotonic() + grace
        for worker in workers:
            worker.end(until)
        for fd in (self.life, self._keep_alive):
            os.close(fd)
        for constant in list(self.constants):
            constant.close()
        self.marks.close()


def _end_gang(gang: _Gang, forked: Callable[[], bool]) -> None:
    if not forked():
        gang.end(GRACE)
    else:  # they are the parent's; here, nobody waits for them
        for worker in gang.workers:
            worker.process.returncode = 0
