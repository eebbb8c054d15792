"""Pools over executors: anything with ``submit(fn, *args)`` that returns a `concurrent.futures.Future`, a
Dask client, or Ray (`clusters`).

Workers of an executor may be processes on other hosts. So tasks and results are sent as plain pickles, without shared
memory. A shared object, such as the fetch of a source, is not sent with each task: tasks name it by a key. A worker
that does not have it says so, and gets its task again with the object beside it; it keeps the last few that it got.
"""

from __future__ import annotations

import collections
import concurrent.futures
import hashlib
import os
import pickle
import socket
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from typing import Any

import numpy as np

from ..errors import PoolClosedError, WorkerDiedError, WorkerError, noted
from ..version import __version__
from .checks import whole
from .clusters import cluster_of, has_threads_of_ours
from .pools import Pool
from .process import pickling
from .process.failures import failure_of, raised_in_worker

__all__ = ["ExecutorPool", "SharedObject"]

DONE, FAILED, MISSING = range(3)  # how a task ended
LOSSES = 3  # how often a task is submitted again since what was sent with it was lost; as often as Dask itself does
LOOK = 1.0  # seconds after which to look whether it was lost
KEPT = 8  # shared objects that a worker keeps


class SharedObject:
    """A reference to an object that workers of an executor keep. Pickled, it is a key of some bytes.

    Parameters
    ----------
    obj : object
        Pickled now; later changes have no effect.
    """

    def __init__(self, obj: Any) -> None:
        self.pickled = _pickled(obj)
        self.digest = _digest(self.pickled)
        self.key = uuid.uuid4().hex
        self.times_sent = 0  # at first it goes with a task for each worker
        self.sent: Any = None  # the reference to the pickle, in a cluster that stores it
        self.sent_by: Any = None  # the cluster

    def holds(self, obj: Any) -> bool:
        """Whether `obj` has not changed since this was made."""
        return _digest(_pickled(obj)) == self.digest

    def __reduce__(self) -> Any:
        return _shared_object, (self.key,)


def _pickled(obj: Any) -> tuple[bytes, list[bytes]]:
    header, buffers = pickling.dumps(obj)
    return header, [bytes(buffer) for buffer in buffers]


def _digest(pickled: tuple[bytes, list[bytes]]) -> bytes:
    digest = hashlib.blake2b(pickled[0])
    for buffer in pickled[1]:
        digest.update(buffer)
    return digest.digest()


class _MissingError(Exception):
    """A worker was sent the key of an object that it does not have."""


_kept: collections.OrderedDict[str, Any] = collections.OrderedDict()  # in a worker: shared objects by key
_kept_lock = threading.Lock()  # guards `_kept`: a worker may be a thread beside others


def _shared_object(key: str) -> Any:
    with _kept_lock:
        if key not in _kept:
            raise _MissingError(key)
        _kept.move_to_end(key)
        return _kept[key]


def _keep(objects: Mapping[str, tuple[bytes, list[bytes]]]) -> None:
    for key, (header, buffers) in objects.items():
        if key in _kept:  # it was meant for a worker that lacks it, and came here
            continue
        obj = pickle.loads(header, buffers=buffers)
        with _kept_lock:
            _kept[key] = obj
            for old in [old for old in _kept if old not in objects][: max(0, len(_kept) - KEPT)]:
                del _kept[old]  # the oldest first, but none of this task


def _versions() -> dict[str, str]:
    """The versions that have to be the same here and in workers. The last number of NumPy's version is left out."""
    return {"batchup": __version__, "NumPy": ".".join(np.__version__.split(".")[:2])}


def _should_be_of(versions: dict[str, str], where: str) -> None:
    """Raise an error if the versions differ from those of the program."""
    for name, here in _versions().items():
        if here != versions[name]:
            raise RuntimeError(
                f"the program has {name} {versions[name]}, and a worker {where} has {name} {here}: install the same "
                "version on all hosts"
            )


def run_task(versions: dict[str, str], task: bytes, keys: tuple[str, ...], *sent: Any) -> tuple[Any, ...]:
    """In a worker: run a task, and return its result or its error.

    Parameters
    ----------
    versions : dict
        The versions of the program.
    task : bytes
        The pickle of a function and its arguments.
    keys : tuple of str
        The keys of the shared objects that come with the task.
    *sent
        Their pickles, in the same order.
    """
    begun = time.perf_counter()
    host = socket.gethostname()
    try:
        _should_be_of(versions, f"on host {host}")
        _keep(dict(zip(keys, sent, strict=True)))
        fn, args, kwargs = pickle.loads(task)
    except _MissingError as error:
        return MISSING, str(error)
    except BaseException as error:
        return FAILED, failure_of(error), host, os.getpid()
    try:
        header, buffers = pickling.result_dumps(fn(*args, **kwargs))
        return DONE, time.perf_counter() - begun, header, [bytes(buffer) for buffer in buffers]
    except BaseException as error:
        return FAILED, failure_of(error), host, os.getpid()


def _of_worker(error: Exception, host: str, pid: int) -> BaseException:
    """The error of a worker, with a note about what may be missing on its host."""
    where = f"in a worker on host {host}, pid {pid}"
    if isinstance(error, ModuleNotFoundError):
        where += f", which lacks the module {error.name!r}: install there what the data and the functions need"
    if isinstance(error, FileNotFoundError) and host != socket.gethostname():
        where += ", which does not have this file: give paths that exist on all hosts"
    return noted(error, where)


class ExecutorReply:
    """The reply to a task of an executor: a `pools.Reply`."""

    retried = 0
    seconds = 0.0

    def __init__(self, pool: ExecutorPool, task: bytes, shared: tuple[SharedObject, ...]) -> None:
        self._pool, self._task, self._shared = pool, task, shared
        self._lock = threading.RLock()  # one thread at a time looks at the future, and may submit the task again
        self._ended = False
        self._result: Any = None
        self._error: BaseException | None = None
        self._sent: list[Any] = []  # what stood for the shared objects that were sent with it
        self._losses = 0  # how often these were lost
        self._submit(tuple(each for each in shared if each.times_sent < pool.workers))

    def _submit(self, shared: tuple[SharedObject, ...]) -> None:
        self._future = self._pool.send(self._task, shared)
        self._sent = [each.sent for each in shared]

    def done(self) -> bool:
        if not self._ended and self._future.done():
            self._look(0)
        return self._ended

    def exception(self, timeout: float | None = None) -> BaseException | None:
        until = None if timeout is None else time.monotonic() + timeout
        while not self._ended:
            left = LOOK if until is None else max(0.0, until - time.monotonic())
            try:
                self._look(min(left, LOOK))
            except TimeoutError:
                if until is not None and left <= LOOK:
                    raise
        return self._error

    def result(self, timeout: float | None = None) -> Any:
        error = self.exception(timeout)
        if error is not None:
            raise error
        return self._result

    def cancel(self) -> bool:
        return self.fail(CancelledError())

    def fail(self, error: BaseException) -> bool:
        """End the task with `error`, unless it has ended."""
        if self._ended:
            return False
        cancelled: bool = self._future.cancel()
        self._end(None, error)
        return cancelled

    def _look(self, timeout: float | None) -> None:
        """Wait for the future: then the task has ended, or was submitted again with what the worker lacked."""
        future = self._future
        try:
            outcome = future.result(timeout)
        except CancelledError:
            self._cancelled(future)
            return
        except TimeoutError:
            if not future.done():
                if self._pool.holds(self._sent):
                    raise
                self._cancelled(future)  # Dask may cancel a task, and not the future
                return
            self._end(None, WorkerError("the executor ended this task with a TimeoutError"))
            return
        except Exception as error:
            self._end(None, self._pool.lost(error))
            return
        with self._lock:
            if self._ended or self._future is not future:
                return
            if outcome[0] == MISSING:
                self._resubmit()
            elif outcome[0] == FAILED:
                self._end(None, _of_worker(raised_in_worker(*outcome[1]), *outcome[2:]))
            else:
                _, self.seconds, header, buffers = outcome
                self._end(pickling.result_loads(header, [bytearray(buffer) for buffer in buffers]), None)

    def _cancelled(self, future: Any) -> None:
        """The executor has cancelled the task. Submit it again if what was sent with it was lost with a worker."""
        with self._lock:
            if self._ended or self._future is not future:
                return
            if self._pool.holds(self._sent):
                self._end(None, self._pool.why_cancelled())
            elif self._losses == LOSSES:
                self._end(None, WorkerDiedError(f"the workers that had this task died {LOSSES + 1} times"))
            else:
                self._losses += 1
                self._resubmit()

    def _resubmit(self) -> None:
        try:
            self._submit(self._shared)
        except Exception as error:
            self._end(None, error)

    def _end(self, result: Any, error: BaseException | None) -> None:
        with self._lock:
            if not self._ended:
                self._result, self._error, self._shared, self._ended = result, error, (), True


class ExecutorPool(Pool):
    """The workers of an executor. Closing the pool cancels its tasks, and leaves the executor as it was.

    Parameters
    ----------
    executor : concurrent.futures.Executor, dask.distributed.Client or the module ray
        Or any object with ``submit(fn, *args)`` that returns a `concurrent.futures.Future`.
    workers : int, optional
        The number of workers, if the executor does not say it itself.

    Raises
    ------
    TypeError
        If the object has no ``submit``.

    Examples
    --------
    >>> with concurrent.futures.ThreadPoolExecutor(2) as executor:
    ...     ExecutorPool(executor).submit(pow, 2, 3).result()
    8
    """

    def __init__(self, executor: Any, workers: int | None = None) -> None:
        self.executor = executor
        self.cluster = cluster_of(executor)
        self.isolated = not has_threads_of_ours(executor)
        self.workers = self.cluster.workers() if workers is None else whole("workers", workers)
        self._closed = False
        self._replies: weakref.WeakSet[Any] = weakref.WeakSet()

    def share(self, obj: Any, last: Any = None) -> Any:
        if not self.isolated:
            return obj
        if isinstance(last, SharedObject) and last.holds(obj):
            return last
        return SharedObject(obj)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if self._closed:
            raise PoolClosedError("the pool is closed")
        reply: Any
        if self.isolated:
            shared = tuple(x for x in (fn, *args, *kwargs.values()) if isinstance(x, SharedObject))
            reply = ExecutorReply(self, pickling.inline((fn, args, kwargs)), shared)
        else:
            reply = ThreadReply(self, self._submitted(_timed, fn, args, kwargs))
        self._replies.add(reply)
        return reply

    def send(self, task: bytes, shared: tuple[SharedObject, ...]) -> Any:
        """Submit a task, with shared objects beside it."""
        for each in shared:
            each.times_sent += 1
        keys = tuple(each.key for each in shared)
        return self._submitted(run_task, _versions(), task, keys, *map(self._sent, shared))

    def _submitted(self, fn: Callable[..., Any], *args: Any) -> Any:
        try:
            return self.cluster.submit(fn, *args)
        except concurrent.futures.BrokenExecutor as error:
            raise self.lost(error) from error
        except RuntimeError as error:
            if "shutdown" in str(error):
                raise PoolClosedError(
                    f"the {self.cluster.name} was shut down before this task was submitted"
                ) from error
            raise

    def _sent(self, shared: SharedObject) -> Any:
        """What is sent for a shared object: its pickle, or a reference to it in the store of the cluster."""
        if shared.sent_by is not self.cluster or not self.cluster.has(shared.sent):
            shared.sent, shared.sent_by = self.cluster.put(shared.pickled), self.cluster
        return shared.sent

    def holds(self, sent: list[Any]) -> bool:
        """Whether the executor still has what was sent with a task."""
        return self._closed or all(map(self.cluster.has, sent))

    def why_cancelled(self) -> BaseException:
        """The error of a task that the executor has cancelled."""
        if self._closed:
            return PoolClosedError("the pool was closed before this task was done")
        return PoolClosedError(
            f"the {self.cluster.name} has cancelled this task, as it does when it is shut down; keep it open until "
            "the loop has ended"
        )

    def lost(self, error: Exception) -> BaseException:
        """An error of an executor as one of batchup: it has lost a worker, or its workers cannot run any task."""
        kind = type(error).__name__
        if _may_lack_batchup(error):
            hosts = ", ".join(self.cluster.hosts_that_lack("batchup"))
            where = f" on host {hosts}" if hosts else ""
            return noted(error, f"the workers{where} lack the module 'batchup': install the same version there")
        if isinstance(error, concurrent.futures.BrokenExecutor):
            died = WorkerDiedError(
                f"a worker of the {self.cluster.name} died, and it cannot be replaced; make a new executor, or use a "
                "WorkerProcessPool, which replaces workers"
            )
        elif kind in ("KilledWorker", "WorkerCrashedError", "NodeDiedError"):  # of Dask and of Ray
            died = WorkerDiedError(f"the workers that had this task died each time: {error}")
        else:
            return error
        died.__cause__ = error
        return died

    @property
    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True
        for reply in list(self._replies):
            reply.fail(PoolClosedError("the pool was closed before this task was done"))


class ThreadReply:
    """The reply to a task of an executor whose workers are threads of this process."""

    retried = 0

    def __init__(self, pool: ExecutorPool, future: Any) -> None:
        self._pool, self._future = pool, future
        self._failed: BaseException | None = None

    @property
    def seconds(self) -> float:
        return float(self._future.result()[1]) if self._failed is None and self._future.done() else 0.0

    def done(self) -> bool:
        return self._failed is not None or self._future.done()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        if self._failed is not None:
            return self._failed
        try:
            error: BaseException | None = self._future.result(timeout)[2]
        except CancelledError:
            error = self._failed = self._failed or self._pool.why_cancelled()
        return error

    def result(self, timeout: float | None = None) -> Any:
        error = self.exception(timeout)
        if error is not None:
            raise error
        return self._future.result()[0]

    def cancel(self) -> bool:
        return self.fail(CancelledError())

    def fail(self, error: BaseException) -> bool:
        """End the task with `error`, if it has not begun."""
        cancelled: bool = self._future.cancel()
        if cancelled:
            self._failed = error
        return cancelled


def _timed(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, float, Any]:
    """The result of a task, the seconds that it took, and its error."""
    begun = time.perf_counter()
    try:
        return fn(*args, **kwargs), time.perf_counter() - begun, None
    except BaseException as error:
        return None, time.perf_counter() - begun, error


def _may_lack_batchup(error: Exception) -> bool:
    if isinstance(error, ModuleNotFoundError):
        return (error.name or "").partition(".")[0] == "batchup"
    return any("No module named 'batchup" in str(each) for each in (error, error.__cause__))
