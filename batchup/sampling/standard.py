"""Samplers that give each of their samples once per repeat: all samples, or a subset of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.checks import Indices, index_array, whole
from ..engine.fixed import MAKE_A_NEW_ONE, read_only
from ..engine.shuffle import Rng
from .base import AbstractSampler
from .batches import ascending, cut, repeated

__all__ = ["StandardSampler", "SubsetSampler", "repeats_of"]


class StandardSampler(AbstractSampler):
    """All samples, each once per repeat.

    Parameters
    ----------
    length : int
        The number of samples.
    repeats : int, default 1
        The number of passes; -1 repeats for ever. When shuffled, each pass has an order of its own. A batch may hold
        the end of one pass and the beginning of the next.

    Examples
    --------
    >>> sampler = StandardSampler(5, repeats=2)
    >>> [batch.tolist() for batch in sampler.in_order_indices_batch_iterator(4)]
    [[0, 1, 2, 3], [4, 0, 1, 2], [3, 4]]
    >>> rng = np.random.RandomState(12345)
    >>> [batch.tolist() for batch in sampler.shuffled_indices_batch_iterator(4, rng)]
    [[0, 4, 3, 1], [2, 3, 0, 2], [1, 4]]
    """

    _fixed = dict.fromkeys(["length", "repeats"], MAKE_A_NEW_ONE)

    def __init__(self, length: int, repeats: int = 1) -> None:
        self.length = whole("length", length, least=0)
        self.repeats = repeats_of(repeats, self.length)
        self._fix()

    def num_indices_generated(self) -> int | float | None:
        return np.inf if self.repeats == -1 else self.length * self.repeats

    def in_order_indices_batch_iterator(self, batch_size: int) -> Iterator[Indices]:
        batch_size = whole("batch_size", batch_size)
        return cut((piece for _ in repeated(self.repeats) for piece in ascending(self.length, batch_size)), batch_size)

    def shuffled_indices_batch_iterator(self, batch_size: int, shuffle_rng: Rng) -> Iterator[Indices]:
        batch_size = whole("batch_size", batch_size)
        return cut((_permutation(shuffle_rng, self.length) for _ in repeated(self.repeats)), batch_size)

    def _should_fit(self, length: int) -> None:
        if self.length > length:
            raise ValueError(f"the sampler is over {self.length} samples, but the data has {length}")

    def __repr__(self) -> str:
        return f"StandardSampler({self.length}, repeats={self.repeats})"


class SubsetSampler(AbstractSampler):
    """A subset of the samples, each once per repeat.

    Parameters
    ----------
    indices : array of int, 1-D
        Which samples, in the order used when not shuffled. Copied.
    repeats : int, default 1
        The number of passes; -1 repeats for ever.

    Raises
    ------
    TypeError, IndexError
        If `indices` is not a 1-D array of integers of 0 or more.

    Examples
    --------
    >>> sampler = SubsetSampler(np.array([7, 2, 5]))
    >>> [batch.tolist() for batch in sampler.in_order_indices_batch_iterator(2)]
    [[7, 2], [5]]
    """

    _fixed = dict.fromkeys(["indices", "length", "repeats"], MAKE_A_NEW_ONE)

    def __init__(self, indices: npt.ArrayLike, repeats: int = 1) -> None:
        self.indices = read_only(index_array("indices", indices).copy())
        self.length = len(self.indices)
        self.repeats = repeats_of(repeats, self.length)
        self._fix()

    def num_indices_generated(self) -> int | float | None:
        return np.inf if self.repeats == -1 else self.length * self.repeats

    def map_indices(self, indices: Indices) -> Indices:
        return self.indices[indices]

    def in_order_indices_batch_iterator(self, batch_size: int) -> Iterator[Indices]:
        # a copy for each epoch: writing into a batch of indices must not change a later epoch
        return cut((self.indices.copy() for _ in repeated(self.repeats)), whole("batch_size", batch_size))

    def shuffled_indices_batch_iterator(self, batch_size: int, shuffle_rng: Rng) -> Iterator[Indices]:
        batch_size = whole("batch_size", batch_size)
        return cut((_permutation(shuffle_rng, self.indices) for _ in repeated(self.repeats)), batch_size)

    def _should_fit(self, length: int) -> None:
        index_array("indices", self.indices, below=length)

    def __repr__(self) -> str:
        return f"SubsetSampler(<{len(self.indices)} indices>, repeats={self.repeats})"


def _permutation(rng: Rng, of: int | Indices) -> Indices:
    if not isinstance(of, int) and len(of) == 0:
        return of.copy()  # NumPy does not copy it, and refuses to shuffle what is read-only
    return rng.permutation(of)  # with a type that holds for both kinds of generators


def repeats_of(repeats: Any, length: int) -> int:
    """The argument `repeats` of a sampler over so many samples, checked.

    >>> repeats_of(-1, length=3)
    -1
    """
    if repeats != -1 or isinstance(repeats, (float, np.floating)):
        try:
            return whole("repeats", repeats)
        except (TypeError, ValueError) as error:
            raise type(error)(f"repeats should be -1 (for ever) or at least 1, not {repeats!r}") from None
    if length == 0:
        raise ValueError("repeats=-1 (for ever) over no samples would never give a batch")
    return -1
