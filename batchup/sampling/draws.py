"""Weighted draws with and without replacement, for ever or a given number of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.checks import Indices
from ..engine.shuffle import Rng
from .batches import cut, repeated
from .inverse import Inverse

__all__ = ["WeightedDraws", "rising", "without_replacement"]

SMALLEST = 1e-280  # below, an exponential number divided by the weight may overflow


class WeightedDraws:
    """Positions drawn by their probabilities, in batches.

    Parameters
    ----------
    probabilities : ndarray, 1-D
    num_samples : int or None
        How many to draw; None is for ever.
    replace : bool

    Examples
    --------
    >>> draws = WeightedDraws(np.array([0.5, 0.0, 0.5]), num_samples=2, replace=False)
    >>> [sorted(batch.tolist()) for batch in draws.batches(5, np.random.default_rng(0))]
    [[0, 2]]
    """

    def __init__(self, probabilities: npt.NDArray[Any], num_samples: int | None, replace: bool) -> None:
        self.probabilities, self.num_samples = probabilities, num_samples
        self._inverse = Inverse(probabilities) if replace else None

    def batches(self, batch_size: int, rng: Rng) -> Iterator[Indices]:
        """Batches of positions. Numbers are drawn from `rng` when a batch is requested."""
        draw, n = self._inverse, self.num_samples
        if draw is None:
            return cut(self._once(rng), batch_size)
        if n is None:
            return (draw(rng.random(batch_size)) for _ in repeated(-1))
        return (draw(rng.random(min(batch_size, n - first))) for first in range(0, n, batch_size))

    def _once(self, rng: Rng) -> Iterator[Indices]:
        assert self.num_samples is not None
        yield without_replacement(self.probabilities, self.num_samples, rng)


def without_replacement(weights: npt.NDArray[Any], n: int, rng: Rng) -> Indices:
    """So many different positions, each drawn in proportion to the weights of those that are left.

    >>> without_replacement(np.array([0.0, 1.0, 1e9]), 2, np.random.default_rng(0))
    array([2, 1])
    """
    chosen = None if weights.all() else np.flatnonzero(weights)
    some = weights if chosen is None else weights[chosen]
    keys = _keys(some.astype(np.float64, copy=False), rng)
    if n < len(keys) // 4:
        first = keys.argpartition(n)[:n]
        first = first[keys[first].argsort()]
    else:
        first = rising(keys)[:n]
    return first if chosen is None else chosen[first]


def _keys(weights: npt.NDArray[np.float64], rng: Rng) -> npt.NDArray[np.float64]:
    """Numbers of which the smallest belong to what is drawn first."""
    exponential: npt.NDArray[np.float64] = rng.standard_exponential(len(weights))
    if weights.min() > SMALLEST:
        exponential /= weights
        return exponential
    tiny = np.finfo(np.float64).tiny
    logarithms: npt.NDArray[np.float64] = np.log(np.maximum(exponential, tiny)) - np.log(weights)
    logarithms -= logarithms.min()
    return logarithms


def rising(keys: npt.NDArray[np.float64]) -> Indices:
    """``keys.argsort()`` for numbers of 0 or more, three times as fast.

    The bits of such numbers rise with them. The lowest bits make room for the position, so that one plain sort, which
    NumPy does with vector instructions, moves both. Numbers that differ in these bits only are sorted afterwards.

    >>> rising(np.array([0.5, 0.0, 2.0]))
    array([1, 0, 2])
    """
    n = len(keys)
    bits = np.uint64(max(n - 1, 1).bit_length())
    low = (np.uint64(1) << bits) - np.uint64(1)
    packed = keys.view(np.uint64) & ~low
    packed |= np.arange(n, dtype=np.uint64)
    packed.sort()
    high = packed >> bits
    packed &= low
    order = packed.view(np.intp)
    equal = high[1:] == high[:-1]
    if equal.any():
        tied = np.flatnonzero(np.append(equal, False) | np.insert(equal, 0, False))
        order[tied] = order[tied][np.lexsort((keys[order[tied]], high[tied]))]
    return order
