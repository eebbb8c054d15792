"""Where work is done: at once (`SerialPool`), in threads (`ThreadPool`), or in processes (`ProcessPool`).

One seam, three verbs: ``submit(fn, *args, **kwargs)`` gives a `Reply`, ``share(obj)`` gives what stands for a large
object among the arguments, ``close()`` ends everything.
"""

from __future__ import annotations

import abc
import atexit
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, NoReturn, Protocol

from ..errors import PoolClosedError
from .checks import whole
from .closing import Closing

__all__ = ["Pool", "Reply", "SerialPool", "ThreadPool", "cores"]


def cores() -> int:
    """How many cores there are for this process."""
    import joblib  # which knows about containers and affinities

    return int(joblib.cpu_count())


class Reply(Protocol):
    """What became of a submitted task, or will. `concurrent.futures.Future` is one."""

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the end of the task: the error that it raised, or None.

        Raises
        ------
        TimeoutError
            After `timeout` seconds.
        """

    def result(self, timeout: float | None = None) -> Any:
        """What the task returned; raises what it raised."""

    def done(self) -> bool:
        """Whether it has ended."""

    def cancel(self) -> bool:
        """Do not begin it, if it has not begun; nobody will ask for the result."""


class Pool(Closing, abc.ABC):
    """Workers, and the three verbs for them. A context manager: the end of ``with`` closes it.

    Attributes
    ----------
    workers : int
        How many there are.
    """

    workers: int
    isolated = False  # whether workers have global variables of their own, `numpy.random` among them

    @abc.abstractmethod
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Reply:
        """Have ``fn(*args, **kwargs)`` done.

        Raises
        ------
        PoolClosedError
            After `close`.
        """

    def share(self, obj: Any, last: Any = None) -> Any:
        """What stands for `obj` as a function or among the arguments of `submit`, so that it is sent once.

        `last` is what an earlier call gave: it is given again if nothing has changed.
        """
        return obj

    def stats(self) -> dict[str, int]:
        """How many ``workers``, ``restarts``, ``slots`` and ``shared_bytes`` there are."""
        return {"workers": self.workers, "restarts": 0, "slots": 0, "shared_bytes": 0}

    def warning(self) -> str:
        """What the consumer should be warned of, once; mostly nothing."""
        return ""

    def give_up(self, reply: Reply) -> None:
        """Nobody waits for `reply` any longer, although it may be under way."""
        reply.cancel()

    def leave(self) -> None:
        """Close at the end of the program: whoever still waits, in a thread that is a daemon, is told nothing."""
        self.close()

    def leave_to_parent(self) -> None:  # noqa: B027 - most have nothing
        """In a fork of the process that it is of: let go of what is the parent's alone."""

    @abc.abstractmethod
    def close(self) -> None:
        """End all workers. What has not begun is cancelled. May be called again."""

    def __reduce__(self) -> NoReturn:  # a copy would close the descriptors of this one when it goes
        raise TypeError("a pool cannot be copied or pickled: its workers are of this process; make another one")


class SerialPool(Pool):
    """No workers: a task is done when it is submitted, by whoever submits it.

    >>> SerialPool().submit(pow, 2, 3).result()
    8
    """

    workers = 1

    def __init__(self) -> None:
        self._closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Reply:
        if self._closed:
            raise PoolClosedError("the pool is closed")
        outcome = Outcome()
        outcome.begin()
        outcome.end(*_done(fn, args, kwargs, spare=(KeyboardInterrupt, SystemExit)))
        return outcome

    def close(self) -> None:
        self._closed = True


class ThreadPool(Pool):
    """Worker threads. They are daemons: one that is stuck does not keep the program from ending.

    Parameters
    ----------
    workers : int
        How many, at least 1.

    Examples
    --------
    >>> with ThreadPool(2) as pool:
    ...     pool.submit(pow, 2, 3).result()
    8
    """

    def __init__(self, workers: int) -> None:
        self.workers = whole("workers", workers)
        self._crew = _Crew()
        self._forked = forked()
        self._end = weakref.finalize(self, _end_threads, self._crew, self._forked)
        for i in range(self.workers):
            # the thread holds the queue, not the pool: a pool that nobody holds is collected, and its threads end
            thread = threading.Thread(target=_work, args=(self._crew, i), name=f"batchup-{i}", daemon=True)
            self._crew.threads.append(thread)
            thread.start()
        close_at_exit(self)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Reply:
        if self._forked():
            raise PoolClosedError("the pool is of another process: its threads do not survive a fork")
        outcome = Outcome()
        with self._crew.lock:
            if not self._end.alive:
                raise PoolClosedError("the pool is closed")
            self._crew.tasks.put((outcome, fn, args, kwargs))
        return outcome

    def close(self) -> None:
        if self._forked():
            return
        with self._crew.lock:
            self._end()
        until = time.monotonic() + 0.5
        for place, thread in enumerate(self._crew.threads):
            if thread is not threading.current_thread():  # it ends when its task does; one that never does is left
                thread.join(timeout=max(0.0, until - time.monotonic()))
                outcome = self._crew.running.pop(place, None)
                if outcome is not None:
                    outcome.end(None, PoolClosedError("the pool was closed while this task ran"))

    def leave(self) -> None:
        if not self._forked():
            self._crew.leaving = True


class Outcome:
    """The reply of a thread: a `Reply` made of two locks, which costs a fraction of a `concurrent.futures.Future`."""

    __slots__ = ("_claim", "_done", "_error", "_forks", "_gate", "_result", "seconds")
    retried = 0

    def __init__(self) -> None:
        self._claim = threading.Lock()  # whoever has it decides what becomes of the task: a worker, or who cancels
        self._gate = threading.Lock()  # open when it is done
        self._gate.acquire()
        self._done = False
        self._forks = _forks
        self._result: Any = None
        self._error: BaseException | None = None
        self.seconds = 0.0  # that the task took

    def done(self) -> bool:
        return self._done

    def exception(self, timeout: float | None = None) -> BaseException | None:
        if not self._done:
            if self._forks != _forks:
                raise PoolClosedError("the task is with another process, of which this one is a fork")
            if not self._gate.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX)):
                raise TimeoutError
            self._gate.release()  # for others who wait
        return self._error

    def result(self, timeout: float | None = None) -> Any:
        error = self.exception(timeout)
        if error is not None:
            raise error
        return self._result

    def cancel(self) -> bool:
        return self.fail(CancelledError())

    def begin(self) -> bool:
        """Whether the task is the caller's to do."""
        return self._claim.acquire(blocking=False)

    def fail(self, error: BaseException) -> bool:
        """End it with `error`, unless it has begun."""
        if not self.begin():
            return False
        self.end(None, error)
        return True

    def end(self, result: Any, error: BaseException | None = None, seconds: float = 0.0) -> None:
        """Say what has come of it, once."""
        self._result, self._error, self.seconds = result, error, seconds
        self._done = True
        self._gate.release()


_forks = 0  # how many forks lie between this process and the one that imported this


def _note_the_fork() -> None:
    global _forks
    _forks += 1
    for pool in list(_open_pools):
        pool.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_the_fork)


def forked() -> Callable[[], bool]:
    """The question whether this process is another one than when `forked` was called."""
    then = _forks
    return lambda: then != _forks


_Task = tuple[Outcome, Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class _Crew:
    """What the threads of a pool know."""

    def __init__(self) -> None:
        self.tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self.threads: list[threading.Thread] = []
        self.running: dict[int, Outcome] = {}  # what each thread works on; who takes it from there says how it ended
        self.lock = threading.RLock()
        self.leaving = False  # whether the program ends


def _work(crew: _Crew, place: int) -> None:
    while True:
        task = crew.tasks.get()
        if task is None or crew.leaving:
            return
        outcome, fn, args, kwargs = task
        if outcome.begin():
            crew.running[place] = outcome
            done = _done(fn, args, kwargs)
            if crew.running.pop(place, None) is not None:
                outcome.end(*done)
            del done
        del task, outcome, fn, args, kwargs  # none of it is kept until the next one


def _end_threads(crew: _Crew, forked: Callable[[], bool]) -> None:
    if forked():
        return
    try:
        while True:
            task = crew.tasks.get_nowait()
            if task is not None:
                task[0].fail(PoolClosedError("the pool was closed before this task began"))
    except queue.Empty:
        pass
    for _ in crew.threads:
        crew.tasks.put(None)


def _done(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], spare: tuple[type[BaseException], ...] = ()
) -> tuple[Any, BaseException | None, float]:
    """The result of a task, or its error, and the seconds that it took. Errors in `spare` are raised."""
    begun = time.perf_counter()
    try:
        return fn(*args, **kwargs), None, time.perf_counter() - begun
    except spare:
        raise
    except BaseException as error:
        return None, error, time.perf_counter() - begun


_open_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def close_at_exit(pool: Pool) -> None:
    """Have `pool` closed when the interpreter ends, if it still is there."""
    if not _open_pools:
        atexit.unregister(_close_all)
        atexit.register(_close_all)  # after the hooks of whatever the pool uses, so that it runs before them
    _open_pools.add(pool)


def _close_all() -> None:
    for pool in list(_open_pools):
        pool.leave()
