"""The base class of data sources, and the sources that `map` and `random_map` make."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..engine.checks import kind_of, whole
from ..engine.fixed import MAKE_A_NEW_ONE
from ..engine.rng import SeedPath
from ..engine.shuffle import Shuffle
from ..engine.tree import Batch, Pick
from .batches import BatchIterator, MappedBatches
from .functions import batch_arguments, batch_of, function_name, note_signature_mismatch
from .interface import SourceInterface, plan_of, should_be_random_access, warn_of_own_batches, with_shuffle
from .plan import Plan, RandomPick, SeededPlan, Traits
from .splits import Subsets

__all__ = ["AbstractDataSource", "MapDataSource", "RandomMapDataSource"]


class AbstractDataSource(Subsets, SourceInterface):
    """The base class of all data sources.

    A class of your own defines `num_samples` and `batch_iterator`. If it can fetch samples by index, derive it from
    `RandomAccessDataSource`.
    """

    def map(self, fn: Callable[..., Batch]) -> MapDataSource:
        """Apply a function to each batch.

        Parameters
        ----------
        fn : callable, ``fn(*batch) -> batch``
            Gets the arrays of a batch, returns a tuple of arrays.

        Returns
        -------
        MapDataSource

        Examples
        --------
        >>> import numpy as np
        >>> from batchup import ArrayDataSource
        >>> ds = ArrayDataSource([np.arange(4)]).map(lambda x: (x, x ** 2))
        >>> next(ds.batch_iterator(4))
        (array([0, 1, 2, 3]), array([0, 1, 4, 9]))
        """
        return MapDataSource(self, fn)

    def random_map(self, fn: Callable[..., Batch], seed: int | None = None) -> RandomMapDataSource:
        """Apply a random transform to each batch, such as an augmentation.

        `fn` gets a random generator that depends only on the seed, the name of `fn` and the position of the batch in
        the run. So the batches are the same with any pool, and when a run is resumed.

        Parameters
        ----------
        fn : callable, ``fn(*batch, rng) -> batch``
            Gets the arrays of a batch and, by keyword, a `numpy.random.Generator`; returns a tuple of arrays.
        seed : int, optional
            A seed for this transform alone. By default the seed is that of `shuffle`; without a shuffle, NumPy's global
            generator draws one. With a seed, each pass over the source draws the same random numbers. With a generator
            as `shuffle`, each pass draws new ones.

        Returns
        -------
        RandomMapDataSource

        Raises
        ------
        TypeError
            If the source cannot fetch by index.

        Examples
        --------
        >>> import numpy as np
        >>> from batchup import ArrayDataSource
        >>> def jitter(x, rng):
        ...     return (x + rng.normal(size=x.shape),)
        >>> ds = ArrayDataSource([np.zeros(4)]).random_map(jitter)
        >>> once, again = [list(ds.batch_iterator(2, shuffle=7)) for _ in range(2)]
        >>> np.array_equal(once, again)
        True
        """
        return RandomMapDataSource(self, fn, seed)


class MapDataSource(AbstractDataSource):
    """A source that applies a function to the batches of another one.

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
    >>> import numpy as np
    >>> from batchup import ArrayDataSource
    >>> ds = MapDataSource(ArrayDataSource([np.arange(4)]), lambda x: (x / 10,))
    >>> next(ds.batch_iterator(4))
    (array([0. , 0.1, 0.2, 0.3]),)
    """

    _fixed = dict.fromkeys(["source", "fn", "name"], MAKE_A_NEW_ONE)

    def __init__(self, source: Any, fn: Callable[..., Batch]) -> None:
        if not callable(fn):
            raise TypeError(f"fn should be a function from a batch to a batch, not {fn!r}")
        if not hasattr(source, "batch_iterator"):
            raise TypeError(f"source should be a data source, not {kind_of(source)}")
        self.source: AbstractDataSource = source
        self.fn = fn
        self.name = function_name(fn)
        warn_of_own_batches(source, "map")
        self._fix()

    def __repr__(self) -> str:
        return f"{self.source!r}.map({self.name})"

    @property
    def is_random_access(self) -> bool:
        return self.source.is_random_access

    @property
    def traits(self) -> Traits:
        return _traits_of_map(self.source)

    def num_samples(self, **kwargs: Any) -> int | float | None:
        return self.source.num_samples(**kwargs)

    def plan(self, batch_size: int, **kwargs: Any) -> Plan:
        return plan_of(self.source, batch_size, kwargs)

    def batch_indices_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Pick]:
        should_be_random_access(self)
        return plan_of(self.source, batch_size, kwargs).picks(shuffle)

    def batch_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Batch]:
        if self.is_random_access:
            return BatchIterator.over(self, batch_size, shuffle, kwargs)
        return MappedBatches(self._mapped, self.source.batch_iterator(batch_size, **with_shuffle(shuffle, kwargs)))

    def samples_by_indices(self, indices: Pick) -> Batch:
        should_be_random_access(self)
        return self._mapped(self.source.samples_by_indices(indices))

    def samples_by_indices_nomapping(self, indices: Pick) -> Batch:
        should_be_random_access(self)
        return self._mapped(self.source.samples_by_indices_nomapping(indices))

    @property
    def _stages(self) -> tuple[str, ...]:
        return (*self.source._stages, self.name) if self.is_random_access else super()._stages

    def _fetch_timed(self, pick: Pick, times: list[float]) -> Batch:
        batch = self._mapped(self.source._fetch_timed(pick, times))
        times.append(time.perf_counter())
        return batch

    def _mapped(self, batch: Batch) -> Batch:
        try:
            result = self.fn(*batch) if isinstance(batch, (tuple, list)) else self.fn(batch)
        except TypeError as error:
            note_signature_mismatch(error, self.fn, *batch_arguments(batch))
            raise
        return batch_of(self.fn, result, batch)


class RandomMapDataSource(AbstractDataSource):
    """A source that applies a random transform to the batches of another one; `random_map` makes it.

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

    _fixed = dict.fromkeys(["source", "fn", "seed", "name"], MAKE_A_NEW_ONE)

    def __init__(self, source: Any, fn: Callable[..., Batch], seed: int | None = None) -> None:
        if not callable(fn):
            raise TypeError(f"fn should be a function fn(*batch, rng) that returns a batch, not {fn!r}")
        if not getattr(source, "is_random_access", False):
            raise TypeError(
                f"random_map should be over a source that fetches by index, not {kind_of(source)}: only there does "
                "each batch have a number that its random numbers can depend on"
            )
        self.source: AbstractDataSource = source
        self.fn = fn
        self.seed = None if seed is None else whole("seed", seed, least=0)
        self.name = function_name(fn)
        warn_of_own_batches(source, "random_map")
        self._fix()

    def __repr__(self) -> str:
        return f"{self.source!r}.random_map({self.name})"

    @property
    def is_random_access(self) -> bool:
        return True

    @property
    def traits(self) -> Traits:
        return _traits_of_map(self.source)

    def num_samples(self, **kwargs: Any) -> int | float | None:
        return self.source.num_samples(**kwargs)

    def plan(self, batch_size: int, **kwargs: Any) -> Plan:
        return SeededPlan(plan_of(self.source, batch_size, kwargs), type(self).__name__, self.name, self.seed)

    def batch_indices_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Pick]:
        return RandomMapDataSource.plan(self, batch_size, **kwargs).picks(shuffle)

    def batch_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Batch]:
        return BatchIterator.over(self, batch_size, shuffle, kwargs)

    def samples_by_indices(self, indices: Pick) -> Batch:
        """The samples at these positions.

        Plain indices have no position in a run, so NumPy's global generator draws the seed of the transform.
        """
        pick, seed_path = indices if isinstance(indices, RandomPick) else RandomPick(indices, SeedPath.of(None))
        return self._mapped(self.source.samples_by_indices(pick), seed_path)

    def samples_by_indices_nomapping(self, indices: Pick) -> Batch:
        pick, seed_path = indices if isinstance(indices, RandomPick) else RandomPick(indices, SeedPath.of(None))
        return self._mapped(self.source.samples_by_indices_nomapping(pick), seed_path)

    @property
    def _stages(self) -> tuple[str, ...]:
        return (*self.source._stages, self.name)

    def _fetch_timed(self, pick: Pick, times: list[float]) -> Batch:
        batch = self._mapped(self.source._fetch_timed(pick.pick, times), pick.seed_path)
        times.append(time.perf_counter())
        return batch

    def _mapped(self, batch: Batch, seed_path: SeedPath) -> Batch:
        rng = seed_path.rng()
        try:
            result = self.fn(*batch, rng=rng) if isinstance(batch, (tuple, list)) else self.fn(batch, rng=rng)
        except TypeError as error:
            args, _, what = batch_arguments(batch)
            note_signature_mismatch(error, self.fn, args, {"rng": rng}, f"{what}, and a generator as rng")
            raise
        return batch_of(self.fn, result, batch, "random_map")


def _traits_of_map(source: Any) -> Traits:
    """The traits of the mapped source. The function may also draw from the global generator."""
    return dataclasses.replace(getattr(source, "traits", Traits()), may_use_global_rng=True)
