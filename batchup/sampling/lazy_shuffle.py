"""A shuffle of any number of samples that needs no memory for its order, and can be entered anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from ..engine.checks import Indices, index_array, whole
from ..engine.fixed import MAKE_A_NEW_ONE, read_only
from ..engine.shuffle import Rng
from .base import AbstractSampler
from .batches import cut
from .permutation import KeyedPermutation, key_from
from .standard import StandardSampler, SubsetSampler, repeats_of

__all__ = ["LAZY_ABOVE", "LazyShuffleSampler", "lazy"]

PIECE = 8192  # indices that are made at a time
LAZY_ABOVE = 1 << 27  # samples; from here on an order takes a gigabyte and several seconds


class LazyShuffleSampler(AbstractSampler):
    """All samples, each once per repeat, in a random order that is computed piece by piece.

    The order takes no memory and no time in advance, for any number of samples. A run over it resumes at once, however
    far it was. It is another order than that of `StandardSampler` with the same seed.

    Parameters
    ----------
    length : int
        The number of samples.
    repeats : int, default 1
        The number of passes; -1 repeats for ever. Each pass has an order of its own. A batch may hold the end of one
        pass and the beginning of the next.
    indices : array of int, 1-D, optional
        Use these samples only. Copied.

    Notes
    -----
    The order is a keyed permutation: a Feistel network with cycle walking. A key of 128 bits is drawn from the
    generator when the first batch is requested, and nothing after that.

    Examples
    --------
    >>> sampler = LazyShuffleSampler(10**12)
    >>> batches = sampler.shuffled_indices_batch_iterator(3, np.random.default_rng(7))
    >>> next(batches)
    array([418830914168, 388231200027, 757920480883])
    >>> far = sampler.batches_from(10**9, 3, np.random.default_rng(7))
    >>> len(next(far))
    3
    """

    _fixed = dict.fromkeys(["length", "indices", "repeats"], MAKE_A_NEW_ONE)

    def __init__(self, length: int, repeats: int = 1, indices: npt.ArrayLike | None = None) -> None:
        self.length = whole("length", length, least=0)
        chosen = None if indices is None else index_array("indices", indices, below=self.length).copy()
        self.indices = None if chosen is None else read_only(chosen)
        self._n = self.length if self.indices is None else len(self.indices)
        self.repeats = repeats_of(repeats, self._n)
        self._fix()

    def num_indices_generated(self) -> int | float | None:
        return np.inf if self.repeats == -1 else self._n * self.repeats

    def map_indices(self, indices: Indices) -> Indices:
        return indices if self.indices is None else self.indices[indices]

    def in_order_indices_batch_iterator(self, batch_size: int) -> Iterator[Indices]:
        return self.batches_from(0, batch_size)

    def shuffled_indices_batch_iterator(self, batch_size: int, shuffle_rng: Rng) -> Iterator[Indices]:
        return self.batches_from(0, batch_size, shuffle_rng)

    def batches_from(self, step: int, batch_size: int, shuffle_rng: Rng | None = None) -> Iterator[Indices]:
        batch_size = whole("batch_size", batch_size)
        return cut(self._pieces(step * batch_size, batch_size, shuffle_rng), batch_size)

    def _pieces(self, position: int, batch_size: int, rng: Rng | None) -> Iterator[Indices]:
        """The indices from a position on, counted over all passes."""
        key = None if rng is None else key_from(rng)
        most = batch_size * max(PIECE // batch_size, 1)
        while self._n and (self.repeats == -1 or position < self._n * self.repeats):
            number, start = divmod(position, self._n)
            between = self._pass(key, number)
            for first in range(start, self._n, most):
                yield self.map_indices(between(first, min(first + most, self._n)))
            position = (number + 1) * self._n

    def _pass(self, key: int | None, number: int) -> Callable[[int, int], Indices]:
        return np.arange if key is None else KeyedPermutation(self._n, key, (number,)).between

    def _should_fit(self, length: int) -> None:
        if self.length > length:
            raise ValueError(f"the sampler is over {self.length} samples, but the data has {length}")

    def __repr__(self) -> str:
        some = "" if self.indices is None else f", indices=<{len(self.indices)} indices>"
        return f"LazyShuffleSampler({self.length}, repeats={self.repeats}{some})"


def lazy(sampler: AbstractSampler, above: int = LAZY_ABOVE) -> AbstractSampler:
    """A `LazyShuffleSampler` over the same samples, in place of a plain sampler over more than `above` of them.

    >>> lazy(StandardSampler(10)), lazy(StandardSampler(10**9))
    (StandardSampler(10, repeats=1), LazyShuffleSampler(1000000000, repeats=1))
    """
    if type(sampler) is StandardSampler and sampler.length > above:
        return LazyShuffleSampler(sampler.length, sampler.repeats)
    if type(sampler) is SubsetSampler and sampler.length > above:
        return LazyShuffleSampler(int(sampler.indices.max()) + 1, sampler.repeats, sampler.indices)
    return sampler
