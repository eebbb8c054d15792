"""Apply a function to all batches, and collect its results: per sample, or as means."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..engine import tree
from ..engine.checks import INTEGERS, kind_of, whole
from ..engine.stacking import as_array, concatenate
from ..engine.tree import Batch
from .functions import fields_of

__all__ = ["Progress", "batch_map_concat", "batch_map_mean", "concatenated", "first", "mean", "results"]


Progress: TypeAlias = Callable[..., Iterable[Batch]]


def batch_map_concat(
    func: Callable[..., Any],
    batch_iter: Iterator[Batch],
    progress_iter_func: Progress | None = None,
    n_batches: int | None = None,
    prepend_args: tuple[Any, ...] | None = None,
) -> tuple[npt.NDArray[Any], ...] | None:
    """Compute results per sample, batch by batch.

    Parameters
    ----------
    func : callable, ``func(*prepend_args, *batch)``
        Returns one array with a result per sample, a tuple of them, or None.
    batch_iter : iterator of batches
    progress_iter_func : callable, optional
        A function in the style of ``tqdm.tqdm``, called as ``progress_iter_func(batches, total=…, leave=False)``.
    n_batches : int, optional
        Take at most this many from `batch_iter`. The rest stay in it.
    prepend_args : tuple, optional
        Arguments of `func` before the batch.

    Returns
    -------
    tuple of ndarray, or None
        Masked arrays keep their masks. None if `func` returned None, or if there are no samples.

    Raises
    ------
    TypeError
        If `func` returns something else, or if the results of the batches do not fit into one array, such as strings
        and numbers.

    Examples
    --------
    >>> from batchup import ArrayDataSource
    >>> batches = ArrayDataSource([np.arange(5)]).batch_iterator(2)
    >>> batch_map_concat(lambda x: (x, -x), batches, n_batches=2)
    (array([0, 1, 2, 3]), array([ 0, -1, -2, -3]))
    """
    return concatenated(results(func, *first(batch_iter, n_batches), progress_iter_func, prepend_args))


def batch_map_mean(
    func: Callable[..., Any],
    batch_iter: Iterator[Batch],
    progress_iter_func: Progress | None = None,
    sum_axis: int | tuple[int, ...] | None = None,
    n_batches: int | None = None,
    prepend_args: tuple[Any, ...] | None = None,
) -> tuple[Any, ...] | None:
    """Compute means over all samples, batch by batch.

    Parameters
    ----------
    func : callable, ``func(*prepend_args, *batch)``
        Returns the sum over the batch (a number or an array), a tuple of sums, or None. With `sum_axis` it returns
        the values before summing.
    batch_iter : iterator of batches
    progress_iter_func : callable, optional
        A function in the style of ``tqdm.tqdm``, called as ``progress_iter_func(batches, total=…, leave=False)``.
    sum_axis : int or tuple of int, optional
        The axis or axes over which to sum what `func` returns; 0 for results per sample.
    n_batches : int, optional
        Take at most this many from `batch_iter`. The rest stay in it.
    prepend_args : tuple, optional
        Arguments of `func` before the batch.

    Returns
    -------
    tuple, or None
        Each sum, in at least double precision, divided by the number of samples; None if `func` returned None, or if
        there are no samples. For masked arrays, pass ``sum_axis=0``: the mean is over the values that are not masked.

    Examples
    --------
    >>> from batchup import ArrayDataSource
    >>> batches = ArrayDataSource([np.array([1.0, 2.0, 6.0])]).batch_iterator(2)
    >>> [float(mean) for mean in batch_map_mean(lambda x: x, batches, sum_axis=0)]
    [3.0]
    """
    return mean(results(func, *first(batch_iter, n_batches), progress_iter_func, prepend_args), sum_axis)


Limited: TypeAlias = tuple[Iterator[Batch], int | None]


Results: TypeAlias = Iterator[tuple[tuple[Any, ...], int]]


def first(batches: Iterator[Batch], n_batches: int | None, total: int | None = None) -> Limited:
    """At most `n_batches` of the batches, and how many there will be (None if that is not known)."""
    if n_batches is None:
        return batches, total
    n_batches = whole("n_batches", n_batches, least=0)
    return itertools.islice(batches, n_batches), n_batches if total is None else min(n_batches, total)


def results(
    func: Callable[..., Any],
    batches: Iterable[Batch],
    total: int | None,
    progress: Progress | None,
    prepend_args: tuple[Any, ...] | None,
) -> Results:
    """For each batch, the results of `func` as a tuple, and the number of samples."""
    if progress is not None and not callable(progress):
        raise TypeError(f"progress_iter_func should be a function such as tqdm.tqdm, not {progress!r}")
    before = tuple(prepend_args or ())
    for batch in batches if progress is None else progress(batches, total=total, leave=False):
        batch = fields_of(batch)
        result = func(*before, *batch) if isinstance(batch, tuple) else func(*before, batch)
        if result is not None:
            yield result if isinstance(result, tuple) else (_number_or_array(func, result),), tree.length(batch)


def _number_or_array(func: Callable[..., Any], result: Any) -> Any:
    if isinstance(result, (float, *INTEGERS, np.generic)) or hasattr(result, "__array__"):
        return result
    name = getattr(func, "__name__", repr(func))
    raise TypeError(f"{name} should return an array, a number, a tuple of them or None, not {kind_of(result)}")


def concatenated(results: Results) -> tuple[npt.NDArray[Any], ...] | None:
    """The results of all batches, joined; None if there are none."""
    columns = list(zip(*(map(as_array, parts) for parts, _ in results), strict=True))
    for array in itertools.chain.from_iterable(columns):
        if array.ndim == 0:
            single = "a single number" if array.dtype != object else kind_of(array.item())
            raise TypeError(f"func should return arrays with a result per sample, not {single}")
    return tuple(map(concatenate, columns)) or None


def mean(results: Results, sum_axis: int | tuple[int, ...] | None) -> tuple[Any, ...] | None:
    """The sums over all batches, divided by the number of samples; None if there are none."""
    totals: list[_Total] = []
    for parts, n in results:
        totals = totals or [_Total() for _ in parts]
        for total, part in zip(totals, parts, strict=True):
            total.add(part, n, sum_axis)
    return tuple(total.mean() for total in totals) or None


class _Total:
    """The sum of one of the results over all batches, and the number of samples in it."""

    sum: Any = None
    count: Any = 0  # an array, if the number differs between entries
    is_masked = False

    def add(self, part: Any, n: int, sum_axis: int | tuple[int, ...] | None) -> None:
        wide = as_array(part) if isinstance(part, (list, tuple)) else np.asanyarray(part)
        wide = wide.astype(np.result_type(wide, np.float64), copy=False)
        if isinstance(wide, np.ma.MaskedArray):
            self.is_masked = True
            self._add(*_unmasked(wide, n, sum_axis))
        else:
            wide = wide.view(np.ndarray) if isinstance(wide, np.matrix) else wide
            self._add(wide if sum_axis is None else wide.sum(axis=sum_axis), n)

    def _add(self, values: Any, count: Any) -> None:
        self.sum = values if self.sum is None else self.sum + values
        self.count = self.count + count

    def mean(self) -> Any:
        return np.ma.true_divide(self.sum, self.count) if self.is_masked else self.sum / self.count


def _unmasked(array: Any, n: int, sum_axis: int | tuple[int, ...] | None) -> tuple[Any, Any]:
    """The sum over all samples of the values that are not masked, and the number of these values."""
    axes = sum_axis if isinstance(sum_axis, tuple) else (sum_axis,)
    if sum_axis is None or array.ndim == 0 or [axis % array.ndim for axis in axes] != [0] or len(array) != n:
        raise TypeError(
            "func should return a masked array only with sum_axis=0, and with a result per sample; otherwise the "
            "number of values that are not masked is not known: fill the array, or return the sum and the number"
        )
    return array.filled(0).sum(axis=0), array.count(axis=0)
