"""A sampler over a subset: what another sampler draws is mapped to the indices of the subset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.checks import Indices, index_array
from ..engine.fixed import MAKE_A_NEW_ONE, read_only
from ..engine.shuffle import Rng
from .base import AbstractSampler

__all__ = ["MappedSampler"]


class MappedSampler(AbstractSampler):
    """A sampler over a subset of the samples, made from a sampler over ``len(indices)`` samples.

    ``ArrayDataSource(data, indices=indices, sampler=sampler)`` makes one.

    Parameters
    ----------
    sampler : AbstractSampler
        Draws positions in the subset. Its weights, labels or lengths are those of the samples of the subset.
    indices : array of int, 1-D
        Which samples. Copied.

    Examples
    --------
    >>> from batchup.sampling import ClassCountSampler
    >>> sampler = MappedSampler(ClassCountSampler(["a", "b", "b"], {"a": 1, "b": 1}), [70, 20, 50])
    >>> [batch.tolist() for batch in sampler.in_order_indices_batch_iterator(2)]
    [[70, 20], [70, 50]]
    """

    _fixed = dict.fromkeys(["sampler", "indices", "has_own_sizes", "takes_weights"], MAKE_A_NEW_ONE)

    def __init__(self, sampler: AbstractSampler, indices: npt.ArrayLike) -> None:
        self.indices = read_only(index_array("indices", indices).copy())
        self.sampler = sampler
        self.has_own_sizes, self.takes_weights = sampler.has_own_sizes, sampler.takes_weights
        try:
            sampler._should_fit(len(self.indices))
        except (ValueError, IndexError) as error:
            n = len(self.indices)
            raise type(error)(
                f"beside indices, a sampler should be over the {n} samples of the subset: {error}"
            ) from None
        self._fix()

    def num_indices_generated(self) -> int | float | None:
        return self.sampler.num_indices_generated()

    def map_indices(self, indices: Indices) -> Indices:
        return self.indices[self.sampler.map_indices(indices)]

    def in_order_indices_batch_iterator(self, batch_size: int) -> Iterator[Indices]:
        return map(self.indices.__getitem__, self.sampler.in_order_indices_batch_iterator(batch_size))

    def shuffled_indices_batch_iterator(self, batch_size: int, shuffle_rng: Rng) -> Iterator[Indices]:
        return map(self.indices.__getitem__, self.sampler.shuffled_indices_batch_iterator(batch_size, shuffle_rng))

    def batches_from(self, step: int, batch_size: int, shuffle_rng: Rng | None = None) -> Iterator[Indices]:
        return map(self.indices.__getitem__, self.sampler.batches_from(step, batch_size, shuffle_rng))

    def num_batches(self, batch_size: int, full: bool = False) -> int | float | None:
        return self.sampler.num_batches(batch_size, full)

    def with_weights(self, weights: npt.ArrayLike) -> MappedSampler:
        return MappedSampler(self.sampler.with_weights(weights), self.indices)

    def full_size(self, indices: Indices, batch_size: int) -> int:
        if not self.has_own_sizes:
            return batch_size
        order: Any = self.indices.argsort()
        return self.sampler.full_size(order[np.searchsorted(self.indices, indices, sorter=order)], batch_size)

    def _should_fit(self, length: int) -> None:
        index_array("indices", self.indices, below=length)

    def __repr__(self) -> str:
        return f"{self.sampler!r} over <{len(self.indices)} indices>"
