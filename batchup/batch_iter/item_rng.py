"""A random number generator for each item at each stage.

It depends only on the seed of the pipe, the number of the stage and the number of the item. So batches do not depend on
which worker handles which item, or when.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.global_rng import seed_globals
from ..engine.rng import SeedPath

__all__ = ["ItemRng", "StageCall", "current", "item_rng", "takes_rng", "use_item_rng"]


class ItemRng:
    """The generator of one item at one stage. It is made on first use, as many items need none.

    Parameters
    ----------
    stage_path : SeedPath
        The seed path of the stage.
    number : int
        The number of the item.

    Examples
    --------
    >>> ItemRng(SeedPath(7, (1,)), 0).generator().integers(100, size=3)
    array([69, 58, 62])
    """

    __slots__ = ("_rng", "number", "stage_path")

    def __init__(self, stage_path: SeedPath, number: int) -> None:
        self.stage_path = stage_path
        self.number = number
        self._rng: np.random.Generator | None = None

    def generator(self) -> np.random.Generator:
        """The generator; the same object at each call."""
        if self._rng is None:
            self._rng = self.stage_path.child(self.number).rng()
        return self._rng


class _Current(threading.local):
    item: ItemRng | None = None


current = _Current()  # what the item that this thread works on draws from; None outside of a pipe


class use_item_rng:
    """A context manager: within the block, `item_rng` gives the generator of this item."""

    __slots__ = ("_item", "_outer")

    def __init__(self, item: ItemRng | None) -> None:
        self._item = item

    def __enter__(self) -> None:
        self._outer, current.item = current.item, self._item

    def __exit__(self, *error: object) -> None:
        current.item = self._outer


def item_rng() -> np.random.Generator:
    """The generator of the item that this thread works on. Outside of a pipe, a new one that no seed decides."""
    return np.random.default_rng() if current.item is None else current.item.generator()


class StageCall:
    """Calls the function of one stage with one item, with the generator of that item. It is sent to the workers.

    Parameters
    ----------
    function : callable, item -> item
    entropy : int
        The seed of the pipe.
    stage : int
        The number of the stage.
    seeds_globals : bool, default False
        Whether to seed `numpy.random` and `random` for each item too. Only in a worker process: in threads, other code
        draws from them at the same time.
    """

    def __init__(self, function: Callable[[Any], Any], entropy: int, stage: int, seeds_globals: bool = False) -> None:
        self.function = function
        self.entropy = entropy
        self.stage = stage
        self.seeds_globals = seeds_globals
        self.seed_path = SeedPath(entropy, (stage,))

    def __call__(self, value: Any, number: int) -> Any:
        outer, current.item = current.item, ItemRng(self.seed_path, number)
        try:
            if self.seeds_globals:
                seed_globals(self.entropy, self.stage, number)
            return self.function(value)
        finally:
            current.item = outer


def takes_rng(func: Callable[..., Any]) -> bool:
    """Whether the function has a parameter `rng` that is not filled in yet.

    >>> takes_rng(lambda image, rng: image), takes_rng(np.flip)
    (True, False)
    """
    if isinstance(func, functools.partial) and "rng" in func.keywords:
        return False
    try:
        parameter = inspect.signature(func).parameters.get("rng")
    except (TypeError, ValueError):  # some functions written in C have no signature
        return False
    return parameter is not None and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
