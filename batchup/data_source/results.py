"""Apply a function to all batches, and collect its results: per sample, or as means."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..engine import tree
from ..engine.checks import INTEGERS, kind_of, whole
from ..engine.tree import Batch

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
        None if `func` returned None, and for no samples.

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
        Each sum, in at least double precision, divided by the number of samples; None if `func` returned None, and for
        no samples.

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
    before = tuple(prepend_args or ())
    for batch in batches if progress is None else progress(batches, total=total, leave=False):
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
    columns = list(zip(*(parts for parts, _ in results), strict=True))
    if any(np.ndim(part) == 0 for column in columns for part in column):
        raise TypeError("func should return arrays with a result per sample, not a single number")
    return tuple(np.concatenate(column) for column in columns) or None


def mean(results: Results, sum_axis: int | tuple[int, ...] | None) -> tuple[Any, ...] | None:
    """The sums over all batches, divided by the number of samples; None if there are none."""
    sums: list[Any] = []
    n_samples = 0
    for parts, n in results:
        wide = [np.asarray(part, dtype=np.result_type(part, np.float64)) for part in parts]
        if sum_axis is not None:
            wide = [part.sum(axis=sum_axis) for part in wide]
        sums = [total + part for total, part in zip(sums, wide, strict=True)] if n_samples else wide
        n_samples += n
    return tuple(total / n_samples for total in sums) or None
