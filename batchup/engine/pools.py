"""Pools run tasks: at once (`SerialPool`), in threads (`ThreadPool`), or in processes (`ProcessPool`).

All pools have three methods: ``submit(fn, *args, **kwargs)`` returns a `Reply`, ``share(obj)`` returns a reference to a
large object for use among the arguments, and ``close()`` ends all work.
"""

from __future__ import annotations

import abc
import atexit
import contextvars
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, NoReturn, Protocol, TypeAlias

import numpy as np

from ..errors import PoolClosedError
from .checks import whole
from .closing import Closing
from .forks import forked
from .outcome import Outcome

__all__ = ["Pool", "Reply", "SerialPool", "ThreadPool", "close_at_exit"]

NUMPY_1 = np.lib.NumpyVersion(np.__version__) < "2.0.0"  # whose error handling is of each thread, not of the context
GRACE = 0.5  # seconds that threads have to end their tasks when the pool is closed


class Reply(Protocol):
    """The result of a submitted task, or its error, once it has ended. `concurrent.futures.Future` is one."""

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the end of the task. The error that it raised, or None.

        Raises
        ------
        TimeoutError
            After `timeout` seconds.
        """

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the end of the task. What it returned; raises what it raised."""

    def done(self) -> bool:
        """Whether the task has ended."""

    def cancel(self) -> bool:
        """The result will not be needed. A task that has not begun will not run."""


class Pool(Closing, abc.ABC):
    """The base class of pools, with three methods. Abstract.

    Attributes
    ----------
    workers : int
        How many there are.
    isolated : bool
        Whether workers have global variables of their own, `numpy.random` among them.
    """

    workers: int
    isolated = False

    @abc.abstractmethod
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Reply:
        """Have a worker call ``fn(*args, **kwargs)``.

        NumPy's error handling and the decimal context are those of the caller; in threads, all of its context is.

        Raises
        ------
        PoolClosedError
            After `close`.
        """

    def share(self, obj: Any, last: Any = None) -> Any:
        """A reference to `obj`. Use it as the function or an argument of `submit`, so that `obj` is sent only once.

        `last` is what an earlier call returned. It is returned again if nothing has changed.
        """
        return obj

    def stats(self) -> dict[str, int]:
        """The numbers of ``workers``, ``restarts``, ``slots`` and ``shared_bytes``."""
        return {"workers": self.workers, "restarts": 0, "slots": 0, "shared_bytes": 0}

    def warning(self) -> str:
        """A warning for the consumer, given once; usually the empty string."""
        return ""

    def give_up(self, reply: Reply) -> None:
        """Nobody waits for `reply` any longer, although its task may be running."""
        reply.cancel()

    def close_quietly(self) -> None:
        """Close at the end of the program. Daemon threads that wait for a reply are not told."""
        self.close()

    def after_fork(self) -> None:
        """In a fork of the process that the pool belongs to: release what is the parent's alone."""
        return

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return False

    @abc.abstractmethod
    def close(self) -> None:
        """End all workers. Tasks that have not begun are cancelled. May be called again."""

    def __reduce__(self) -> NoReturn:  # a copy would close the descriptors of this one when it is collected
        raise TypeError("a pool cannot be copied or pickled: its workers are of this process; make another one")


class SerialPool(Pool):
    """No workers: a task runs at once, in the thread that submits it.

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
        outcome.end(*_run(fn, args, kwargs, let_through=(KeyboardInterrupt, SystemExit)))
        return outcome

    @property
    def is_closed(self) -> bool:
        return self._closed

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
        self._state = _ThreadState()
        self._forked = forked()
        self._end = weakref.finalize(self, _end_threads, self._state, self._forked)
        for i in range(self.workers):
            # threads hold the state, not the pool: a pool that nobody holds is collected, and its threads end
            thread = threading.Thread(target=_work, args=(self._state, i), name=f"batchup-{i}", daemon=True)
            self._state.threads.append(thread)
            thread.start()
        close_at_exit(self)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Reply:
        if self._forked():
            raise PoolClosedError("the pool is of another process: its threads do not survive a fork")
        outcome = Outcome()
        if NUMPY_1:
            fn, args = _with_errors, (np.geterr(), fn, *args)
        with self._state.lock:
            if not self._end.alive:
                raise PoolClosedError("the pool is closed")
            self._state.tasks.put((outcome, contextvars.copy_context(), fn, args, kwargs))
        return outcome

    @property
    def is_closed(self) -> bool:
        return not self._end.alive

    def close(self) -> None:
        if self._forked():
            return
        with self._state.lock:
            self._end()
        until = time.monotonic() + GRACE
        for number, thread in enumerate(self._state.threads):
            if thread is not threading.current_thread():  # which ends when its task does
                thread.join(timeout=max(0.0, until - time.monotonic()))
                outcome = self._state.running.pop(number, None)
                if outcome is not None:
                    outcome.end(None, PoolClosedError("the pool was closed while this task ran"))

    def close_quietly(self) -> None:
        if not self._forked():
            self._state.exiting = True


_Task: TypeAlias = tuple[Outcome, contextvars.Context, Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class _ThreadState:
    """What a pool and its threads share."""

    def __init__(self) -> None:
        self.tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()  # None: a thread should end
        self.threads: list[threading.Thread] = []
        self.running: dict[int, Outcome] = {}  # by thread; the thread that pops an outcome ends it
        self.lock = threading.RLock()
        self.exiting = False  # whether the interpreter ends


def _work(state: _ThreadState, number: int) -> None:
    while True:
        task = state.tasks.get()
        if task is None or state.exiting:
            return
        outcome, context, fn, args, kwargs = task
        if outcome.begin():
            state.running[number] = outcome
            done = context.run(_run, fn, args, kwargs)
            if state.running.pop(number, None) is not None:
                outcome.end(*done)
            del done
        del task, outcome, context, fn, args, kwargs  # none of it is held while the thread waits for the next one


def _end_threads(state: _ThreadState, forked: Callable[[], bool]) -> None:
    if forked():
        return
    try:
        while True:
            task = state.tasks.get_nowait()
            if task is not None:
                task[0].fail(PoolClosedError("the pool was closed before this task began"))
    except queue.Empty:
        pass
    for _ in state.threads:
        state.tasks.put(None)


def _with_errors(handling: dict[str, Any], fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    with np.errstate(**handling):
        return fn(*args, **kwargs)


def _run(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    let_through: tuple[type[BaseException], ...] = (),
) -> tuple[Any, BaseException | None, float]:
    """The result of a task, its error, and the seconds that it took. Errors in `let_through` are raised."""
    begun = time.perf_counter()
    try:
        return fn(*args, **kwargs), None, time.perf_counter() - begun
    except let_through:
        raise
    except BaseException as error:
        return None, error, time.perf_counter() - begun


_open_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def close_at_exit(pool: Pool) -> None:
    """Have `pool` closed when the interpreter ends, if it still exists then."""
    if not _open_pools:
        atexit.unregister(_close_all)
        atexit.register(_close_all)  # after the hooks of what the pool uses, so that it runs before them
    _open_pools.add(pool)


def _close_all() -> None:
    for pool in list(_open_pools):
        pool.close_quietly()


def _after_fork() -> None:
    for pool in list(_open_pools):
        pool.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
