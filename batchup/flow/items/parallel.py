"""Run many calls of one function: results in the order of the calls, exceptions as values.

The `target` says who runs the calls: ``for`` (one after the other), ``threads``, ``mpc`` (processes) or ``async``
(coroutines). All batches share the threads and processes, which live until `close_workers` or the end of the program.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from ...engine.checks import whole
from ...engine.cores import cores
from ...engine.pools import Pool, ThreadPool
from ...engine.rng import SeedPath
from ...engine.stream import WorkStream
from .seeds import ItemSeed, seed_in_use

__all__ = ["ItemCall", "WithArguments", "close_workers", "full_target_name", "make_pool", "run_calls"]

ItemCall: TypeAlias = tuple[tuple[Any, ...], dict[str, Any], ItemSeed | None]  # args, kwargs, random numbers


class WithArguments:
    """A function of an item, with the further arguments that are the same for all items."""

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.fn = fn
        self.args = args
        self.kwargs = kwargs

    def __call__(self, *args: object, **kwargs: object) -> Any:
        return self.fn(*args, *self.args, **self.kwargs, **kwargs)


TARGETS = {"f": "for", "for": "for", "t": "threads", "threads": "threads", "m": "mpc", "mpc": "mpc", "a": "async"}
TARGETS["async"] = "async"


def full_target_name(target: object) -> str:
    """The full name of a target, from its name or first letter.

    >>> full_target_name("t")
    'threads'
    """
    if not isinstance(target, str) or target not in TARGETS:
        raise ValueError(f"target should be for, threads, mpc or async, or the first letter of one, not {target!r}")
    return TARGETS[target]


def run_calls(
    fn: Callable[..., Any], calls: Sequence[ItemCall], target: str = "for", n_workers: int | None = None
) -> list[Any]:
    """What each call of `fn` returned or the exception that it raised, in the order of the calls.

    Parameters
    ----------
    fn : callable
        A coroutine function always runs as ``async``, whatever the target.
    calls : list of (args, kwargs, ItemSeed or None)
    target : {'for', 'threads', 'mpc', 'async'}, or its first letter
    n_workers : int, optional
        How many threads or processes.

    Examples
    --------
    >>> run_calls(divmod, [((7, 2), {}, None), ((1, 0), {}, None)], "threads")
    [(3, 1), ZeroDivisionError('integer division or modulo by zero')]
    """
    target = full_target_name(target)
    if not calls:
        return []
    if target == "async" or _is_coroutine(fn):
        return _run_in_event_loop(fn, calls)
    if target == "for" or seed_in_use.get() is not None:  # called by an item: a full pool would wait for itself
        return _run_in_turn(fn, calls)
    pool = _shared_pool(target, n_workers)
    tasks = ((_run_call, (pool_fn, *call)) for pool_fn in [pool.share(fn)] for call in calls)
    results = []
    stream = WorkStream(pool, tasks, 8 * pool.workers, located=lambda error, number, args: error)
    with contextlib.closing(stream):
        for _ in calls:
            try:
                results.append(next(stream))
            except Exception as error:
                results.append(error)
    return results


def _run_in_turn(fn: Callable[..., Any], calls: Sequence[ItemCall]) -> list[Any]:
    results: list[Any] = []
    outer = seed_in_use.get()
    try:
        for args, kwargs, seed in calls:
            seed_in_use.set(seed)
            if seed is not None and seed.pass_rng:
                kwargs = {**kwargs, "rng": seed.rng}
            try:
                results.append(fn(*args, **kwargs))
            except Exception as error:
                results.append(error)
    finally:
        seed_in_use.set(outer)
    return results


def _run_call(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], seed: ItemSeed | None) -> Any:
    """One call, in a worker."""
    seed = ItemSeed(SeedPath(0)) if seed is None else seed
    seed_in_use.set(seed)
    try:
        return fn(*args, **kwargs, **({"rng": seed.rng} if seed.pass_rng else {}))
    finally:
        seed_in_use.set(None)


def _is_coroutine(fn: Callable[..., Any]) -> bool:
    while isinstance(fn, WithArguments):
        fn = fn.fn
    return inspect.iscoroutinefunction(fn)


def _run_in_event_loop(fn: Callable[..., Any], calls: Sequence[ItemCall]) -> list[Any]:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_together(fn, calls))
    with ThreadPool(1) as pool:  # a notebook runs a loop already
        return pool.submit(asyncio.run, _together(fn, calls)).result()  # type: ignore[no-any-return]


async def _together(fn: Callable[..., Any], calls: Sequence[ItemCall]) -> list[Any]:
    return list(await asyncio.gather(*(_awaited(fn, *call) for call in calls), return_exceptions=True))


async def _awaited(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], seed: ItemSeed | None) -> Any:
    result = _run_call(fn, args, kwargs, seed)
    if inspect.isawaitable(result):
        seed_in_use.set(seed)  # each coroutine has a context of its own
        return await result
    return result


_shared_pools: dict[tuple[str, int | None, int], Pool] = {}
_pools_lock = threading.Lock()


def _shared_pool(target: str, n_workers: int | None) -> Pool:
    """The pool that all batches of this process share."""
    key = target, None if n_workers is None else whole("n_workers", n_workers), os.getpid()
    with _pools_lock:
        if key not in _shared_pools:
            default = min(32, cores() + 4) if target == "threads" else cores()
            _shared_pools[key] = make_pool(target, n_workers or default)
        return _shared_pools[key]


def make_pool(target: str, n: int) -> Pool:
    """A new pool of n threads or processes."""
    if target == "threads":
        return ThreadPool(n)
    from ...engine.process.pool import ProcessPool  # with cloudpickle: only on use

    return ProcessPool(n)


def close_workers() -> None:
    """End the threads and processes that batches share. New ones start when they are needed."""
    with _pools_lock:
        while _shared_pools:
            _shared_pools.popitem()[1].close()
