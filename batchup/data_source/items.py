"""Fetch the samples of a batch one by one, in several threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.checks import INTEGERS, a_or_an, whole
from ..engine.fixed import MAKE_A_NEW_ONE, Fixed
from ..engine.pools import ThreadPool
from ..engine.stacking import stack
from .rows import ArrayLike, by_position, is_table

__all__ = ["ParallelItems"]


class ParallelItems(Fixed):
    """An array-like that fetches the samples of a batch in several threads, one sample at a time.

    Use it for samples that are slow to load, such as images that are read and decoded. Use it in place of the
    array-like, with or without a pool. It can be sent to worker processes. With several workers, what samples draw from
    `numpy.random` is not reproducible; what `random_map` draws is.

    Parameters
    ----------
    items : array-like
        Its ``__getitem__`` takes an int. Several threads call it at a time.
    workers : int
        The number of threads.
    combine : callable, list of samples -> samples of a batch, default list
        For instance `numpy.stack`, if all samples have the same shape. Values stay unchanged: masks are kept, and a
        mixture of strings and numbers raises a `TypeError`.

    Raises
    ------
    TypeError
        If `items` is a table, such as a pandas data frame: it is indexed by column.

    Examples
    --------
    >>> class Slow:
    ...     def __len__(self):
    ...         return 10
    ...     def __getitem__(self, i):
    ...         return np.full(2, i)  # imagine a file that is read
    >>> from batchup import ArrayDataSource
    >>> ds = ArrayDataSource([ParallelItems(Slow(), workers=4, combine=np.stack)])
    >>> next(ds.batch_iterator(3))
    (array([[0, 0],
           [1, 1],
           [2, 2]]),)
    """

    _fixed = dict.fromkeys(["items", "workers", "combine"], MAKE_A_NEW_ONE)

    def __init__(self, items: ArrayLike, workers: int, combine: Callable[[list[Any]], Any] = list) -> None:
        if is_table(items):
            raise TypeError(
                f"items should give a sample for an int, but {a_or_an(type(items))} is indexed by column: pass "
                "arrays of its columns, ArrayDataSource({name: table[name].to_numpy(), …})"
            )
        self.items = items
        self.workers = whole("workers", workers)
        self.combine = combine
        self._pool: tuple[int, ThreadPool] | None = None
        self._fix()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, indices: Any) -> Any:
        if isinstance(indices, INTEGERS):
            return by_position(self.items)[int(indices)]
        pool = self._threads()
        replies = [pool.submit(by_position(self.items).__getitem__, i) for i in np.asarray(indices).tolist()]
        try:
            samples = [reply.result() for reply in replies]
            return stack(samples) if self.combine in (np.stack, np.array, np.asarray) else self.combine(samples)
        finally:
            for reply in replies:  # after an error, the others are not needed
                reply.cancel()

    def _threads(self) -> ThreadPool:
        """The pool of this process. Threads do not survive pickling or a fork."""
        if self._pool is None or self._pool[0] != os.getpid():
            self._pool = os.getpid(), ThreadPool(self.workers)
        return self._pool[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pool": None}
