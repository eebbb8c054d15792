"""Sources made of several: side by side, or in turns."""

from __future__ import annotations

import dataclasses
import itertools
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import sampling
from ..engine import tree
from ..engine.checks import INTEGERS, Indices, kind_of, no_keywords, whole
from ..engine.rng import SeedPath
from ..engine.shuffle import Rng, Shuffle, as_rng
from ..engine.tree import Batch, Pick
from .arrays import ArrayDataSource
from .base import AbstractDataSource
from .batches import BatchIterator
from .interface import should_be_random_access, with_shuffle
from .iterators import CallableDataSource, IteratorDataSource
from .plan import ChoiceBatch, JoinedPlan, Plan, Traits, TurnsPlan
from .rows import is_array_like, is_dataset

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
        Whether a batch is one tuple of all arrays (one dict, where the sources give dicts), or a tuple with one batch
        per source.
    trim : bool, default True
        Whether a batch is cut to the length of the shortest of its parts.
    batch_sizes : sequence of int, optional
        How many samples each source gives to a batch, in place of `batch_size` for each of them; the batch size of
        the whole is their sum. Nothing is trimmed then.

    Examples
    --------
    >>> labelled = ArrayDataSource([np.array([10, 11]), np.array([0, 1])], repeats=-1)
    >>> unlabelled = ArrayDataSource([np.arange(5)])
    >>> for batch in CompositeDataSource([labelled, unlabelled]).batch_iterator(3):
    ...     print(batch)
    (array([10, 11, 10]), array([0, 1, 0]), array([0, 1, 2]))
    (array([11, 10]), array([1, 0]), array([3, 4]))
    >>> next(CompositeDataSource([labelled, unlabelled], batch_sizes=(1, 3)).batch_iterator(4))
    (array([10]), array([0]), array([0, 1, 2]))
    """

    def __init__(
        self,
        datasets: Sequence[Any],
        flatten: bool = True,
        trim: bool = True,
        batch_sizes: Sequence[int] | None = None,
    ) -> None:
        self.datasets = _members(datasets)
        self.flatten = flatten
        self.batch_sizes = None if batch_sizes is None else tuple(whole("batch_sizes", n) for n in batch_sizes)
        if self.batch_sizes is not None and len(self.batch_sizes) != len(self.datasets):
            raise ValueError(
                f"there should be a batch size for each of the {len(self.datasets)} sources, not {self.batch_sizes}"
            )
        self.trim = trim and self.batch_sizes is None
        if self.trim and any(ds.traits.has_unequal_parts for ds in self.datasets):
            raise ValueError("trim should be False: one of the sources has batch_sizes, so its parts differ in length")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.datasets!r})"

    @property
    def is_random_access(self) -> bool:
        return all(ds.is_random_access for ds in self.datasets)

    @property
    def traits(self) -> Traits:
        traits = _traits_of_all(self.datasets)
        unequal = self.batch_sizes is not None or (not self.trim and traits.has_unequal_parts)
        return dataclasses.replace(traits, has_unequal_parts=unequal)

    def num_samples(self, **kwargs: Any) -> int | float | None:
        """How many samples each source gives; with `batch_sizes`, the sum over them, until the first of them ends."""
        counts = [ds.num_samples(**kwargs) for ds in self.datasets]
        known = [n for n in counts if n is not None]
        if len(known) < len(counts):
            return None
        return min(known) if self.batch_sizes is None else _summed(known, self.batch_sizes)

    def _sizes(self, batch_size: int) -> tuple[int, ...]:
        """How many samples each member gives to a batch."""
        if self.batch_sizes is None:
            return (batch_size,) * len(self.datasets)
        if whole("batch_size", batch_size) != sum(self.batch_sizes):
            raise ValueError(
                f"batch_size should be {sum(self.batch_sizes)}, the sum of batch_sizes={self.batch_sizes}, "
                f"not {batch_size}"
            )
        return self.batch_sizes

    def plan(self, batch_size: int, **kwargs: Any) -> Plan:
        members = _plans(self.datasets, self._sizes(batch_size), kwargs)
        return JoinedPlan(members, type(self).__name__, self.trim, self.batch_sizes)

    def batch_indices_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Pick]:
        should_be_random_access(self)
        return CompositeDataSource.plan(self, batch_size, **kwargs).picks(shuffle)

    def batch_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Batch]:
        if self.is_random_access:
            return BatchIterator.over(self, batch_size, shuffle, kwargs)
        return map(self._joined, zip(*_batches(self.datasets, self._sizes(batch_size), shuffle, kwargs), strict=False))

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


class ChoiceDataSource(AbstractDataSource):
    """Batches from several sources in turn, each batch from one of them, until the one whose turn it is ends.

    In order, the sources take turns; shuffled, each round goes through them in an order of its own.

    Parameters
    ----------
    datasets : sequence of data sources
    stratified : bool, default False
        Where all sources have a known end: give all batches of all of them, spread evenly (in order), or in an order
        drawn over the whole epoch (shuffled).
    weights : sequence of float, optional
        Draw whose turn it is, each source as often as its weight says. What is drawn follows from the seed and the
        place of the batch, as for `random_map`.

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

    def __init__(self, datasets: Sequence[Any], stratified: bool = False, weights: npt.ArrayLike | None = None) -> None:
        self.datasets = _members(datasets)
        self.stratified = stratified
        self.weights = None if weights is None else sampling.normalised("weights", weights)
        if self.weights is not None and stratified:
            raise ValueError("stratified should be False when there are weights: they say how often each source comes")
        if self.weights is not None and len(self.weights) != len(self.datasets):
            raise ValueError(
                f"there should be one weight per source: {len(self.weights)} weights, {len(self.datasets)} sources"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.datasets!r})"

    @property
    def is_random_access(self) -> bool:
        return all(ds.is_random_access for ds in self.datasets)

    @property
    def traits(self) -> Traits:
        return _traits_of_all(self.datasets)

    def num_samples(self, **kwargs: Any) -> int | float | None:
        """The sum over the sources that know how many they have.

        Returns
        -------
        int or `numpy.inf`
        """
        return sum(n for n in (ds.num_samples(**kwargs) for ds in self.datasets) if n is not None)

    def plan(self, batch_size: int, **kwargs: Any) -> Plan:
        def in_turns(
            picks: Sequence[Iterator[Pick]], rng: Rng | None, seed_path: SeedPath | None
        ) -> Iterator[ChoiceBatch]:
            turns = self._drawn_turns(seed_path)
            return (ChoiceBatch(pick, i) for i, pick in self._ds_iterator(batch_size, picks, rng, turns, **kwargs))

        batches = self._batches_each(whole("batch_size", batch_size), kwargs)
        weights = None if self.weights is None else tuple(self.weights.tolist())
        members = _plans(self.datasets, [batch_size] * len(self.datasets), kwargs)
        return TurnsPlan(members, type(self).__name__, in_turns, self.stratified, batches, weights)

    def batch_indices_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Pick]:
        should_be_random_access(self)
        return ChoiceDataSource.plan(self, batch_size, **kwargs).picks(shuffle)

    def batch_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Batch]:
        if self.is_random_access:
            return BatchIterator.over(self, batch_size, shuffle, kwargs)
        seed_path = None if self.weights is None else SeedPath.of(shuffle).seeded()
        rng = as_rng(shuffle)
        each = _batches(self.datasets, [batch_size] * len(self.datasets), rng, kwargs)
        turns = self._drawn_turns(seed_path)
        return (batch for _, batch in self._ds_iterator(batch_size, each, rng, turns, **kwargs))

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

    def _ds_iterator(
        self,
        batch_size: int,
        iterators: Sequence[Iterator[Any]],
        shuffle_rng: Rng | None,
        turns: Iterable[int] | None = None,
        **kwargs: Any,
    ) -> Iterator[tuple[int, Any]]:
        """Which source, and what its iterator gives: turn by turn, until the one whose turn it is has no more."""
        for turn in self._turns(batch_size, shuffle_rng, kwargs) if turns is None else turns:
            for item in itertools.islice(iterators[turn], 1):
                yield int(turn), item
                break
            else:
                return

    def _turns(self, batch_size: int, rng: Rng | None, kwargs: dict[str, Any]) -> Iterable[int]:
        batches = self._batches_each(batch_size, kwargs)
        if batches is None:
            return _rounds(len(self.datasets), rng)
        if rng is None:
            return self._ds_indices_stratified_in_order(batches)
        return self._ds_indices_stratified_shuffled(batches, rng)

    def _drawn_turns(self, seed_path: SeedPath | None) -> Iterator[int] | None:
        """Whose turn it is, where weights decide."""
        if self.weights is None or seed_path is None:
            return None
        return _weighted(self.weights, seed_path.seeded())

    def _batches_each(self, batch_size: int, kwargs: dict[str, Any]) -> list[int] | None:
        """How many batches the samples of each source make, where sources come in proportion to that."""
        counts = [ds.num_samples(**kwargs) for ds in self.datasets] if self.stratified else [None]
        if not all(isinstance(n, INTEGERS) for n in counts):
            return None
        return [sampling.num_batches(int(n), batch_size) for n in counts if n is not None]

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
    x : data source, list, tuple or dict of array-likes, iterator, or function
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
    return coerced(x, "x")


def coerced(x: Any, name: str) -> AbstractDataSource:
    """A data source for the argument `name`."""
    if isinstance(x, AbstractDataSource):
        return x
    if isinstance(x, dict):
        return ArrayDataSource(x)
    if isinstance(x, (list, tuple)):
        return ArrayDataSource(list(x))
    if isinstance(x, Iterator):
        return IteratorDataSource(x)
    if callable(x):
        return CallableDataSource(x)
    raise TypeError(
        f"{name} should be a data source, a list of array-likes, an iterator or a function, not {kind_of(x)}: "
        f"{reprlib.repr(x)}{_hint(x)}"
    )


def _hint(x: Any) -> str:
    """What to do with something that is no data source, at the end of an error."""
    if is_array_like(x) and is_dataset(x):
        return "; ArrayDataSource([dataset]).map(collate) gives collate a list of its samples"
    if is_array_like(x) and not isinstance(x, str):
        return "; put it into a list: [X] or [X, y]"
    if isinstance(x, Iterable) and not isinstance(x, (str, set)):
        return "; IteratorDataSource(x) takes what gives batches, batchup.batch_iter.Infinite(x, …) what gives samples"
    return ""


def _members(datasets: Sequence[Any]) -> list[AbstractDataSource]:
    members = [coerced(ds, f"datasets[{i}]") for i, ds in enumerate(datasets)]
    if not members:
        raise ValueError("datasets should hold at least one data source, but there is none")
    return members


def _summed(counts: Sequence[int | float], sizes: Sequence[int]) -> int | float:
    """How many samples sources of so many give, each so many to a batch, until the first of them ends."""
    batches = [sampling.num_batches(int(n), size) for n, size in zip(counts, sizes, strict=True) if n != np.inf]
    if not batches:
        return np.inf
    return int(sum(min(n, min(batches) * size) for n, size in zip(counts, sizes, strict=True)))


def _traits_of_all(datasets: Sequence[AbstractDataSource]) -> Traits:
    each = [ds.traits for ds in datasets]
    return Traits(
        takes_keywords=any(traits.takes_keywords for traits in each),
        may_use_global_rng=any(traits.may_use_global_rng for traits in each),
        has_unequal_parts=any(traits.has_unequal_parts for traits in each),
    )


def _plans(datasets: Sequence[AbstractDataSource], sizes: Sequence[int], kwargs: dict[str, Any]) -> list[Plan]:
    given = _keywords_of_each(datasets, kwargs)
    return [ds.plan(size, **keywords) for ds, size, keywords in zip(datasets, sizes, given, strict=True)]


def _batches(
    datasets: Sequence[AbstractDataSource], sizes: Sequence[int], shuffle: Shuffle, kwargs: dict[str, Any]
) -> list[Iterator[Batch]]:
    """The batches of all members, shuffled by one generator."""
    rng, given = as_rng(shuffle), _keywords_of_each(datasets, kwargs)
    return [
        ds.batch_iterator(size, **with_shuffle(rng, keywords))
        for ds, size, keywords in zip(datasets, sizes, given, strict=True)
    ]


def _keywords_of_each(datasets: Sequence[AbstractDataSource], kwargs: dict[str, Any]) -> list[dict[str, Any]]:
    """The keywords for each source; one that takes no keywords gets none."""
    takes = [ds.traits.takes_keywords for ds in datasets]
    if not any(takes):
        no_keywords("batch_iterator", kwargs, ["batch_size", "shuffle"])
    return [kwargs if each else {} for each in takes]


def _weighted(weights: npt.NDArray[np.float64], seed_path: SeedPath) -> Iterator[int]:
    """Whose turn it is, drawn with replacement."""
    draw, rng = sampling.Inverse(weights), seed_path.child("turns").rng()
    while True:
        yield from draw(rng.random(256)).tolist()


def _rounds(n: int, rng: Rng | None) -> Iterator[int]:
    """0 to n - 1 again and again, each round in an order of its own if there is a generator."""
    while True:
        yield from range(n) if rng is None else rng.permutation(n)
