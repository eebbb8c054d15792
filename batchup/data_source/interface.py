"""The methods of a data source: the number of samples, the plan of batches, the fetch, and maps over all batches."""

from __future__ import annotations

import time
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import sampling
from ..engine.checks import whole
from ..engine.fixed import Fixed
from ..engine.initialised import is_of_batchup
from ..engine.shuffle import Shuffle
from ..engine.tree import Batch, Pick
from .batches import BatchIterator
from .functions import giving_batches
from .plan import MadePlan, Plan, Traits
from .results import Limited, Progress, concatenated, first, mean, results

__all__ = ["SourceInterface", "plan_of", "should_be_random_access", "warn_of_own_batches", "with_shuffle"]

FETCHES = ("samples_by_indices", "samples_by_indices_nomapping")
WHAT_TO_DEFINE = ": its class does not define samples_by_indices_nomapping(indices)"


class SourceInterface(Fixed):
    """The methods of all data sources, apart from `map` and `random_map`, which `AbstractDataSource` adds."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Keep pairs of methods consistent: if a subclass overrides one of a pair, the other is derived from it.

        What the fetch of a user's class returns is checked.
        """
        super().__init_subclass__(**kwargs)
        for name in () if is_of_batchup(cls) else FETCHES:
            fetch = vars(cls).get(name)
            if isinstance(fetch, types.FunctionType):
                setattr(cls, name, giving_batches(fetch))
        for derived, origin in _DERIVED_FROM.items():
            if _depth(cls, origin) < _depth(cls, derived):
                derive: Any = {"plan": _plan_from, "batch_indices_iterator": _picks_from}.get(derived)
                setattr(cls, derived, derive(getattr(cls, origin)) if derive else vars(SourceInterface)[derived])

    @property
    def is_random_access(self) -> bool:
        """Whether samples can be fetched by index. If so, `batch_indices_iterator` and `samples_by_indices` work, and a
        work pool can prepare the batches.
        """
        return False

    def num_samples(self, **kwargs: Any) -> int | float | None:
        """The number of samples in one pass over the source.

        Returns
        -------
        int, `numpy.inf` or None
            None if it is not known.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how many samples it has")

    def batch_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Batch]:
        """The batches of one pass over the source.

        Parameters
        ----------
        batch_size : int
            Samples per batch; the last may have fewer.
        shuffle : None, bool, int, SeedSequence, RandomState or Generator, optional
            None (the default) and False keep the order. True shuffles with NumPy's global generator. An int or a
            `SeedSequence` is a seed, and gives the same order each time. A generator draws a new order each time.

        Returns
        -------
        iterator of tuple
        """
        if self.is_random_access:
            return BatchIterator.over(self, batch_size, shuffle, kwargs)
        raise NotImplementedError(f"{type(self).__name__} does not give batches")

    def batch_indices_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Pick]:
        """The picks that `batch_iterator` with the same arguments fetches, one per batch.

        Returns
        -------
        iterator of picks
            A pick is an array of indices; for a composite, a tuple of picks; for a choice, a `ChoiceBatch`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no indices: its batches come one after the other")

    def plan(self, batch_size: int, **kwargs: Any) -> Plan:
        """Which samples make which batch, for any shuffle.

        A source that wraps another one returns the plan of the inner source. By default the plan is made from
        `batch_indices_iterator`: it gives the same picks, but knows nothing else about them.

        Parameters
        ----------
        batch_size : int
            Samples per batch.
        **kwargs
            Further keywords of `batch_iterator`.

        Returns
        -------
        Plan
        """
        return MadePlan(self, batch_size, kwargs)

    @property
    def traits(self) -> Traits:
        """What other sources and pools need to know besides the plan. The default is safe for any source."""
        return Traits()

    def samples_by_indices(self, indices: Pick) -> Batch:
        """The samples at these positions of the source, as one batch.

        For a source over a subset, index 0 is the first sample of the subset.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot fetch by index{WHAT_TO_DEFINE}")

    def samples_by_indices_nomapping(self, indices: Pick) -> Batch:
        """The batch for one pick of `batch_indices_iterator`. This is the fetch.

        For a source over a subset, the indices are those of the whole data.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot fetch by index{WHAT_TO_DEFINE}")

    def batch_map_concat(
        self,
        func: Callable[..., Any],
        batch_size: int,
        progress_iter_func: Progress | None = None,
        n_batches: int | None = None,
        prepend_args: tuple[Any, ...] | None = None,
        **kwargs: Any,
    ) -> tuple[npt.NDArray[Any], ...] | None:
        """Compute results per sample, batch by batch: see the function `batch_map_concat`.

        Parameters
        ----------
        func : callable, ``func(*prepend_args, *batch)``
            Returns one array with a result per sample, a tuple of them, or None.
        batch_size : int
            Samples per batch.
        progress_iter_func : callable, optional
            A function in the style of ``tqdm.tqdm``, called as ``progress_iter_func(batches, total=…, leave=False)``.
        n_batches : int, optional
            Stop after this many. Required if the source has no end.
        prepend_args : tuple, optional
            Arguments of `func` before the batch.
        **kwargs
            For `batch_iterator`, such as `shuffle`.

        Returns
        -------
        tuple of ndarray, or None
            None if `func` returned None, or if there are no samples.

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
        """Compute means over all samples, batch by batch: see the function `batch_map_mean`.

        Parameters
        ----------
        func : callable, ``func(*prepend_args, *batch)``
            Returns the sum over the batch (a number or an array), a tuple of sums, or None. With `sum_axis` it returns
            the values before summing.
        batch_size : int
            Samples per batch.
        progress_iter_func : callable, optional
            A function in the style of ``tqdm.tqdm``, called as ``progress_iter_func(batches, total=…, leave=False)``.
        sum_axis : int or tuple of int, optional
            The axis or axes over which to sum what `func` returns; 0 for results per sample.
        n_batches : int, optional
            Stop after this many. Required if the source has no end.
        prepend_args : tuple, optional
            Arguments of `func` before the batch.
        **kwargs
            For `batch_iterator`, such as `shuffle`.

        Returns
        -------
        tuple, or None
            Each sum, in at least double precision, divided by the number of samples; None if `func` returned None, or
            if there are no samples.

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
        """The batches to process, and how many there will be (None if that is not known)."""
        n = self.num_samples(**{name: value for name, value in kwargs.items() if name != "shuffle"})
        if n_batches is None and n == np.inf:
            raise ValueError("the source has no end: n_batches should say how many batches to go through")
        total = None if n is None or n == np.inf else sampling.num_batches(int(n), whole("batch_size", batch_size))
        return first(self.batch_iterator(batch_size, **kwargs), n_batches, total)

    @property
    def _stages(self) -> tuple[str, ...]:
        """The names of the stages that make a batch: the fetch, and each function that is mapped over it."""
        what = "fetch" if self.is_random_access else "batches"
        return (f"the {what} of {type(self).__name__}",)

    def _fetch_timed(self, pick: Pick, times: list[float]) -> Batch:
        """The batch for a pick. After each of the `_stages`, the current time is appended to `times`."""
        batch = self.samples_by_indices_nomapping(pick)
        times.append(time.perf_counter())
        return batch


def _picks_from(plan: Callable[..., Plan]) -> Callable[..., Iterator[Pick]]:
    """A `batch_indices_iterator` for the class that has this `plan`: a subclass may override it, and call this one."""

    def batch_indices_iterator(self: Any, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Pick]:
        return plan(self, batch_size, **kwargs).picks(shuffle)

    batch_indices_iterator.__doc__ = SourceInterface.batch_indices_iterator.__doc__
    return batch_indices_iterator


def _plan_from(batch_indices_iterator: Callable[..., Iterator[Pick]]) -> Callable[..., Plan]:
    """A `plan` for the class that has this `batch_indices_iterator`."""

    def plan(self: Any, batch_size: int, **kwargs: Any) -> Plan:
        return MadePlan(self, batch_size, kwargs, batch_indices_iterator)

    plan.__doc__ = SourceInterface.plan.__doc__
    return plan


def with_shuffle(shuffle: Shuffle, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keywords to pass on. `shuffle` is among them only if there is one, since not every function accepts it."""
    return kwargs if shuffle is None else {**kwargs, "shuffle": shuffle}


def plan_of(source: Any, batch_size: int, kwargs: dict[str, Any]) -> Plan:
    """The plan of a source, or of an object that has only the older methods of one."""
    plan: Plan = source.plan(batch_size, **kwargs) if hasattr(source, "plan") else MadePlan(source, batch_size, kwargs)
    return plan


def should_be_random_access(source: SourceInterface) -> None:
    if not source.is_random_access:
        raise TypeError(f"{type(source).__name__} should be over sources that fetch by index; one of them cannot")


def warn_of_own_batches(source: Any, what: str, stacklevel: int = 4) -> None:
    """Say that a `batch_iterator` of the user's is not called, if the source fetches by index.

    Parameters
    ----------
    source : data source
    what : str
        What makes the batches instead, such as "a Loader".
    stacklevel : int, default 4
        As for `warnings.warn`; this function is the first level.
    """
    kind = type(source)
    if not isinstance(source, SourceInterface) or not source.is_random_access:
        return
    used = ("plan", "batch_indices_iterator", "samples_by_indices_nomapping")
    if _depth(kind, "batch_iterator") < min(_depth(kind, name) for name in used):
        warnings.warn(
            f"{what} does not call the batch_iterator of {kind.__name__}: the batches of a source that fetches by "
            "index come from its samples_by_indices_nomapping; do there, or in a function for map(), what "
            "batch_iterator does",
            stacklevel=stacklevel,
        )


# Derived method -> the method that it is derived from. `plan` and `batch_indices_iterator` derive from each other. The
# last two measure the parts of a fetch, and must not bypass an overridden fetch.
_DERIVED_FROM = {
    "plan": "batch_indices_iterator",
    "batch_indices_iterator": "plan",
    "_fetch_timed": "samples_by_indices_nomapping",
    "_stages": "samples_by_indices_nomapping",
}


def _depth(cls: type, name: str) -> int:
    """How far up the method is defined: 0 for the class itself, 1 for its next base, and so on."""
    return next(i for i, base in enumerate(cls.__mro__) if name in vars(base))
