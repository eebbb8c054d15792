"""What all data sources can do, and the two that map another's batches."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import sampling
from ..engine.checks import kind_of, whole
from ..engine.rng import SeedPath
from ..engine.shuffle import Shuffle
from ..engine.tree import Batch, Pick
from ..errors import noted
from .batches import BatchIterator
from .results import Limited, Progress, concatenated, first, mean, results

__all__ = [
    "AbstractDataSource",
    "MapDataSource",
    "RandomMapDataSource",
    "RandomPick",
    "batch_of",
    "name_of",
    "note_signature_mismatch",
    "should_be_random_access",
    "with_shuffle",
]


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

    @property
    def _uneven(self) -> bool:
        """Whether the parts of a pick are of different lengths, by `batch_sizes`."""
        return False

    @property
    def _draws(self) -> bool:
        """Whether picks carry their seed_path: whether there is a `random_map` in it."""
        return False

    def _plan(
        self, batch_size: int, shuffle: Shuffle, seed_path: SeedPath | None, kwargs: dict[str, Any]
    ) -> Iterator[Pick]:
        """The plan, where all that is drawn beside the order is drawn at `seed_path`."""
        return self.batch_indices_iterator(batch_size, **with_shuffle(shuffle, kwargs))

    def _signature(self) -> tuple[Any, ...]:
        """What the plan depends on, in plain values."""
        return type(self).__name__, self.num_samples()

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
        >>> from batchup import ArrayDataSource
        >>> ds = ArrayDataSource([np.arange(4)]).map(lambda x: (x, x ** 2))
        >>> next(ds.batch_iterator(4))
        (array([0, 1, 2, 3]), array([0, 1, 4, 9]))
        """
        return MapDataSource(self, fn)

    def random_map(self, fn: Callable[..., Batch], seed: int | None = None) -> RandomMapDataSource:
        """The same source with `fn`, which draws, applied to each batch.

        The generator that `fn` gets depends on the seed, the name of `fn`, and the place of the batch in the run, and
        on nothing else: the batches are the same with any pool, and when a run is resumed.

        Parameters
        ----------
        fn : callable, ``fn(*batch, rng) -> batch``
            Gets the arrays of a batch and, by keyword, a `numpy.random.Generator`; returns a tuple of arrays.
        seed : int, optional
            A seed for this transform alone. By default it is that of `shuffle`, or without one, what NumPy's global
            generator draws. A seed gives the same noise each time; a generator for `shuffle`, other noise at each go.

        Returns
        -------
        RandomMapDataSource

        Raises
        ------
        TypeError
            If the source does not fetch by index.

        Examples
        --------
        >>> from batchup import ArrayDataSource
        >>> def jitter(x, rng):
        ...     return (x + rng.normal(size=x.shape),)
        >>> ds = ArrayDataSource([np.zeros(4)]).random_map(jitter)
        >>> once, again = [list(ds.batch_iterator(2, shuffle=7)) for _ in range(2)]
        >>> np.array_equal(once, again)
        True
        """
        return RandomMapDataSource(self, fn, seed)

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
        >>> from batchup import ArrayDataSource
        >>> ds = ArrayDataSource([np.arange(6).reshape(3, 2)])
        >>> ds.batch_map_concat(lambda x: x.sum(axis=1), batch_size=2)
        (array([1, 5, 9]),)
        """
        batches, total = self._limited(batch_size, n_batches, kwargs)
        return concatenated(results(func, batches, total, progress_iter_func, prepend_args))

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
        >>> from batchup import ArrayDataSource
        >>> ds = ArrayDataSource([np.array([1.0, 2.0, 6.0])])
        >>> [float(mean) for mean in ds.batch_map_mean(lambda x: x.sum(), batch_size=2)]
        [3.0]
        """
        batches, total = self._limited(batch_size, n_batches, kwargs)
        return mean(results(func, batches, total, progress_iter_func, prepend_args), sum_axis)

    def _limited(self, batch_size: int, n_batches: int | None, kwargs: dict[str, Any]) -> Limited:
        """The batches to go through, and how many they will be (None if that is not known)."""
        n = self.num_samples(**{name: value for name, value in kwargs.items() if name != "shuffle"})
        if n_batches is None and n == np.inf:
            raise ValueError("the source has no end: n_batches should say how many batches to go through")
        total = None if n is None or n == np.inf else sampling.num_batches(int(n), whole("batch_size", batch_size))
        return first(self.batch_iterator(batch_size, **kwargs), n_batches, total)


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
    >>> from batchup import ArrayDataSource
    >>> ds = MapDataSource(ArrayDataSource([np.arange(4)]), lambda x: (x / 10,))
    >>> next(ds.batch_iterator(4))
    (array([0. , 0.1, 0.2, 0.3]),)
    """

    def __init__(self, source: Any, fn: Callable[..., Batch]) -> None:
        if not callable(fn):
            raise TypeError(f"fn should be a function from a batch to a batch, not {fn!r}")
        if not hasattr(source, "batch_iterator"):
            raise TypeError(f"source should be a data source, not {kind_of(source)}")
        self.source: AbstractDataSource = source
        self.fn = fn
        self.name = name_of(fn)

    def __repr__(self) -> str:
        return f"{self.source!r}.map({self.name})"

    @property
    def is_random_access(self) -> bool:
        return self.source.is_random_access

    @property
    def _takes_keywords(self) -> bool:
        return self.source._takes_keywords

    def num_samples(self, **kwargs: Any) -> int | float | None:
        return self.source.num_samples(**kwargs)

    @property
    def _uneven(self) -> bool:
        return self.source._uneven

    @property
    def _draws(self) -> bool:
        return self.source._draws

    def batch_indices_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Pick]:
        should_be_random_access(self)
        return self.source.batch_indices_iterator(batch_size, **with_shuffle(shuffle, kwargs))

    def batch_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Batch]:
        if self.is_random_access:
            return BatchIterator.over(self, batch_size, shuffle, kwargs)
        return map(self._mapped, self.source.batch_iterator(batch_size, **with_shuffle(shuffle, kwargs)))

    def samples_by_indices(self, indices: Pick) -> Batch:
        should_be_random_access(self)
        return self._mapped(self.source.samples_by_indices(indices))

    def samples_by_indices_nomapping(self, indices: Pick) -> Batch:
        should_be_random_access(self)
        return self._mapped(self.source.samples_by_indices_nomapping(indices))

    def _plan(
        self, batch_size: int, shuffle: Shuffle, seed_path: SeedPath | None, kwargs: dict[str, Any]
    ) -> Iterator[Pick]:
        return self.source._plan(batch_size, shuffle, seed_path, kwargs)

    def _signature(self) -> tuple[Any, ...]:
        return self.source._signature()  # the plan does not depend on the function

    def _mapped(self, batch: Batch) -> Batch:
        try:
            result = self.fn(*batch) if isinstance(batch, tuple) else self.fn(batch)
        except TypeError as error:
            note_signature_mismatch(error, self.fn, *_arguments(batch))
            raise
        return batch_of(self.fn, result)


class RandomPick(NamedTuple):
    """The pick of a `RandomMapDataSource`: which samples, and where their seed_path comes from.

    Attributes
    ----------
    pick : pick
        A pick of the source underneath.
    seed_path : SeedPath
        The address of the generator.
    """

    pick: Pick
    seed_path: SeedPath


class RandomMapDataSource(AbstractDataSource):
    """A source whose batches have gone through a function that draws; made by `random_map`.

    Parameters
    ----------
    source : data source
    fn : callable, ``fn(*batch, rng=Generator) -> batch``
    seed : int, optional
        The seed of this transform. By default it is that of the shuffle.

    Raises
    ------
    TypeError
        If the source cannot fetch by index, or while iterating, if `fn` returns something that is not a batch.
    """

    def __init__(self, source: Any, fn: Callable[..., Batch], seed: int | None = None) -> None:
        if not callable(fn):
            raise TypeError(f"fn should be a function fn(*batch, rng) that returns a batch, not {fn!r}")
        if not getattr(source, "is_random_access", False):
            raise TypeError(
                f"random_map should be over a source that fetches by index, not {kind_of(source)}: only there has each "
                "batch a place that its seed_path can depend on"
            )
        self.source: AbstractDataSource = source
        self.fn = fn
        self.seed = None if seed is None else whole("seed", seed, least=0)
        self.name = name_of(fn)
        # transforms of other names, or added later, do not change what this one draws
        self._place = self.name, sum(self.name == other for other in _names_below(source))

    def __repr__(self) -> str:
        return f"{self.source!r}.random_map({self.name})"

    @property
    def is_random_access(self) -> bool:
        return True

    @property
    def _takes_keywords(self) -> bool:
        return self.source._takes_keywords

    @property
    def _uneven(self) -> bool:
        return self.source._uneven

    @property
    def _draws(self) -> bool:
        return True

    def num_samples(self, **kwargs: Any) -> int | float | None:
        return self.source.num_samples(**kwargs)

    def batch_indices_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Pick]:
        return self._plan(batch_size, shuffle, SeedPath.of(shuffle), kwargs)

    def batch_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Batch]:
        return BatchIterator.over(self, batch_size, shuffle, kwargs)

    def samples_by_indices(self, indices: Pick) -> Batch:
        """The samples at these positions. A plain pick has no place in a run: NumPy's global generator is asked."""
        pick, seed_path = indices if isinstance(indices, RandomPick) else RandomPick(indices, SeedPath.of(None))
        return self._mapped(self.source.samples_by_indices(pick), seed_path)

    def samples_by_indices_nomapping(self, indices: Pick) -> Batch:
        pick, seed_path = indices if isinstance(indices, RandomPick) else RandomPick(indices, SeedPath.of(None))
        return self._mapped(self.source.samples_by_indices_nomapping(pick), seed_path)

    def _plan(
        self, batch_size: int, shuffle: Shuffle, seed_path: SeedPath | None, kwargs: dict[str, Any]
    ) -> Iterator[Pick]:
        seed_path = seed_path or SeedPath.of(shuffle)
        picks = self.source._plan(batch_size, shuffle, seed_path, kwargs)
        here = seed_path.seeded(self.seed).child(*self._place)
        seed, way = here.entropy, here.spawn_key
        return (RandomPick(pick, SeedPath(seed, (*way, step))) for step, pick in enumerate(picks))

    def _signature(self) -> tuple[Any, ...]:
        return type(self).__name__, *self._place, self.seed, self.source._signature()

    def _mapped(self, batch: Batch, seed_path: SeedPath) -> Batch:
        rng = seed_path.rng()
        try:
            result = self.fn(*batch, rng=rng) if isinstance(batch, tuple) else self.fn(batch, rng=rng)
        except TypeError as error:
            args, _, what = _arguments(batch)
            note_signature_mismatch(error, self.fn, args, {"rng": rng}, f"{what}, and a generator as rng")
            raise
        return batch_of(self.fn, result)


def _arguments(batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any], str]:
    """What a function of a batch is called with, and that in words."""
    if isinstance(batch, tuple):
        return batch, {}, f"the arrays of a batch, here {len(batch)}, as so many arguments"
    return (batch,), {}, f"a batch, here {kind_of(batch)}, as one argument"


def note_signature_mismatch(
    error: TypeError, fn: Callable[..., Any], args: tuple[Any, ...], keywords: Mapping[str, Any], what: str
) -> None:
    """Note on an error of `fn`, if these are not the arguments that it takes, what it gets."""
    try:
        inspect.signature(fn).bind(*args, **keywords)
    except TypeError:
        noted(error, f"{name_of(fn)} gets {what}")
    except ValueError:  # some functions in C do not tell
        pass


def batch_of(fn: Callable[..., Any], result: Any) -> Batch:
    """What `fn` returned, which should be a batch."""
    if isinstance(result, (tuple, dict)):
        return result
    if isinstance(result, list):  # [X, y] is taken for (X, y)
        return tuple(result)
    hint = "does it lack a return?" if result is None else "for a single array, return (array,)"
    raise TypeError(f"{name_of(fn)} should return a batch, a tuple or a dict of arrays, not {kind_of(result)}; {hint}")


def name_of(fn: Callable[..., Any]) -> str:
    """What a function is called.

    >>> import functools
    >>> name_of(functools.partial(sorted)), name_of(lambda: 0)
    ('sorted', '<lambda>')
    """
    fn = getattr(fn, "func", fn)
    return str(getattr(fn, "__name__", type(fn).__name__))


def with_shuffle(shuffle: Shuffle, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keywords to hand on; without a shuffle there is none among them, as not every function takes one."""
    return kwargs if shuffle is None else {**kwargs, "shuffle": shuffle}


def should_be_random_access(source: AbstractDataSource) -> None:
    if not source.is_random_access:
        raise TypeError(f"{type(source).__name__} should be over sources that fetch by index; one of them cannot")


def _names_below(source: Any) -> Iterator[str]:
    """The names of the random transforms that this source has gone through."""
    while hasattr(source, "source"):
        if isinstance(source, RandomMapDataSource):
            yield source.name
        source = source.source
