"""Calls of one function, side by side: results in their order, errors as values.

Who runs them is the `target`: ``for`` (one after the other), ``threads``, ``mpc`` (processes) or ``async``
(coroutines). The threads and processes are shared by all batches, and stay until `close_workers` or the end of the
program.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, TypeAlias

import numpy as np

from ..engine.checks import whole
from ..engine.pools import Pool, ThreadPool, cores
from ..engine.rng import rng_at
from ..engine.stream import WorkStream

__all__ = ["Call", "Chance", "WithArguments", "chance_here", "close_workers", "pool_of", "run_calls", "target_named"]


class Chance:
    """The address of all that is drawn for one item; its generator is made when it is asked for.

    Parameters
    ----------
    seed : int or SeedSequence
    place : tuple of int
        Where under the seed.
    give : bool, default False
        Whether the function gets the generator as its keyword argument ``rng``.
    """

    __slots__ = ("_rng", "calls", "give", "place", "seed")

    def __init__(self, seed: Any, place: tuple[int, ...] = (), give: bool = False) -> None:
        self.seed = seed
        self.place = place
        self.give = give
        self.calls = 0
        self._rng: np.random.Generator | None = None

    @property
    def rng(self) -> np.random.Generator:
        """The generator of this item."""
        if self._rng is None:
            self._rng = rng_at(self.seed, *self.place)
        return self._rng

    def next_place(self) -> tuple[int, ...]:
        """The place of the next parallel call from here."""
        self.calls += 1
        return (*self.place, self.calls - 1)


Call: TypeAlias = tuple[tuple[Any, ...], dict[str, Any], Chance | None]  # args, kwargs, and what they may draw from

_item: ContextVar[Chance | None] = ContextVar("item", default=None)  # of the item that is worked on here, if one is


def chance_here() -> Chance | None:
    """That of the item which this code works on; None outside of any."""
    return _item.get()


class WithArguments:
    """A function of an item, with the arguments that are the same for all items behind it."""

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.fn = fn
        self.args = args
        self.kwargs = kwargs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.fn(*args, *self.args, **self.kwargs, **kwargs)


TARGETS = {"f": "for", "for": "for", "t": "threads", "threads": "threads", "m": "mpc", "mpc": "mpc", "a": "async"}
TARGETS["async"] = "async"


def target_named(target: Any) -> str:
    """The full name of a target.

    >>> target_named("t")
    'threads'
    """
    if not isinstance(target, str) or target not in TARGETS:
        raise ValueError(f"target should be for, threads, mpc or async, or the first letter of one, not {target!r}")
    return TARGETS[target]


def run_calls(
    fn: Callable[..., Any], calls: Sequence[Call], target: str = "for", n_workers: int | None = None
) -> list[Any]:
    """What each call of `fn` returned, or the exception that it raised, in the order of the calls.

    Parameters
    ----------
    fn : callable
        A coroutine function is run by ``async``, whatever the target.
    calls : list of (args, kwargs, chance)
    target : {'for', 'threads', 'mpc', 'async'}, or its first letter
    n_workers : int, optional
        How many threads or processes.

    Examples
    --------
    >>> run_calls(divmod, [((7, 2), {}, None), ((1, 0), {}, None)], "threads")
    [(3, 1), ZeroDivisionError('integer division or modulo by zero')]
    """
    target = target_named(target)
    if not calls:
        return []
    if target == "async" or _is_coroutine(fn):
        return _in_a_loop(fn, calls)
    if target == "for" or _item.get() is not None:  # within an item: its own pool would wait for itself
        return _in_turn(fn, calls)
    pool = _pool(target, n_workers)
    tasks = ((_done, (pool_fn, *call)) for pool_fn in [pool.share(fn)] for call in calls)
    results = []
    stream = WorkStream(pool, tasks, 8 * pool.workers, located=lambda error, number, args: error)
    with contextlib.closing(stream):
        for _ in calls:
            try:
                results.append(next(stream))
            except Exception as error:
                results.append(error)
    return results


def _in_turn(fn: Callable[..., Any], calls: Sequence[Call]) -> list[Any]:
    results: list[Any] = []
    outer = _item.get()
    try:
        for args, kwargs, chance in calls:
            _item.set(chance)
            if chance is not None and chance.give:
                kwargs = {**kwargs, "rng": chance.rng}
            try:
                results.append(fn(*args, **kwargs))
            except Exception as error:
                results.append(error)
    finally:
        _item.set(outer)
    return results


def _done(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], chance: Chance | None) -> Any:
    """One call, in a worker."""
    chance = Chance(0) if chance is None else chance
    _item.set(chance)
    try:
        return fn(*args, **kwargs, **({"rng": chance.rng} if chance.give else {}))
    finally:
        _item.set(None)


def _is_coroutine(fn: Any) -> bool:
    while isinstance(fn, WithArguments):
        fn = fn.fn
    return inspect.iscoroutinefunction(fn)


def _in_a_loop(fn: Callable[..., Any], calls: Sequence[Call]) -> list[Any]:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_together(fn, calls))
    with ThreadPool(1) as pool:  # a notebook has a loop that runs
        return pool.submit(asyncio.run, _together(fn, calls)).result()  # type: ignore[no-any-return]


async def _together(fn: Callable[..., Any], calls: Sequence[Call]) -> list[Any]:
    return list(await asyncio.gather(*(_awaited(fn, *call) for call in calls), return_exceptions=True))


async def _awaited(fn: Callable[..., Any], args: Any, kwargs: Any, chance: Chance | None) -> Any:
    result = _done(fn, args, kwargs, chance)
    if inspect.isawaitable(result):
        _item.set(chance)  # each coroutine has a context of its own
        return await result
    return result


_pools: dict[tuple[str, int | None, int], Pool] = {}
_making = threading.Lock()


def _pool(target: str, n_workers: int | None) -> Pool:
    """The pool that all batches of this process share."""
    key = target, None if n_workers is None else whole("n_workers", n_workers), os.getpid()
    with _making:
        if key not in _pools:
            _pools[key] = pool_of(target, n_workers or _usual(target))
        return _pools[key]


def _usual(target: str) -> int:
    """How many workers there are if nobody says."""
    return min(32, cores() + 4) if target == "threads" else cores()


def pool_of(target: str, n: int) -> Pool:
    """A pool of n threads or processes."""
    if target == "threads":
        return ThreadPool(n)
    from ..engine.process.pool import ProcessPool  # joblib and the rest are imported where they are used

    return ProcessPool(n)


def close_workers() -> None:
    """End the threads and processes that batches share. They come again when they are needed."""
    with _making:
        while _pools:
            _pools.popitem()[1].close()
