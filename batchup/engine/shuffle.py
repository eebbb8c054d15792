"""What the argument `shuffle` may be."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from .global_rng import Rng, global_rng
from .rng import rng_at

Shuffle: TypeAlias = bool | int | np.random.SeedSequence | Rng | None

__all__ = ["Rng", "Shuffle", "as_rng"]


def as_rng(shuffle: Any) -> Rng | None:
    """The generator that draws the shuffled order, or None if the order is kept.

    Parameters
    ----------
    shuffle : None, bool, int, SeedSequence, RandomState or Generator
        None and False keep the order. True is NumPy's global generator. A seed gives the order of its epoch 0, the same
        every time. A generator is used as it is, and advances.

    Raises
    ------
    TypeError
        For anything else.
    ValueError
        For a negative seed.
    """
    if shuffle is None or isinstance(shuffle, (bool, np.bool_)):
        return global_rng() if shuffle else None
    if isinstance(shuffle, (np.random.RandomState, np.random.Generator)):
        return shuffle
    if shuffle is np.random:
        return global_rng()
    if isinstance(shuffle, (int, np.integer)):
        if shuffle < 0:
            raise ValueError(f"a seed for shuffle should be 0 or more, not {shuffle}")
        return rng_at(int(shuffle), 0)
    if isinstance(shuffle, np.random.SeedSequence):
        return rng_at(shuffle, 0)
    raise TypeError(
        "shuffle should be None, a bool, a seed (an int or a SeedSequence), a RandomState or a Generator, "
        f"not {shuffle!r}"
    )
