"""A source made of several side by side: each gives a part of every batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import sampling
from ..engine import tree
from ..engine.checks import whole
from ..engine.fixed import MAKE_A_NEW_ONE
from ..engine.shuffle import Shuffle
from ..engine.tree import Batch, Pick
from .base import AbstractDataSource
from .batches import BatchIterator, MappedBatches, SideBySide
from .functions import fields_of
from .interface import should_be_random_access
from .member_plans import JoinedPlan
from .members import as_members, batches_of, plans_of, traits_of_all
from .plan import Plan, Traits

__all__ = ["CompositeDataSource"]


class CompositeDataSource(AbstractDataSource):
    """Batches from several sources side by side, until the first of them ends.

    Parameters
    ----------
    datasets : sequence of data sources
        Each gives the same number of samples to a batch. Beside a large source, let a small one repeat
        (``repeats=-1``).
    flatten : bool, default True
        Whether a batch is one tuple of all arrays (one dict, where the sources give dicts), or a tuple with one batch
        per source.
    trim : bool, default True
        Whether to cut a batch to the length of its shortest part.
    batch_sizes : sequence of int, optional
        How many samples each source gives to a batch, instead of `batch_size` from each. The `batch_size` of the
        composite is then their sum, and nothing is trimmed.

    Examples
    --------
    >>> from batchup import ArrayDataSource
    >>> labelled = ArrayDataSource([np.array([10, 11]), np.array([0, 1])], repeats=-1)
    >>> unlabelled = ArrayDataSource([np.arange(5)])
    >>> for batch in CompositeDataSource([labelled, unlabelled]).batch_iterator(3):
    ...     print(batch)
    (array([10, 11, 10]), array([0, 1, 0]), array([0, 1, 2]))
    (array([11, 10]), array([1, 0]), array([3, 4]))
    >>> next(CompositeDataSource([labelled, unlabelled], batch_sizes=(1, 3)).batch_iterator(4))
    (array([10]), array([0]), array([0, 1, 2]))
    """

    _fixed = dict.fromkeys(["datasets", "flatten", "trim", "batch_sizes"], MAKE_A_NEW_ONE)

    def __init__(
        self,
        datasets: Sequence[Any],
        flatten: bool = True,
        trim: bool = True,
        batch_sizes: Sequence[int] | None = None,
    ) -> None:
        self.datasets = as_members(datasets)
        self.flatten = flatten
        self.batch_sizes = None if batch_sizes is None else tuple(whole("batch_sizes", n) for n in batch_sizes)
        if self.batch_sizes is not None and len(self.batch_sizes) != len(self.datasets):
            raise ValueError(
                f"there should be a batch size for each of the {len(self.datasets)} sources, not {self.batch_sizes}"
            )
        self.trim = trim and self.batch_sizes is None
        if self.trim and any(ds.traits.has_unequal_parts for ds in self.datasets):
            raise ValueError("trim should be False: one of the sources has batch_sizes, so its parts differ in length")
        self._fix()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.datasets)!r})"

    @property
    def is_random_access(self) -> bool:
        return all(ds.is_random_access for ds in self.datasets)

    @property
    def traits(self) -> Traits:
        traits = traits_of_all(self.datasets)
        unequal = self.batch_sizes is not None or (not self.trim and traits.has_unequal_parts)
        return dataclasses.replace(traits, has_unequal_parts=unequal)

    def num_samples(self, **kwargs: Any) -> int | float | None:
        """The number of samples that each source gives before the first of them ends; with `batch_sizes`, their sum.

        Returns
        -------
        int, `numpy.inf` or None
            None if one of the sources does not know its number.
        """
        counts = [ds.num_samples(**kwargs) for ds in self.datasets]
        known = [n for n in counts if n is not None]
        if len(known) < len(counts):
            return None
        return min(known) if self.batch_sizes is None else _samples_in_all(known, self.batch_sizes)

    def _sizes(self, batch_size: int) -> tuple[int, ...]:
        """The number of samples that each source gives to a batch."""
        if self.batch_sizes is None:
            return (batch_size,) * len(self.datasets)
        if whole("batch_size", batch_size) != sum(self.batch_sizes):
            raise ValueError(
                f"batch_size should be {sum(self.batch_sizes)}, the sum of batch_sizes={self.batch_sizes}, "
                f"not {batch_size}"
            )
        return self.batch_sizes

    def plan(self, batch_size: int, **kwargs: Any) -> Plan:
        members = plans_of(self.datasets, self._sizes(batch_size), kwargs)
        return JoinedPlan(members, type(self).__name__, self.trim, self.batch_sizes)

    def batch_indices_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Pick]:
        should_be_random_access(self)
        return CompositeDataSource.plan(self, batch_size, **kwargs).picks(shuffle)

    def batch_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Batch]:
        if self.is_random_access:
            return BatchIterator.over(self, batch_size, shuffle, kwargs)
        each = batches_of(self.datasets, self._sizes(batch_size), shuffle, kwargs)
        return MappedBatches(self._joined_in_turn, SideBySide(each))

    def samples_by_indices(self, indices: Pick) -> Batch:
        return self._fetched("samples_by_indices", indices)

    def samples_by_indices_nomapping(self, indices: Pick) -> Batch:
        return self._fetched("samples_by_indices_nomapping", indices)

    def _fetched(self, how: str, picks: Pick) -> Batch:
        should_be_random_access(self)
        if len(picks) != len(self.datasets):
            raise ValueError(f"there should be a pick for each of the {len(self.datasets)} sources, not {len(picks)}")
        parts = [getattr(ds, how)(pick) for ds, pick in zip(self.datasets, picks, strict=True)]
        return self._joined(tuple(parts))

    def _joined_in_turn(self, parts: tuple[Batch, ...]) -> Batch:
        return self._joined(tuple(map(fields_of, parts)))

    def _joined(self, parts: tuple[Batch, ...]) -> Batch:
        parts = tree.even(parts) if self.trim else parts
        return tree.join(parts) if self.flatten else parts


def _samples_in_all(counts: Sequence[int | float], sizes: Sequence[int]) -> int | float:
    """The number of samples that all sources give together before the first of them ends.

    >>> _samples_in_all([5, 9], [2, 3])
    14
    """
    batches = [sampling.num_batches(int(n), size) for n, size in zip(counts, sizes, strict=True) if n != np.inf]
    if not batches:
        return np.inf
    return int(sum(min(n, min(batches) * size) for n, size in zip(counts, sizes, strict=True)))
