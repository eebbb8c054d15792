"""The batches of a loop, each converted by a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Converted"]


class Converted(map):  # type: ignore[type-arg] # it takes no parameters when it runs
    """The batches of a loop, each converted by `fn`. Its ``len`` is the number of batches that are left.

    >>> import numpy as np
    >>> from batchup import Loader
    >>> batches = Converted(lambda batch: batch[0].sum(), iter(Loader([np.arange(1, 5)], 2)))
    >>> int(next(batches)), len(batches)
    (3, 1)
    """

    def __init__(self, fn: Callable[[Any], Any], loop: Iterator[Any]) -> None:
        self._loop = loop
        self.is_over_epoch = getattr(loop, "is_over_epoch", True)

    def __len__(self) -> int:
        return len(self._loop)  # type: ignore[arg-type] # raises if it is not known

    def __bool__(self) -> bool:
        return True
