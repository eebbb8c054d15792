"""Chance for one item at a time: its generator depends on the seed, the stage and the number of the item alone."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.global_rng import seed_globals
from ..engine.rng import rng_at

__all__ = ["Place", "Step", "at", "item_rng", "takes_rng"]


class Place:
    """One item at one stage of a run. Its generator is made when somebody asks for it.

    >>> Place(entropy=7, stage=1, number=0).rng().integers(100, size=3)
    array([69, 58, 62])
    """

    __slots__ = ("_rng", "entropy", "number", "stage")

    def __init__(self, entropy: int, stage: int, number: int) -> None:
        self.entropy = entropy
        self.stage = stage
        self.number = number
        self._rng: np.random.Generator | None = None

    def rng(self) -> np.random.Generator:
        """The generator of the place: one, however often it is asked for."""
        if self._rng is None:
            self._rng = rng_at(self.entropy, self.stage, self.number)
        return self._rng


class _Here(threading.local):
    place: Place | None = None


here = _Here()  # where this thread is at work


class at:
    """In the block, chance is that of a place."""

    __slots__ = ("_outer", "_place")

    def __init__(self, place: Place | None) -> None:
        self._place = place

    def __enter__(self) -> None:
        self._outer, here.place = here.place, self._place

    def __exit__(self, *error: object) -> None:
        here.place = self._outer


def item_rng() -> np.random.Generator:
    """The generator of the item that this thread works on; of fresh entropy outside of a pipe."""
    return np.random.default_rng() if here.place is None else here.place.rng()


class Step:
    """What is done to one item at one stage. It goes to the workers.

    Parameters
    ----------
    function : callable, item -> item
    entropy, stage : int
        With the number of the item, what its chance depends on.
    seeds_globals : bool, default False
        Whether to seed `numpy.random` and `random` for each item as well: in a process where nobody else draws.
    """

    def __init__(self, function: Callable[[Any], Any], entropy: int, stage: int, seeds_globals: bool = False) -> None:
        self.function = function
        self.entropy = entropy
        self.stage = stage
        self.seeds_globals = seeds_globals

    def __call__(self, value: Any, number: int) -> Any:
        outer, here.place = here.place, Place(self.entropy, self.stage, number)
        try:
            if self.seeds_globals:
                seed_globals(self.entropy, self.stage, number)
            return self.function(value)
        finally:
            here.place = outer


def takes_rng(func: Callable[..., Any]) -> bool:
    """Whether the function has a parameter `rng` that is still open.

    >>> takes_rng(lambda image, rng: image), takes_rng(np.flip)
    (True, False)
    """
    if isinstance(func, functools.partial) and "rng" in func.keywords:
        return False
    try:
        parameter = inspect.signature(func).parameters.get("rng")
    except (TypeError, ValueError):  # some functions in C do not tell
        return False
    return parameter is not None and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
