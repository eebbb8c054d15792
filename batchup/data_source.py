"""Data sources: where batches come from.

A source that can fetch samples by index splits the work in two: a *plan*, which yields picks (small: which samples),
and a *fetch*, which turns one pick into a batch. The plan is drawn in order, in one thread, and holds all chance; a
fetch depends on its pick alone, so it can run anywhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import six

from . import sampling
from .engine import tree
from .engine.arena import empty, in_worker
from .engine.checks import Indices, index_array, no_keywords, whole
from .engine.rng import Rng, Shuffle, as_rng
from .errors import WorkerError, located

__all__ = [
    "AbstractDataSource",
    "ArrayDataSource",
    "Batch",
    "BatchIterator",
    "CallableDataSource",
    "ChoiceBatch",
    "ChoiceDataSource",
    "CompositeDataSource",
    "IteratorDataSource",
    "MapDataSource",
    "Pick",
    "RandomAccessDataSource",
    "batch_map_concat",
    "batch_map_mean",
    "coerce_data_source",
]

Batch: TypeAlias = Any  # a tuple of arrays (or of whatever the data gives), possibly nested
Pick: TypeAlias = Any  # an index array, a tuple of picks, or a ChoiceBatch
Progress: TypeAlias = Callable[..., Iterable[Batch]]

INTEGERS = six.integer_types + (np.integer,)


class ArrayLike(Protocol):
    """What `ArrayDataSource` asks of its data: a length, and samples for an array of indices."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Any, /) -> Any: ...


class BatchIterator(Iterator[Batch]):
    """One batch per pick of a plan, fetched when it is asked for.

    A fetch that raises costs its own batch and no other: the error says which batch it was, and the next call goes on
    with the one behind it.

    Parameters
    ----------
    fetch : callable, pick -> batch
    plan : iterator of picks

    Examples
    --------
    >>> for batch in BatchIterator(lambda pick: (pick * 10,), iter([np.array([1, 2]), np.array([3])])):
    ...     print(batch)
    (array([10, 20]),)
    (array([30]),)
    """

    __slots__ = ("_fetch", "_number", "_plan")

    def __init__(self, fetch: Callable[[Pick], Batch], plan: Iterator[Pick]) -> None:
        self._fetch = fetch
        self._plan = plan
        self._number = -1

    def __next__(self) -> Batch:
        pick = next(self._plan)
        self._number += 1
        try:
            return self._fetch(pick)
        except StopIteration as error:  # would end the loop as if the data were used up
            failed = WorkerError("the data raised StopIteration, which would have ended the epoch early")
            failed.type_name = "StopIteration"
            raise located(failed, self._number, pick) from error
        except Exception as error:
            located(error, self._number, pick)
            raise
        except BaseException:  # Ctrl-C: if the loop goes on, then with this batch
            self._plan = itertools.chain([pick], self._plan)
            self._number -= 1
            raise

    def close(self) -> None:
        """Draw no more picks: the next call ends the iteration."""
        self._plan = iter(())


class AbstractDataSource:
    """What all data sources can do. A class of your own needs `num_samples` and `batch_iterator`; one that can fetch
    by index is better made from `RandomAccessDataSource`.
    """

    @property
    def is_random_access(self) -> bool:
        """Whether samples can be fetched by index: then `batch_indices_iterator` and `samples_by_indices` are there,
        and the batches can be prepared by a work pool."""
        return False

    @property
    def _takes_keywords(self) -> bool:
        """Whether `batch_iterator` hands keywords of the user's on to somebody."""
        return True

    @property
    def _may_draw(self) -> bool:
        """Whether fetching may run code that draws from `numpy.random`: any but that for plain arrays."""
        return True

    def num_samples(self, **kwargs: Any) -> int | float | None:
        """How many samples one go through the source gives.

        Returns
        -------
        int, `numpy.inf` or None
            None where it is not known.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how many samples it has")

    def batch_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Batch]:
        """Batches, one after the other.

        Parameters
        ----------
        batch_size : int
            Samples per batch; the last may have fewer.
        shuffle : None, bool, int, SeedSequence, RandomState or Generator, optional
            None (the default) and False keep the order. True shuffles by NumPy's global generator. An int or a
            `SeedSequence` is a seed: the same order each time. A generator draws a new order each time.

        Returns
        -------
        iterator of tuple
        """
        raise NotImplementedError(f"{type(self).__name__} does not give batches")

    def batch_indices_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Pick]:
        """The plan: what `batch_iterator` with the same arguments will fetch.

        Returns
        -------
        iterator of picks
            A pick is an array of indices; a composite has a tuple of them, a choice a `ChoiceBatch`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no indices: its batches come one after the other")

    def samples_by_indices(self, indices: Pick) -> Batch:
        """The samples at these positions of the source, as one batch.

        Where the source is over a subset, 0 is the first sample of the subset.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot fetch by index")

    def samples_by_indices_nomapping(self, indices: Pick) -> Batch:
        """The fetch: the batch for one pick of `batch_indices_iterator`.

        Where the source is over a subset, the indices are still those of the data.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot fetch by index")

    def map(self, fn: Callable[..., Batch]) -> MapDataSource:
        """The same source with `fn` applied to each batch.

        Parameters
        ----------
        fn : callable, ``fn(*batch) -> batch``
            Gets the arrays of a batch, returns a tuple of arrays.

        Returns
        -------
        MapDataSource

        Examples
        --------
        >>> ds = ArrayDataSource([np.arange(4)]).map(lambda x: (x, x ** 2))
        >>> next(ds.batch_iterator(4))
        (array([0, 1, 2, 3]), array([0, 1, 4, 9]))
        """
        return MapDataSource(self, fn)

    def batch_map_concat(
        self,
        func: Callable[..., Any],
        batch_size: int,
        progress_iter_func: Progress | None = None,
        n_batches: int | None = None,
        prepend_args: tuple[Any, ...] | None = None,
        **kwargs: Any,
    ) -> tuple[npt.NDArray[Any], ...] | None:
        """Results per sample, computed batch by batch: see the function `batch_map_concat`.

        Parameters
        ----------
        func : callable, ``func(*prepend_args, *batch)``
            Returns one array with a result per sample, a tuple of them, or None.
        batch_size : int
            Samples per batch.
        progress_iter_func : callable, optional
            A function in the style of ``tqdm.tqdm``, called as ``progress_iter_func(batches, total=…, leave=False)``.
        n_batches : int, optional
            Stop after this many; needed where the source has no end.
        prepend_args : tuple, optional
            Arguments of `func` before the batch.
        **kwargs
            For `batch_iterator`, such as `shuffle`.

        Returns
        -------
        tuple of ndarray, or None
            None if `func` returned None, and for no samples.

        Raises
        ------
        ValueError
            If the source has no end and there is no `n_batches`.

        Examples
        --------
        >>> ds = ArrayDataSource([np.arange(6).reshape(3, 2)])
        >>> ds.batch_map_concat(lambda x: x.sum(axis=1), batch_size=2)
        (array([1, 5, 9]),)
        """
        batches, total = self._limited(batch_size, n_batches, kwargs)
        return _concatenated(_results(func, batches, total, progress_iter_func, prepend_args))

    def batch_map_mean(
        self,
        func: Callable[..., Any],
        batch_size: int,
        progress_iter_func: Progress | None = None,
        sum_axis: int | tuple[int, ...] | None = None,
        n_batches: int | None = None,
        prepend_args: tuple[Any, ...] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...] | None:
        """Means over all samples, computed batch by batch: see the function `batch_map_mean`.

        Parameters
        ----------
        func : callable, ``func(*prepend_args, *batch)``
            Returns the sum over the batch (a number or an array), a tuple of sums, or None. With `sum_axis` it returns
            what is still to be summed.
        batch_size : int
            Samples per batch.
        progress_iter_func : callable, optional
            A function in the style of ``tqdm.tqdm``, called as ``progress_iter_func(batches, total=…, leave=False)``.
        sum_axis : int or tuple of int, optional
            The axis or axes over which to sum what `func` returns; 0 for results per sample.
        n_batches : int, optional
            Stop after this many; needed where the source has no end.
        prepend_args : tuple, optional
            Arguments of `func` before the batch.
        **kwargs
            For `batch_iterator`, such as `shuffle`.

        Returns
        -------
        tuple, or None
            Each sum, in at least double precision, divided by the number of samples; None if `func` returned None, and
            for no samples.

        Raises
        ------
        ValueError
            If the source has no end and there is no `n_batches`.

        Examples
        --------
        >>> ds = ArrayDataSource([np.array([1.0, 2.0, 6.0])])
        >>> [float(mean) for mean in ds.batch_map_mean(lambda x: x.sum(), batch_size=2)]
        [3.0]
        """
        batches, total = self._limited(batch_size, n_batches, kwargs)
        return _mean(_results(func, batches, total, progress_iter_func, prepend_args), sum_axis)

    def _limited(self, batch_size: int, n_batches: int | None, kwargs: dict[str, Any]) -> _Limited:
        """The batches to go through, and how many they will be (None if that is not known)."""
        n = self.num_samples(**{name: value for name, value in kwargs.items() if name != "shuffle"})
        if n_batches is None and n == np.inf:
            raise ValueError("the source has no end: n_batches should say how many batches to go through")
        total = None if n is None or n == np.inf else sampling.num_batches(int(n), whole("batch_size", batch_size))
        return _first(self.batch_iterator(batch_size, **kwargs), n_batches, total)


class RandomAccessDataSource(AbstractDataSource):
    """A source that fetches samples by index. Abstract: a class made from it says how, in
    `samples_by_indices_nomapping`.

    Parameters
    ----------
    length : int
        How many samples there are.
    indices : array of int, 1-D, optional
        Use these samples only.
    repeats : int, default 1
        How many times to go through them; -1 is for ever.
    sampler : AbstractSampler, optional
        Draws the indices, in place of `indices` and `repeats`.
    include_indices : bool, default False
        Whether each batch begins with the array of its indices. It is up to `samples_by_indices_nomapping` to put it
        there.

    Examples
    --------
    >>> class Squares(RandomAccessDataSource):
    ...     def samples_by_indices_nomapping(self, indices):
    ...         return (indices ** 2,)
    >>> [x.tolist() for (x,) in Squares(5).batch_iterator(3)]
    [[0, 1, 4], [9, 16]]
    """

    def __init__(
        self,
        length: int,
        indices: npt.ArrayLike | None = None,
        repeats: int = 1,
        sampler: sampling.AbstractSampler | None = None,
        include_indices: bool = False,
    ) -> None:
        self.length = whole("length", length, least=0)
        if sampler is not None:
            if indices is not None:
                raise ValueError("indices should be None when there is a sampler: the sampler says which samples")
            if repeats != 1:
                raise ValueError(f"repeats should be 1 when there is a sampler, not {repeats!r}")
        elif indices is not None:
            sampler = sampling.SubsetSampler(indices, repeats)
        else:
            sampler = sampling.StandardSampler(self.length, repeats)
        if isinstance(sampler, sampling.AbstractSampler):  # any object with the same methods will do
            sampler._should_fit(self.length)
        self.sampler = sampler
        self.include_indices = include_indices

    @property
    def is_random_access(self) -> bool:
        return True

    @property
    def _takes_keywords(self) -> bool:
        return False

    def num_samples(self, **kwargs: Any) -> int | float | None:
        return self.sampler.num_indices_generated()

    def batch_indices_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Pick]:
        no_keywords("batch_indices_iterator", kwargs, ["batch_size", "shuffle"])
        rng = as_rng(shuffle)
        if rng is None:
            return self.sampler.in_order_indices_batch_iterator(batch_size)
        return self.sampler.shuffled_indices_batch_iterator(batch_size, rng)

    def batch_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Batch]:
        no_keywords("batch_iterator", kwargs, ["batch_size", "shuffle"])
        return BatchIterator(self.samples_by_indices_nomapping, self.batch_indices_iterator(batch_size, shuffle))

    def samples_by_indices(self, indices: Pick) -> Batch:
        return self.samples_by_indices_nomapping(self.sampler.map_indices(_positions(indices, self.length)))


class ArrayDataSource(RandomAccessDataSource):
    """Batches from arrays, or from anything that is indexed like one.

    Parameters
    ----------
    data : list of array-like
        All of one length. NumPy arrays, memory maps, lists, pandas columns, h5py datasets, or objects of your own with
        ``__len__`` and a ``__getitem__`` that takes an array of indices and returns samples: an array, a list, …
    indices : array of int, 1-D, optional
        Use these samples only.
    repeats : int, default 1
        How many times to go through them; -1 is for ever.
    sampler : AbstractSampler, optional
        Draws the indices, in place of `indices` and `repeats`.
    include_indices : bool, default False
        Begin each batch with the array of its indices.

    Raises
    ------
    TypeError
        If `data` is not a list, or holds something without a length or items.
    ValueError
        If `data` is empty, if the lengths differ, or if a sampler does not fit.
    IndexError
        If `indices` are not those of samples.

    Examples
    --------
    >>> X, y = np.arange(10).reshape(5, 2), np.array([0, 1, 0, 1, 1])
    >>> ds = ArrayDataSource([X, y])
    >>> for batch_X, batch_y in ds.batch_iterator(3, shuffle=np.random.RandomState(12345)):
    ...     print(batch_X.tolist(), batch_y)
    [[0, 1], [8, 9], [6, 7]] [0 1 1]
    [[2, 3], [4, 5]] [1 0]
    """

    def __init__(
        self,
        data: list[Any],
        indices: npt.ArrayLike | None = None,
        repeats: int = 1,
        sampler: sampling.AbstractSampler | None = None,
        include_indices: bool = False,
    ) -> None:
        if not isinstance(data, list):
            raise TypeError(f"data should be a list of array-likes, not a {type(data).__name__}: ArrayDataSource([X])")
        if not data:
            raise ValueError("data should hold at least one array-like, but the list is empty")
        for i, array in enumerate(data):
            if not _is_array_like(array):
                raise TypeError(f"data[{i}] should have a length and items, but a {type(array).__name__} has not")
            if len(array) != len(data[0]):
                raise ValueError(f"data should be of one length: data[0] has {len(data[0])}, data[{i}] {len(array)}")
        super().__init__(len(data[0]), indices, repeats, sampler, include_indices)
        self.data = data

    @property
    def _may_draw(self) -> bool:
        return type(self) is not ArrayDataSource or not all(
            isinstance(array, (np.ndarray, list, tuple)) for array in self.data
        )

    def samples_by_indices_nomapping(self, indices: Pick) -> Batch:
        indices = _positions(indices, self.length)
        samples = tuple([_rows(array, indices) for array in self.data])
        return (indices, *samples) if self.include_indices else samples


class CallableDataSource(AbstractDataSource):
    """Batches from a function of yours.

    Parameters
    ----------
    batch_iterator_fn : callable, ``fn(batch_size, **kwargs) -> iterator of batches``
        Gets what `batch_iterator` gets.
    num_samples_fn : callable, int, `numpy.inf` or None, optional
        How many samples there are, or a function that says so, given the keywords of `num_samples`.

    Examples
    --------
    >>> def halves(batch_size, shuffle=None):
    ...     yield (np.arange(batch_size) / 2,)
    >>> next(CallableDataSource(halves, 4).batch_iterator(4))
    (array([0. , 0.5, 1. , 1.5]),)
    """

    def __init__(self, batch_iterator_fn: Callable[..., Iterator[Batch]], num_samples_fn: Any = None) -> None:
        if not callable(batch_iterator_fn):
            raise TypeError(f"batch_iterator_fn should be a function, not {batch_iterator_fn!r}")
        if not callable(num_samples_fn):
            _should_count("num_samples_fn", num_samples_fn, "None, a function, an int or numpy.inf")
        self.batch_iterator_fn = batch_iterator_fn
        self.num_samples_fn = num_samples_fn

    def num_samples(self, **kwargs: Any) -> int | float | None:
        n: int | float | None = self.num_samples_fn
        return self.num_samples_fn(**kwargs) if callable(self.num_samples_fn) else n

    def batch_iterator(self, batch_size: int, *shuffle: Shuffle, **kwargs: Any) -> Iterator[Batch]:
        """What the function returns for the same arguments; a second positional one is handed on as `shuffle`."""
        return self.batch_iterator_fn(batch_size, **dict(zip(["shuffle"], shuffle, strict=False)), **kwargs)


class IteratorDataSource(AbstractDataSource):
    """Batches from an iterator, as they come; the arguments of `batch_iterator` change nothing.

    Parameters
    ----------
    batch_iter : iterator of batches
        Used up by the first loop over it.
    n_samples : int, `numpy.inf` or None, optional
        How many samples there are, if it is known.

    Examples
    --------
    >>> ds = IteratorDataSource(iter([(np.array([1, 2]),), (np.array([3]),)]), n_samples=3)
    >>> list(ds.batch_iterator(batch_size=64))
    [(array([1, 2]),), (array([3]),)]
    """

    def __init__(self, batch_iter: Iterator[Batch], n_samples: int | float | None = None) -> None:
        _should_count("n_samples", n_samples, "None, an int or numpy.inf")
        self.batch_iter = batch_iter
        self.n_samples = n_samples

    def num_samples(self, **kwargs: Any) -> int | float | None:
        return self.n_samples

    def batch_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Batch]:
        return self.batch_iter


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
        _should_be_random_access(self)
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
        _should_be_random_access(self)
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
        _should_be_random_access(self)
        return (ChoiceBatch(pick, i) for i, pick in self._turns("batch_indices_iterator", batch_size, shuffle, kwargs))

    def batch_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Batch]:
        if self.is_random_access:
            return BatchIterator(
                self.samples_by_indices_nomapping, self.batch_indices_iterator(batch_size, shuffle, **kwargs)
            )
        return (batch for _, batch in self._turns("batch_iterator", batch_size, shuffle, kwargs))

    def samples_by_indices(self, indices: Pick) -> Batch:
        _should_be_random_access(self)
        pick = self._chosen(indices)
        return self.datasets[pick.ds_index].samples_by_indices(pick.sample_indices)

    def samples_by_indices_nomapping(self, indices: Pick) -> Batch:
        _should_be_random_access(self)
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


class MapDataSource(AbstractDataSource):
    """A source whose batches have gone through a function.

    Parameters
    ----------
    source : data source
    fn : callable, ``fn(*batch) -> batch``
        Gets the arrays of a batch (or the dict, where a batch is one), returns a tuple of arrays (or a dict).

    Raises
    ------
    TypeError
        While iterating, if `fn` returns something that is not a batch.

    Examples
    --------
    >>> ds = MapDataSource(ArrayDataSource([np.arange(4)]), lambda x: (x / 10,))
    >>> next(ds.batch_iterator(4))
    (array([0. , 0.1, 0.2, 0.3]),)
    """

    def __init__(self, source: Any, fn: Callable[..., Batch]) -> None:
        if not callable(fn):
            raise TypeError(f"fn should be a function from a batch to a batch, not {fn!r}")
        self.source = coerce_data_source(source)
        self.fn = fn

    @property
    def is_random_access(self) -> bool:
        return self.source.is_random_access

    @property
    def _takes_keywords(self) -> bool:
        return self.source._takes_keywords

    def num_samples(self, **kwargs: Any) -> int | float | None:
        return self.source.num_samples(**kwargs)

    def batch_indices_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Pick]:
        _should_be_random_access(self)
        return self.source.batch_indices_iterator(batch_size, **_with_shuffle(shuffle, kwargs))

    def batch_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Batch]:
        if self.is_random_access:
            return BatchIterator(
                self.samples_by_indices_nomapping, self.batch_indices_iterator(batch_size, shuffle, **kwargs)
            )
        return map(self._mapped, self.source.batch_iterator(batch_size, **_with_shuffle(shuffle, kwargs)))

    def samples_by_indices(self, indices: Pick) -> Batch:
        _should_be_random_access(self)
        return self._mapped(self.source.samples_by_indices(indices))

    def samples_by_indices_nomapping(self, indices: Pick) -> Batch:
        _should_be_random_access(self)
        return self._mapped(self.source.samples_by_indices_nomapping(indices))

    def _mapped(self, batch: Batch) -> Batch:
        result = self.fn(*batch) if isinstance(batch, tuple) else self.fn(batch)
        if isinstance(result, (tuple, dict)):
            return result
        if isinstance(result, list):  # [X, y] is taken for (X, y)
            return tuple(result)
        name = getattr(self.fn, "__name__", repr(self.fn))
        hint = "does it lack a return?" if result is None else "for a single array, return (array,)"
        raise TypeError(f"{name} should return a batch, a tuple of arrays, not {_kind(result)}; {hint}")


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
    raise TypeError(f"a data source, a list of array-likes, an iterator or a function is wanted, not {_kind(x)}")


def batch_map_concat(
    func: Callable[..., Any],
    batch_iter: Iterator[Batch],
    progress_iter_func: Progress | None = None,
    n_batches: int | None = None,
    prepend_args: tuple[Any, ...] | None = None,
) -> tuple[npt.NDArray[Any], ...] | None:
    """Results per sample, computed batch by batch.

    Parameters
    ----------
    func : callable, ``func(*prepend_args, *batch)``
        Returns one array with a result per sample, a tuple of them, or None.
    batch_iter : iterator of batches
    progress_iter_func : callable, optional
        A function in the style of ``tqdm.tqdm``, called as ``progress_iter_func(batches, total=…, leave=False)``.
    n_batches : int, optional
        Take no more than this many from `batch_iter`; the rest stay in it.
    prepend_args : tuple, optional
        Arguments of `func` before the batch.

    Returns
    -------
    tuple of ndarray, or None
        None if `func` returned None, and for no samples.

    Examples
    --------
    >>> batches = ArrayDataSource([np.arange(5)]).batch_iterator(2)
    >>> batch_map_concat(lambda x: (x, -x), batches, n_batches=2)
    (array([0, 1, 2, 3]), array([ 0, -1, -2, -3]))
    """
    return _concatenated(_results(func, *_first(batch_iter, n_batches), progress_iter_func, prepend_args))


def batch_map_mean(
    func: Callable[..., Any],
    batch_iter: Iterator[Batch],
    progress_iter_func: Progress | None = None,
    sum_axis: int | tuple[int, ...] | None = None,
    n_batches: int | None = None,
    prepend_args: tuple[Any, ...] | None = None,
) -> tuple[Any, ...] | None:
    """Means over all samples, computed batch by batch.

    Parameters
    ----------
    func : callable, ``func(*prepend_args, *batch)``
        Returns the sum over the batch (a number or an array), a tuple of sums, or None. With `sum_axis` it returns
        what is still to be summed.
    batch_iter : iterator of batches
    progress_iter_func : callable, optional
        A function in the style of ``tqdm.tqdm``, called as ``progress_iter_func(batches, total=…, leave=False)``.
    sum_axis : int or tuple of int, optional
        The axis or axes over which to sum what `func` returns; 0 for results per sample.
    n_batches : int, optional
        Take no more than this many from `batch_iter`; the rest stay in it.
    prepend_args : tuple, optional
        Arguments of `func` before the batch.

    Returns
    -------
    tuple, or None
        Each sum, in at least double precision, divided by the number of samples; None if `func` returned None, and for
        no samples.

    Examples
    --------
    >>> batches = ArrayDataSource([np.array([1.0, 2.0, 6.0])]).batch_iterator(2)
    >>> [float(mean) for mean in batch_map_mean(lambda x: x, batches, sum_axis=0)]
    [3.0]
    """
    return _mean(_results(func, *_first(batch_iter, n_batches), progress_iter_func, prepend_args), sum_axis)


_Limited: TypeAlias = tuple[Iterator[Batch], int | None]
_Results: TypeAlias = Iterator[tuple[tuple[Any, ...], int]]


def _first(batches: Iterator[Batch], n_batches: int | None, total: int | None = None) -> _Limited:
    if n_batches is None:
        return batches, total
    n_batches = whole("n_batches", n_batches, least=0)
    return itertools.islice(batches, n_batches), n_batches if total is None else min(n_batches, total)


def _results(
    func: Callable[..., Any],
    batches: Iterable[Batch],
    total: int | None,
    progress: Progress | None,
    prepend_args: tuple[Any, ...] | None,
) -> _Results:
    """For each batch: the results of `func`, as a tuple, and the number of samples."""
    before = tuple(prepend_args or ())
    for batch in batches if progress is None else progress(batches, total=total, leave=False):
        result = func(*before, *batch) if isinstance(batch, tuple) else func(*before, batch)
        if result is not None:
            yield result if isinstance(result, tuple) else (_number_or_array(func, result),), tree.length(batch)


def _number_or_array(func: Callable[..., Any], result: Any) -> Any:
    if isinstance(result, (float, *INTEGERS, np.generic)) or hasattr(result, "__array__"):
        return result
    name = getattr(func, "__name__", repr(func))
    raise TypeError(f"{name} should return an array, a number, a tuple of them or None, not {_kind(result)}")


def _concatenated(results: _Results) -> tuple[npt.NDArray[Any], ...] | None:
    columns = list(zip(*(parts for parts, _ in results), strict=True))
    if any(np.ndim(part) == 0 for column in columns for part in column):
        raise TypeError("func should return arrays with a result per sample, not a single number")
    return tuple(np.concatenate(column) for column in columns) or None


def _mean(results: _Results, sum_axis: int | tuple[int, ...] | None) -> tuple[Any, ...] | None:
    sums: list[Any] = []
    n_samples = 0
    for parts, n in results:
        wide = [np.asarray(part, dtype=np.result_type(part, np.float64)) for part in parts]
        if sum_axis is not None:
            wide = [part.sum(axis=sum_axis) for part in wide]
        sums = [total + part for total, part in zip(sums, wide, strict=True)] if n_samples else wide
        n_samples += n
    return tuple(total / n_samples for total in sums) or None


def _rows(array: Any, indices: Any) -> Any:
    """The samples of one array-like at `indices`, which lie within its length."""
    if type(array) is np.memmap:
        array = array.view(np.ndarray)
    if type(array) is np.ndarray and type(indices) is np.ndarray:
        flags = array.flags
        if flags.c_contiguous and flags.aligned:  # take would copy any other array whole, at every call
            out = empty((len(indices), *array.shape[1:]), array.dtype) if in_worker() else None
            return array.take(indices, 0) if out is None else array.take(indices, 0, out, "clip")
        return array[indices]
    if isinstance(array, (list, tuple)) and isinstance(indices, np.ndarray):
        return [array[i] for i in indices.tolist()]
    if hasattr(array, "iloc"):  # a pandas column: array[indices] would go by its labels
        return array.iloc[indices]
    if isinstance(indices, np.ndarray) and type(array).__module__.startswith("h5py."):
        return _rising(array, indices)
    return array[indices]


def _rising(array: Any, indices: Indices) -> Any:
    """The samples at `indices` of an array-like that takes them in rising order only, without repeats."""
    once, places = np.unique(indices, return_inverse=True)
    return array[once][places]


def _positions(indices: Any, length: int) -> Any:
    """Indices that all lie in ``range(length)``: a 1-D array, or one int for a single sample."""
    if type(indices) is np.ndarray and indices.dtype == np.intp and indices.ndim == 1 and len(indices):
        unsigned = indices.view(np.uintp)  # a negative index becomes a huge one: one pass checks both ends
        if unsigned.item(unsigned.argmax()) < length:
            return indices
    if isinstance(indices, slice):
        return np.arange(*indices.indices(length))
    if isinstance(indices, INTEGERS) and not isinstance(indices, bool):
        return int(index_array("the index", [indices], below=length)[0])
    return index_array("indices", indices, below=length)


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
        getattr(ds, call)(batch_size, **_with_shuffle(rng, kwargs if ds._takes_keywords else {}))
        for ds in source.datasets
    ]


def _with_shuffle(shuffle: Shuffle, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keywords to hand on; without a shuffle there is none among them, as not every function takes one."""
    return kwargs if shuffle is None else {**kwargs, "shuffle": shuffle}


def _should_be_random_access(source: AbstractDataSource) -> None:
    if not source.is_random_access:
        raise TypeError(f"{type(source).__name__} should be over sources that fetch by index; one of them cannot")


def _rounds(n: int, rng: Rng | None) -> Iterator[int]:
    """0 to n - 1 again and again, each round in an order of its own if there is a generator."""
    while True:
        yield from range(n) if rng is None else rng.permutation(n)


def _should_count(name: str, n: Any, allowed: str) -> None:
    if n is None or n == np.inf:
        return
    if isinstance(n, bool) or not isinstance(n, INTEGERS):
        raise TypeError(f"{name} should be {allowed}, not {n!r}")
    whole(name, n, least=0)


def _kind(x: Any) -> str:
    return "None" if x is None else f"a {type(x).__name__}"


def _is_array_like(x: Any) -> bool:
    return hasattr(x, "__len__") and hasattr(x, "__getitem__")


# Programs for batchup 0.2 call these.
_length_of_batch = tree.length
_trim_batch = tree.trim
