"""Sources made of several: side by side, or in turns."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import sampling
from ..engine import tree
from ..engine.checks import INTEGERS, Indices, kind_of, no_keywords
from ..engine.rng import Rng, Shuffle, as_rng
from ..engine.tree import Batch, Pick
from .arrays import ArrayDataSource
from .base import AbstractDataSource, BatchIterator, should_be_random_access, with_shuffle
from .iterators import CallableDataSource, IteratorDataSource

__all__ = [
    "ChoiceBatch",
    "ChoiceDataSource",
    "CompositeDataSource",
    "coerce_data_source",
]


class CompositeDataSource(AbstractDataSource):
    """Batches from several sources side by side, until the first of them ends.

    Parameters
    ----------
    datasets : sequence of data sources
        Each gives as many samples as the others to a batch. Let a small one repeat (``repeats=-1``) beside a large one.
    flatten : bool, default True
        Whether a batch is one tuple of all arrays, or a tuple with one batch per source.
    trim : bool, default True
        Whether a batch is cut to the length of the shortest of its parts.

    Examples
    --------
    >>> labelled = ArrayDataSource([np.array([10, 11]), np.array([0, 1])], repeats=-1)
    >>> unlabelled = ArrayDataSource([np.arange(5)])
    >>> for batch in CompositeDataSource([labelled, unlabelled]).batch_iterator(3):
    ...     print(batch)
    (array([10, 11, 10]), array([0, 1, 0]), array([0, 1, 2]))
    (array([11, 10]), array([1, 0]), array([3, 4]))
    """

    def __init__(self, datasets: Sequence[Any], flatten: bool = True, trim: bool = True) -> None:
        self.datasets = _members(datasets)
        self.flatten = flatten
        self.trim = trim

    @property
    def is_random_access(self) -> bool:
        return all(ds.is_random_access for ds in self.datasets)

    @property
    def _takes_keywords(self) -> bool:
        return any(ds._takes_keywords for ds in self.datasets)

    @property
    def _may_draw(self) -> bool:
        return any(ds._may_draw for ds in self.datasets)

    def num_samples(self, **kwargs: Any) -> int | float | None:
        counts = [ds.num_samples(**kwargs) for ds in self.datasets]
        known = [n for n in counts if n is not None]
        return min(known) if len(known) == len(counts) else None

    def batch_indices_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Pick]:
        should_be_random_access(self)
        plans = _of_each(self, "batch_indices_iterator", batch_size, shuffle, kwargs)
        return (tree.even(picks) if self.trim else picks for picks in zip(*plans, strict=False))

    def batch_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Batch]:
        if self.is_random_access:
            return BatchIterator(
                self.samples_by_indices_nomapping, self.batch_indices_iterator(batch_size, shuffle, **kwargs)
            )
        return map(self._joined, zip(*_of_each(self, "batch_iterator", batch_size, shuffle, kwargs), strict=False))

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

    def _joined(self, parts: tuple[Batch, ...]) -> Batch:
        parts = tree.even(parts) if self.trim else parts
        return tree.join(parts) if self.flatten else parts


class ChoiceBatch(NamedTuple):
    """The pick of a `ChoiceDataSource`: which samples, of which source.

    Attributes
    ----------
    sample_indices : pick
        A pick of the chosen source.
    ds_index : int
        Which source.
    """

    sample_indices: Pick
    ds_index: int


class ChoiceDataSource(AbstractDataSource):
    """Batches from several sources in turn, each batch from one of them, until the one whose turn it is ends.

    In order, the sources take turns; shuffled, each round goes through them in an order of its own.

    Parameters
    ----------
    datasets : sequence of data sources
    stratified : bool, default False
        Where all sources have a known end: give all batches of all of them, spread evenly (in order), or in an order
        drawn over the whole epoch (shuffled).

    Examples
    --------
    >>> long, short = ArrayDataSource([np.arange(8)]), ArrayDataSource([np.arange(100, 104)])
    >>> for (x,) in ChoiceDataSource([long, short], stratified=True).batch_iterator(2):
    ...     print(x)
    [0 1]
    [100 101]
    [2 3]
    [4 5]
    [102 103]
    [6 7]
    """

    def __init__(self, datasets: Sequence[Any], stratified: bool = False) -> None:
        self.datasets = _members(datasets)
        self.stratified = stratified

    @property
    def is_random_access(self) -> bool:
        return all(ds.is_random_access for ds in self.datasets)

    @property
    def _takes_keywords(self) -> bool:
        return any(ds._takes_keywords for ds in self.datasets)

    @property
    def _may_draw(self) -> bool:
        return any(ds._may_draw for ds in self.datasets)

    def num_samples(self, **kwargs: Any) -> int | float | None:
        """The sum over the sources that know how many they have.

        Returns
        -------
        int or `numpy.inf`
        """
        return sum(n for n in (ds.num_samples(**kwargs) for ds in self.datasets) if n is not None)

    def batch_indices_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Pick]:
        should_be_random_access(self)
        return (ChoiceBatch(pick, i) for i, pick in self._turns("batch_indices_iterator", batch_size, shuffle, kwargs))

    def batch_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Batch]:
        if self.is_random_access:
            return BatchIterator(
                self.samples_by_indices_nomapping, self.batch_indices_iterator(batch_size, shuffle, **kwargs)
            )
        return (batch for _, batch in self._turns("batch_iterator", batch_size, shuffle, kwargs))

    def samples_by_indices(self, indices: Pick) -> Batch:
        should_be_random_access(self)
        pick = self._chosen(indices)
        return self.datasets[pick.ds_index].samples_by_indices(pick.sample_indices)

    def samples_by_indices_nomapping(self, indices: Pick) -> Batch:
        should_be_random_access(self)
        pick = self._chosen(indices)
        return self.datasets[pick.ds_index].samples_by_indices_nomapping(pick.sample_indices)

    @staticmethod
    def _chosen(pick: Pick) -> ChoiceBatch:
        if isinstance(pick, tuple) and len(pick) == 2:
            if isinstance(pick[0], INTEGERS):  # (ds_index, sample_indices), as in batchup 0.2.2
                return ChoiceBatch(pick[1], int(pick[0]))
            if isinstance(pick[1], INTEGERS):
                return ChoiceBatch(*pick)
        raise TypeError(f"the pick of a choice should be a ChoiceBatch(sample_indices, ds_index), not {pick!r}")

    def _turns(self, call: str, batch_size: int, shuffle: Shuffle, kwargs: dict[str, Any]) -> Iterator[tuple[int, Any]]:
        rng = as_rng(shuffle)
        each = _of_each(self, call, batch_size, rng, kwargs)
        return self._ds_iterator(batch_size, each, rng, **kwargs)

    def _ds_iterator(
        self, batch_size: int, iterators: Sequence[Iterator[Any]], shuffle_rng: Rng | None, **kwargs: Any
    ) -> Iterator[tuple[int, Any]]:
        """Which source, and what its iterator gives: turn by turn, until the one whose turn it is has no more."""
        counts = [ds.num_samples(**kwargs) for ds in self.datasets] if self.stratified else [None]
        if all(isinstance(n, INTEGERS) for n in counts):
            batches = np.array([sampling.num_batches(int(n), batch_size) for n in counts if n is not None])
            turns: Iterable[int] = (
                self._ds_indices_stratified_in_order(batches)
                if shuffle_rng is None
                else self._ds_indices_stratified_shuffled(batches, shuffle_rng)
            )
        else:
            turns = _rounds(len(iterators), shuffle_rng)
        for turn in turns:
            for item in itertools.islice(iterators[turn], 1):
                yield int(turn), item
                break
            else:
                return

    @staticmethod
    def _ds_indices_stratified_in_order(batches_per_ds: npt.ArrayLike) -> Indices:
        """Whose turn it is, so that each source is spread evenly over the epoch.

        There are as many rounds as the longest has batches; batch k of n falls into round k / n of the way, rounded up.

        >>> ChoiceDataSource._ds_indices_stratified_in_order([2, 5])
        array([0, 1, 1, 1, 0, 1, 1])
        """
        counts = np.asarray(batches_per_ds)
        rounds = np.concatenate([-(-np.arange(n) * counts.max() // n) for n in counts])
        return np.repeat(np.arange(len(counts)), counts)[rounds.argsort(kind="stable")]

    @staticmethod
    def _ds_indices_stratified_shuffled(batches_per_ds: npt.ArrayLike, shuffle_rng: Rng) -> Indices:
        """Whose turn it is, in an order drawn by `shuffle_rng`."""
        counts = np.asarray(batches_per_ds)
        return shuffle_rng.permutation(np.repeat(np.arange(len(counts)), counts))


def coerce_data_source(x: Any) -> AbstractDataSource:
    """A data source for `x`.

    Parameters
    ----------
    x : data source, list or tuple of array-likes, iterator, or function
        A data source is returned as it is; the others are wrapped in an `ArrayDataSource`, an `IteratorDataSource` or
        a `CallableDataSource`.

    Returns
    -------
    AbstractDataSource

    Raises
    ------
    TypeError
        For anything else.

    Examples
    --------
    >>> coerce_data_source([np.arange(3)]).num_samples()
    3
    """
    if isinstance(x, AbstractDataSource):
        return x
    if isinstance(x, (list, tuple)):
        return ArrayDataSource(list(x))
    if isinstance(x, Iterator):
        return IteratorDataSource(x)
    if callable(x):
        return CallableDataSource(x)
    raise TypeError(f"a data source, a list of array-likes, an iterator or a function is wanted, not {kind_of(x)}")


def _members(datasets: Sequence[Any]) -> list[AbstractDataSource]:
    members = [coerce_data_source(ds) for ds in datasets]
    if not members:
        raise ValueError("datasets should hold at least one data source, but there is none")
    return members


def _of_each(
    source: CompositeDataSource | ChoiceDataSource, call: str, batch_size: int, shuffle: Shuffle, kwargs: dict[str, Any]
) -> list[Iterator[Any]]:
    """The iterators of all members, shuffled by one generator; a member that takes no keywords gets none."""
    if not source._takes_keywords:
        no_keywords(call, kwargs, ["batch_size", "shuffle"])
    rng = as_rng(shuffle)
    return [
        getattr(ds, call)(batch_size, **with_shuffle(rng, kwargs if ds._takes_keywords else {}))
        for ds in source.datasets
    ]


def _rounds(n: int, rng: Rng | None) -> Iterator[int]:
    """0 to n - 1 again and again, each round in an order of its own if there is a generator."""
    while True:
        yield from range(n) if rng is None else rng.permutation(n)
