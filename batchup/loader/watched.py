"""Notice batches that draw from global generators, where it was found that none do, and go on in another way."""

from __future__ import annotations

import collections
import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from ..data_source import Batch
from ..engine import tree
from ..engine.global_rng import marks_of_globals, restore_globals, states_of_globals
from ..engine.pulled import interrupted_error
from ..errors import BatchUpError
from .fetch import FetchJob, FetchResult
from .plan import Item

__all__ = ["HasDrawnError", "NoticingJob", "Watched"]

Results: TypeAlias = Callable[[Iterator[Item]], Iterator[FetchResult]]

ALWAYS = 8  # from so many false alarms on, only some are looked into


class HasDrawnError(BatchUpError):
    """A batch has drawn random numbers from global generators that were not seeded for it."""


class NoticingJob:
    """A job that raises a `HasDrawnError` for a batch that draws from global generators.

    In threads, others may have drawn meanwhile, such as the loop. Then the batch is fetched again: if it is the same,
    it does not depend on what was drawn.

    Parameters
    ----------
    job : FetchJob
        Without a seed.
    alone : bool
        Whether the loop itself calls it. In the main thread nobody else draws then, and the generators are put back.
    """

    def __init__(self, job: FetchJob, alone: bool) -> None:
        self._job, self._alone = job, alone
        self._marks: Any = None
        self._states: Any = None  # at these marks
        self._false_alarms = 0

    def __call__(self, item: Item) -> FetchResult:
        before = marks_of_globals()
        if self._alone and threading.current_thread() is threading.main_thread():  # not in a thread of `prefetch_to`
            return self._called_alone(item, before)
        result = self._job(item)
        if before != marks_of_globals() and not self._is_false_alarm(item, result[0]):
            raise HasDrawnError
        return result

    def _called_alone(self, item: Item, before: tuple[Any, ...]) -> FetchResult:
        if before != self._marks:  # the loop has drawn since
            self._marks, self._states = before, states_of_globals()
        try:
            result = self._job(item)
        except Exception:
            self._should_not_have_drawn(before)
            raise
        self._should_not_have_drawn(before)
        return result

    def _should_not_have_drawn(self, before: tuple[Any, ...]) -> None:
        if before != marks_of_globals():
            restore_globals(self._states)
            raise HasDrawnError

    def _is_false_alarm(self, item: Item, batch: Batch | None) -> bool:
        self._false_alarms += 1
        n = self._false_alarms
        if n > ALWAYS and n & (n - 1):  # the loop draws all the time; look at every second, fourth, eighth one
            return True
        with contextlib.suppress(Exception):
            return are_same(batch, self._job(item)[0])
        return False


class Watched(Iterator[Any]):
    """The results of some items. From the first batch on that raises a `HasDrawnError`, they are made in another way.

    Parameters
    ----------
    items : iterator of items
    results : callable, ``results(items)``
    anew : callable, ``anew(items)``
        The results of the items whose results were not delivered.
    """

    def __init__(self, items: Iterator[Item], results: Results, anew: Results) -> None:
        self._items = _Remembered(items)
        self._results, self._anew = results(self._items), anew
        self._held: FetchResult | None = None
        self._is_switching = False

    def __next__(self) -> FetchResult:
        if self._is_switching:
            raise interrupted_error()
        self._items.forget(self._held)
        self._held = None
        try:
            for self._held in self._results:  # noqa: B020 - no call between the two: see engine.pulled
                return self._held
        except HasDrawnError:
            self._switch()
            return next(self)
        except Exception:
            self._items.forget_first()  # it was the error of this one
            raise
        raise StopIteration

    def close(self) -> None:
        """End the loop; no more results will be requested."""
        if hasattr(self._results, "close"):
            self._results.close()

    def _switch(self) -> None:
        self._is_switching = True  # if interrupted, it is not known how many items were taken
        left = self._items.take_rest()
        is_over = False
        while not is_over:  # wait for those in flight, which draw from generators that will be seeded for others
            with contextlib.suppress(Exception):
                collections.deque(self._results, maxlen=0)
                is_over = True
        self._results = self._anew(left)
        self._is_switching = False


class _Remembered(Iterator[Any]):
    """Items, of which those are remembered whose results were not delivered."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self._given: collections.deque[Item] = collections.deque()

    def __next__(self) -> Item:
        item = next(self._items)
        self._given.append(item)
        return item

    def forget(self, delivered: FetchResult | None) -> None:
        """Forget the items up to that of a result."""
        while delivered is not None and self._given and self._given[0][1:] <= delivered[1:3]:
            self._given.popleft()

    def forget_first(self) -> None:
        if self._given:
            self._given.popleft()

    def take_rest(self) -> Iterator[Item]:
        """The items that are remembered, and those that come. There are no more of them here."""
        rest = itertools.chain(self._given, self._items)
        self._given, self._items = collections.deque(), iter(())
        return rest


def are_same(a: Batch | None, b: Batch | None) -> bool:
    """Whether two batches are equal in all bytes; False where that is not known.

    >>> are_same((np.arange(3), "x"), (np.arange(3), "x")), are_same((np.arange(3),), (np.arange(3.0),))
    (True, False)
    """
    some, others = list(tree.leaves(a)), list(tree.leaves(b))
    return len(some) == len(others) and all(map(_are_same_leaves, some, others))


def _are_same_leaves(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_are_same_leaves, a, b))
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return (a.dtype, a.shape) == (b.dtype, b.shape) and (
            a.tobytes() == b.tobytes() if not a.dtype.hasobject else all(map(_are_same_leaves, a.flat, b.flat))
        )
    same = a == b
    return bool(same.all() if hasattr(same, "all") else same)
