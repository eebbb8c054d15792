"""`WorkStream`: submits tasks, waits for them, keeps their order, bounds their number, and cancels them."""

from __future__ import annotations

import collections
import dataclasses
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from ..errors import BatchTimeoutError, PoolClosedError, WorkerError, noted
from .checks import whole
from .pools import Pool, Reply
from .pulled import INTERRUPTED, NOTHING, PullingIterator

__all__ = ["DEPTH", "DEPTH_PER_WORKER", "StreamStats", "Task", "WorkStream", "presentable", "seconds"]

Task: TypeAlias = tuple[Any, ...]  # (fn,), (fn, args) or (fn, args, kwargs)
Located: TypeAlias = Callable[[BaseException, int, tuple[Any, ...]], BaseException]


@dataclasses.dataclass(frozen=True)
class StreamStats:
    """What a stream has done, and the time that it took.

    Attributes
    ----------
    done : int
        How many results were delivered, errors included.
    under_way : int
        The number of tasks in flight: running, or done and not yet taken.
    retried : int
        How often the tasks of delivered results were run again, because a worker died.
    waited : float
        Seconds that the consumer waited for results.
    busy : float
        Seconds that workers worked on the delivered tasks, all workers together.
    workers : int
        How many workers the pool has.
    restarts : int
        How many worker processes the pool has replaced.
    slots : int
        How many pieces of shared memory the pool has for results.
    shared_bytes : int
        How many bytes of shared memory the pool has, for results and for constants.
    """

    done: int
    under_way: int
    retried: int
    waited: float
    busy: float
    workers: int
    restarts: int
    slots: int
    shared_bytes: int


DEPTH = 20  # how many results may be prepared ahead where the caller does not say; programs for batchup 0.2 count on it
DEPTH_PER_WORKER = 2  # a Loader has so many for each of its workers
NO_TASKS: tuple[Task, ...] = ()  # what a stream that was closed goes on with


class WorkStream(PullingIterator[Any]):
    """The results of tasks, in their order, with up to `depth` tasks in flight ahead of the consumer.

    A new task is drawn when a result has been taken. If a task raises an error, only its own result is lost: the next
    call continues with the next task.

    Parameters
    ----------
    pool : Pool
        Runs the tasks.
    tasks : iterable of tuples
        ``(fn,)``, ``(fn, args)`` or ``(fn, args, kwargs)``. Drawn in the consumer's thread.
    depth : int, default 20
        How many tasks may be in flight: running, or done and not yet taken. This many are submitted at the beginning.
    timeout : float, optional
        Seconds to wait for one result.
    located : callable, optional
        ``located(error, number, args) -> error``: adds to an error which task it was.

    Raises
    ------
    BatchTimeoutError
        While iterating, after `timeout` seconds. The task is given up; the next call continues with the next one.

    Examples
    --------
    >>> from batchup.engine.pools import ThreadPool
    >>> with ThreadPool(2) as pool:
    ...     list(WorkStream(pool, ((pow, (n, 2)) for n in range(5))))
    [0, 1, 4, 9, 16]
    """

    def __init__(
        self,
        pool: Pool,
        tasks: Iterable[Task],
        depth: int = DEPTH,
        timeout: float | None = None,
        located: Located | None = None,
    ) -> None:
        self._in_flight: collections.deque[tuple[Reply | BaseException, tuple[Any, ...]]] = collections.deque()
        self._successor: Iterable[Task] | None = None  # the tasks to go on with, instead of those in flight
        self._is_closed = False
        super().__init__(tasks)
        self._pool = pool
        self._depth = whole("depth", depth)
        self._timeout = seconds(timeout)
        self._located = located or _located
        self._number = -1  # of the last result that was delivered
        self._waited = self._busy = 0.0
        self._retried = 0
        self._top_up(self._depth)

    def __repr__(self) -> str:
        in_flight = f"{len(self._in_flight)} in flight" + (", closed" if self._is_closed else "")
        return f"<{type(self).__name__}: {self._number + 1} results delivered, {in_flight}>"

    def _next(self) -> Any:
        while True:
            if self._successor is not None:
                self._begin_successor()
            if not self._in_flight:
                self._top_up(self._depth)
                if not self._in_flight:
                    raise StopIteration
            reply, args = self._in_flight[0]
            result: Any = None
            error: BaseException | None
            if isinstance(reply, BaseException):
                error = reply
            else:
                error = reply.exception() if reply.done() else self._awaited(reply)
                result = reply.result() if error is None else None
                self._busy += getattr(reply, "seconds", 0.0)
                self._retried += getattr(reply, "retried", 0)
            warning = self._pool.warning()
            if warning:  # if warnings are errors, the next call does this again
                warnings.warn(warning, RuntimeWarning, stacklevel=3)
            self._top_up(self._depth + 1)  # the first is as good as delivered
            number = self._number + 1
            # no calls from here on (see engine.pulled)
            if self._successor is not None:  # `close` or `_begin_at` was called meanwhile
                if self._successor is NO_TASKS:
                    raise PoolClosedError("this iterator was closed while it waited for its next result")
                continue
            self._number = number
            del self._in_flight[0]
            if error is None:
                return result
            raise self._presentable(error, number, args)

    def __del__(self, is_at_exit: Callable[[], bool] = sys.is_finalizing) -> None:
        """Cancel what nobody will ask for."""
        # not by weakref.finalize: that would hold the queue, it an error, and its traceback the stream
        if not is_at_exit() and "_in_flight" in vars(self):  # Ctrl-C may have come before it was made
            _cancel_all(self._in_flight)

    def retrieve(self) -> Any:
        """The next result, or None when there are no more."""
        return next(self, None)

    def retrieve_iter(self) -> Iterator[Any]:
        """An iterator over the results: the stream itself."""
        return self

    def close(self) -> None:
        """Cancel the tasks that have not begun, and draw no more: the next call ends the iteration.

        Any thread may call it, and signal handlers. A call of ``next`` that waits meanwhile gets a `PoolClosedError`.
        """
        self._is_closed = True
        self._successor = NO_TASKS
        self._switch()

    def stats(self) -> StreamStats:
        """What the stream has done so far, and the time that it took.

        Returns
        -------
        StreamStats
        """
        return StreamStats(
            done=self._number + 1,
            under_way=len(self._in_flight),
            retried=self._retried,
            waited=self._waited,
            busy=self._busy,
            **self._pool.stats(),
        )

    def _begin_at(self, number: int, tasks: Iterable[Task]) -> None:
        """Go on with other tasks; `number` is that of the first. So does a call of ``next`` that waits meanwhile."""
        self._is_closed = False
        self._successor, self._number = tasks, number - 1  # no calls in between, so nothing else is delivered
        self._switch()

    def _switch(self) -> None:
        if self._is_in_next:  # of another thread, or of this one, below a signal handler: it begins them itself
            _cancel_all(self._in_flight.copy())
            return
        self._is_in_next = True
        try:
            self._begin_successor()
            self._top_up(self._depth)
        finally:
            self._is_in_next = False

    def _begin_successor(self) -> None:
        """Cancel what is in flight, and draw from other tasks from now on."""
        while self._successor is not None:
            _cancel_all(self._in_flight)
            tasks = self._successor
            source = iter(tasks)
            if tasks is self._successor:  # no calls here: it may be replaced at any time
                self._source, self._held, self._successor = source, NOTHING, None

    def _awaited(self, reply: Reply) -> BaseException | None:
        begun = time.perf_counter()
        try:
            return reply.exception(self._timeout)
        except TimeoutError:
            if self._timeout is None:  # of a signal handler of the program
                raise
            self._pool.give_up(reply)
            error = BatchTimeoutError(f"no result within timeout={self._timeout} seconds")
            error.timeout = self._timeout
            return error
        finally:
            self._waited += time.perf_counter() - begun

    def _presentable(self, error: BaseException, number: int, args: tuple[Any, ...]) -> BaseException:
        return self._located(presentable(error), number, args)

    def _top_up(self, most: int) -> None:
        while len(self._in_flight) < most:
            entry: Reply | BaseException
            args: tuple[Any, ...] = ()
            try:
                task = self._pull()
                if type(task) is tuple and len(task) == 2 and type(task[1]) is tuple:  # what most are
                    fn, args = task
                    entry = self._pool.submit(fn, *args)
                else:
                    fn, args, kwargs = _parts(task)
                    entry = self._pool.submit(fn, *args, **kwargs)
            except StopIteration:
                return
            except Exception as error:  # of the plan, or of the pool: it waits its turn
                if self._held is INTERRUPTED or isinstance(error, PoolClosedError):
                    self._source = iter(())
                entry = error
            self._held = NOTHING
            self._in_flight.append((entry, args))


def _parts(task: Task) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    if not isinstance(task, (tuple, list)) or not 1 <= len(task) <= 3:
        raise TypeError(f"a task should be (fn,), (fn, args) or (fn, args, kwargs), not {task!r}")
    fn, *rest = task
    if rest and not isinstance(rest[0], Iterable):
        raise TypeError(f"the arguments of a task should be a tuple, (fn, (x,)), not {rest[0]!r}")
    return fn, tuple(rest[0]) if rest else (), dict(rest[1]) if rest[1:] else {}


def _located(error: BaseException, number: int, args: tuple[Any, ...]) -> BaseException:
    return noted(error, f"in task {number} of the work stream")


def presentable(error: BaseException) -> Exception:
    """The error; or a `WorkerError` for one that would silently end the loop, or end the program.

    >>> presentable(KeyError("x")), presentable(StopIteration())
    (KeyError('x'), WorkerError('the task raised StopIteration'))
    """
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    kind = type(error).__name__
    failed = WorkerError(f"the task raised {kind}{f': {error}' if str(error) else ''}")
    failed.type_name = kind
    failed.__cause__ = error
    return failed


def seconds(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout should be None or a number of seconds, not {timeout!r}")
    if not timeout > 0:
        raise ValueError(f"timeout should be None or more than 0 seconds, not {timeout!r}")
    return float(timeout)


def _cancel_all(in_flight: collections.deque[tuple[Reply | BaseException, tuple[Any, ...]]]) -> None:
    while in_flight:
        reply, _ = in_flight.pop()
        if not isinstance(reply, BaseException):
            reply.cancel()
