"""One interface to executors of `concurrent.futures` and others like them, to Dask clusters, and to Ray."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import types
from collections.abc import Callable
from typing import Any, Protocol

from ..errors import PoolClosedError
from .checks import kind_of
from .cores import cores

__all__ = ["Cluster", "cluster_of", "has_threads_of_ours"]

WAIT = 30.0  # seconds for the first worker of a Dask cluster


class Cluster(Protocol):
    """What `executors` needs of the workers of an executor or a cluster."""

    name: str  # for messages

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        """A future of ``fn(*args)``."""

    def put(self, pickled: Any) -> Any:
        """Store something large; return a reference that tasks take as an argument."""

    def has(self, stand_in: Any) -> bool:
        """Whether the reference is still valid."""

    def workers(self) -> int:
        """How many workers there are."""

    def hosts_that_lack(self, module: str) -> list[str]:
        """The hosts on which a module cannot be imported, as far as that can be found out."""


class Executor:
    """Anything with ``submit(fn, *args)`` that returns a `concurrent.futures.Future`."""

    def __init__(self, executor: Any) -> None:
        self.executor = executor
        self.name = type(executor).__name__

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        future = self.executor.submit(fn, *args)
        if not all(callable(getattr(future, verb, None)) for verb in ("result", "done", "cancel")):
            raise TypeError(
                f"submit() of {kind_of(self.executor)} should return a concurrent.futures.Future, not {kind_of(future)}"
            )
        return future

    def put(self, pickled: Any) -> Any:
        return pickled

    def has(self, stand_in: Any) -> bool:
        return True

    def workers(self) -> int:
        for name in ("_max_workers", "num_workers"):
            known = getattr(self.executor, name, None)
            if isinstance(known, int) and known > 0:
                return known
        return cores()

    def hosts_that_lack(self, module: str) -> list[str]:
        with contextlib.suppress(Exception):
            lacks, host = self.executor.submit(eval, f"{_lacks(module)}, {HOST}").result(WAIT)
            return [host] if lacks else []
        return []


HOST = "__import__('socket').gethostname()"  # `eval` also runs on a host without batchup


def _lacks(module: str) -> str:
    return f"__import__('importlib.util').util.find_spec({module!r}) is None"


class DaskCluster:
    """The workers of a `dask.distributed.Client`. Large objects are scattered to them once.

    Raises
    ------
    PoolClosedError
        If the client is closed.
    TimeoutError
        If there is no worker after `WAIT` seconds.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self.name = "Dask client"
        if client.status in ("closing", "closed"):
            raise PoolClosedError("the Dask client is closed; give one that is open until the loop has ended")
        if not client.nthreads():
            try:
                client.wait_for_workers(1, timeout=WAIT)
            except TimeoutError as error:
                raise self._without_workers(f"has no worker after {WAIT:g} s") from error

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        self._should_be_open()
        return DaskFuture(self.client, self.client.submit(fn, *args, pure=False))

    def _should_be_open(self) -> None:
        if self.client.status in ("closing", "closed"):
            raise PoolClosedError("the Dask client was shut down before this task was submitted")

    def put(self, pickled: Any) -> Any:
        self._should_be_open()
        try:
            return self.client.scatter([pickled], broadcast=True, hash=False)[0]
        except TimeoutError as error:
            if self.client.nthreads():
                raise
            raise self._without_workers("has no worker any more to send the data to") from error

    def _without_workers(self, what: str) -> TimeoutError:
        address = getattr(self.client.scheduler, "address", "its address")
        return TimeoutError(
            f"the Dask cluster {what}; start some, with cluster.scale(2) or with 'dask worker {address}' on a host, "
            "before you make batches with it"
        )

    def has(self, stand_in: Any) -> bool:
        return bool(stand_in.status == "finished")

    def workers(self) -> int:
        return sum(self.client.nthreads().values()) or 1

    def hosts_that_lack(self, module: str) -> list[str]:
        with contextlib.suppress(Exception):
            found = self.client.run(eval, _lacks(module))
            return sorted(worker for worker, lacks in found.items() if lacks is True)
        return []


class DaskFuture(concurrent.futures.Future[Any]):
    """The future of a task of Dask.

    It can be cancelled in any thread, also in that of Dask's own loop, where the garbage collector may run. The futures
    of Dask's own executor log errors when they are cancelled.
    """

    def __init__(self, client: Any, future: Any) -> None:
        super().__init__()
        self._client, self._of_dask = client, future
        client.loop.add_callback(self._follow, future)

    async def _follow(self, future: Any) -> None:
        """In the loop of Dask: wait for the task, and say what became of it."""
        result, error, is_cancelled = None, None, False
        try:
            result = await future
        except (asyncio.CancelledError, concurrent.futures.CancelledError):
            is_cancelled = True
        except Exception as of_task:
            error = of_task
        self._of_dask = None  # the cluster need not keep the result
        if is_cancelled:
            super().cancel()
        elif self.set_running_or_notify_cancel():
            self.set_result(result) if error is None else self.set_exception(error)

    def cancel(self) -> bool:
        future = self._of_dask
        if future is None or not super().cancel():
            return False
        with contextlib.suppress(RuntimeError):  # the loop is closed, and the task with it
            self._client.loop.add_callback(functools.partial(self._client.cancel, [future], asynchronous=True))
        return True


class RayCluster:
    """The workers of Ray. Large objects are put into its object store once. Call ``ray.init()`` first.

    Raises
    ------
    RuntimeError
        If ``ray.init()`` was not called.
    """

    def __init__(self, ray: Any) -> None:
        if not ray.is_initialized():
            raise RuntimeError("Ray is not connected to a cluster: call ray.init() before you make batches with it")
        self.ray = ray
        self.name = "Ray cluster"
        self._functions: dict[Callable[..., Any], Any] = {}

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        if not self.ray.is_initialized():
            raise RuntimeError("cannot submit to Ray after shutdown")
        if fn not in self._functions:
            self._functions[fn] = self.ray.remote(fn)
        reference = self._functions[fn].remote(*args)
        return RayFuture(self.ray, reference)

    def put(self, pickled: Any) -> Any:
        return self.ray.put(pickled)

    def has(self, stand_in: Any) -> bool:
        return True

    def workers(self) -> int:
        return int(self.ray.cluster_resources().get("CPU", 0)) or 1

    def hosts_that_lack(self, module: str) -> list[str]:
        return []  # Ray runs no built-in functions such as `eval`, and all others would need batchup


class RayFuture:
    """The future of a task of Ray, which can be cancelled."""

    def __init__(self, ray: Any, reference: Any) -> None:
        self._ray, self._reference = ray, reference
        self._future: Any = reference.future()

    def result(self, timeout: float | None = None) -> Any:
        return self._future.result(timeout)

    def done(self) -> bool:
        return bool(self._future.done())

    def cancel(self) -> bool:
        if self._future.done():
            return False
        self._future.cancel()
        with contextlib.suppress(Exception):
            self._ray.cancel(self._reference)
        return True


def cluster_of(executor: Any) -> Cluster:
    """The workers behind an executor, a Dask client, or the module ``ray``.

    Raises
    ------
    TypeError
        If it is none of them.
    """
    if isinstance(executor, types.ModuleType) and executor.__name__ == "ray":
        return RayCluster(executor)
    if type(executor).__module__.startswith("distributed.") and hasattr(executor, "get_executor"):
        return DaskCluster(executor)
    if isinstance(executor, type):
        raise TypeError(f"an executor should be made first, as {executor.__name__}(2), and this is the class itself")
    if not callable(getattr(executor, "submit", None)):
        raise TypeError(f"an executor should have a method submit(fn, *args), but {kind_of(executor)} has not")
    return Executor(executor)


def has_threads_of_ours(executor: Any) -> bool:
    """Whether its workers are threads of this process."""
    return isinstance(executor, concurrent.futures.ThreadPoolExecutor)
