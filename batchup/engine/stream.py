"""The only code that submits tasks, waits for them, keeps their order and their number, and cancels them."""

from __future__ import annotations

import collections
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from ..errors import BatchTimeoutError, PoolClosedError, WorkerError
from .checks import whole
from .pools import Pool, Reply

__all__ = ["Task", "WorkStream", "seconds"]

Task: TypeAlias = tuple[Any, ...]  # (fn,), (fn, args) or (fn, args, kwargs)
Located: TypeAlias = Callable[[BaseException, int, tuple[Any, ...]], BaseException]


class WorkStream(Iterator[Any]):
    """The results of tasks, in their order, with up to `depth` tasks under way or done ahead of the consumer.

    It pulls: a task is drawn when a result has been taken. An error is the result of its own task; the next call goes
    on with the one behind it.

    Parameters
    ----------
    pool : Pool
        Does the work.
    tasks : iterable of tuples
        ``(fn,)``, ``(fn, args)`` or ``(fn, args, kwargs)``. Drawn in the consumer's thread.
    depth : int, default 20
        How many tasks may be under way, or done and not taken. So many begin at once.
    timeout : float, optional
        Seconds to wait for one result.
    located : callable, optional
        ``located(error, number, args) -> error``: says in the error which task it was.

    Raises
    ------
    BatchTimeoutError
        While iterating, when `timeout` is over. The task is given up; the next call goes on with the one behind it.

    Examples
    --------
    >>> from batchup.engine.pools import Threads
    >>> with Threads(2) as pool:
    ...     list(WorkStream(pool, ((pow, (n, 2)) for n in range(5))))
    [0, 1, 4, 9, 16]
    """

    def __init__(
        self,
        pool: Pool,
        tasks: Iterable[Task],
        depth: int = 20,
        timeout: float | None = None,
        located: Located | None = None,
    ) -> None:
        self._pool = pool
        self._tasks: Iterator[Task] = iter(tasks)
        self._depth = whole("depth", depth)
        self._timeout = seconds(timeout)
        self._located = located or _located
        self._number = -1  # of the last result that was asked for
        self._under_way: collections.deque[tuple[Reply | BaseException, tuple[Any, ...]]] = collections.deque()
        # an abandoned stream cancels what nobody will ask for
        self._end = weakref.finalize(self, _cancel_all, self._under_way)
        self._end.atexit = False
        self._top_up()

    def __next__(self) -> Any:
        if not self._under_way:
            raise StopIteration
        reply, args = self._under_way[0]
        error = reply if isinstance(reply, BaseException) else self._awaited(reply)
        self._under_way.popleft()
        self._number += 1
        self._top_up()
        if error is None and not isinstance(reply, BaseException):
            return reply.result()
        assert error is not None
        if not isinstance(error, Exception) or isinstance(error, StopIteration):
            error = _as_worker_error(error)
        raise self._located(error, self._number, args)

    def retrieve(self) -> Any:
        """The next result, or None when there are no more."""
        return next(self, None)

    def retrieve_iter(self) -> Iterator[Any]:
        """An iterator over the results: the stream itself."""
        return self

    def close(self) -> None:
        """Cancel what has not begun, and draw no more tasks: the next call ends the iteration."""
        self._tasks = iter(())
        _cancel_all(self._under_way)

    def _awaited(self, reply: Reply) -> BaseException | None:
        try:
            return reply.exception(self._timeout)
        except TimeoutError:
            self._pool.give_up(reply)
            error = BatchTimeoutError(f"no result within timeout={self._timeout} seconds")
            error.timeout = self._timeout or 0.0
            return error

    def _top_up(self) -> None:
        while len(self._under_way) < self._depth:
            args: tuple[Any, ...] = ()
            try:
                fn, args, kwargs = _parts(next(self._tasks))
                entry: Reply | BaseException = self._pool.submit(fn, *args, **kwargs)
            except StopIteration:
                return
            except PoolClosedError as error:
                self._tasks = iter(())
                entry = error
            except Exception as error:  # the plan failed: its error waits its turn
                entry = error
            self._under_way.append((entry, args))


def _parts(task: Task) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    if not isinstance(task, (tuple, list)) or not 1 <= len(task) <= 3:
        raise TypeError(f"a task should be (fn,), (fn, args) or (fn, args, kwargs), not {task!r}")
    fn, *rest = task
    return fn, tuple(rest[0]) if rest else (), dict(rest[1]) if rest[1:] else {}


def _located(error: BaseException, number: int, args: tuple[Any, ...]) -> BaseException:
    error.add_note(f"in task {number} of the work stream")
    return error


def _as_worker_error(error: BaseException) -> WorkerError:
    """For what may not be raised in the consumer: it would end a loop in silence, or the program."""
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


def _cancel_all(under_way: collections.deque[tuple[Reply | BaseException, tuple[Any, ...]]]) -> None:
    while under_way:
        reply, _ = under_way.pop()
        if not isinstance(reply, BaseException):
            reply.cancel()
