"""Combine a list of items into a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.padding import pad_along_all, pad_along_first, should_be_plain
from ..engine.stacking import as_array, stack, stack_arrays
from ..engine.tree import is_mapping, map_leaves

__all__ = ["combine_batches", "combine_pad", "combine_to_arrays", "pad_batch_equal"]

Array = npt.NDArray[Any]
Fill = Any  # a number, or a function from an array to one


def combine_batches(inputs: Sequence[Any]) -> Any:
    """Transpose a list of items into lists of their parts.

    Parameters
    ----------
    inputs : list of items
        Items are tuples or lists with the same number of parts, or mappings with the same keys. Anything else is a
        single part.

    Returns
    -------
    tuple of lists, dict of lists or list
        A tuple for tuples and lists, a dict for mappings, one list for single parts.

    Raises
    ------
    ValueError
        If items have different numbers of parts, or different keys.

    Examples
    --------
    >>> combine_batches([("a", 1), ("b", 2)])
    (['a', 'b'], [1, 2])
    >>> combine_batches([{"x": 1}, {"x": 2}])
    {'x': [1, 2]}
    """
    first = inputs[0]
    if is_mapping(first):
        _check_alike([sorted(map(repr, item)) for item in inputs], "keys")
        return {key: [item[key] for item in inputs] for key in first}
    if isinstance(first, (tuple, list)):
        _check_alike([len(item) for item in inputs], "number of parts")
        columns = [list(column) for column in zip(*inputs, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else tuple(columns)
    return list(inputs)


def combine_to_arrays(inputs: Sequence[Any]) -> Any:
    """Stack items, whose corresponding parts have the same shape, into a batch of arrays.

    Parameters
    ----------
    inputs : list of items

    Returns
    -------
    tuple of ndarray, dict of ndarray or ndarray
        As for `combine_batches`. The first axis of each array runs over the items. Values are unchanged: bytes, and
        text that ends with NUL characters, make arrays of objects, and masked arrays keep their masks.

    Raises
    ------
    ValueError
        If a part does not have the same shape in all items.
    TypeError
        If no array holds the values of a part unchanged, such as words and numbers.

    Examples
    --------
    >>> combine_to_arrays([(np.zeros(3), 0), (np.ones(3), 1)])
    (array([[0., 0., 0.],
           [1., 1., 1.]]), array([0, 1]))
    """
    return map_leaves(stacked, combine_batches(inputs))


def combine_pad(inputs: Sequence[Any], padding_values: Fill = 0, ratio: float | Sequence[float] = 0.5) -> Any:
    """Pad the parts of items to a common shape, and stack them into a batch of arrays.

    Parameters
    ----------
    inputs : list of items
        Corresponding parts should have the same number of dimensions. Numbers are not padded.
    padding_values : number, callable or a sequence of them, default 0
        The value to pad with. A function, such as `numpy.min`, is called with the array and returns the value. A list
        or tuple has one value for each part of an item. For items that are dicts it may be a dict.
    ratio : float or sequence of float, default 0.5
        The share of the padding that goes before the array, from 0 to 1; the rest goes after it. A sequence has one
        share for each of the last axes.

    Returns
    -------
    tuple of ndarray, dict of ndarray or ndarray

    Raises
    ------
    ValueError
        If corresponding parts have different numbers of dimensions, or a padding value does not fit their dtype.
    TypeError
        If no array holds the values of a part unchanged, or if masked arrays would have to be padded.

    Examples
    --------
    >>> xs, ys = combine_pad([(np.array([1, 2]), 0), (np.array([3, 4, 5, 6]), 1)], padding_values=-1)
    >>> xs
    array([[-1,  1,  2, -1],
           [ 3,  4,  5,  6]])
    >>> combine_pad([(np.array([7, 5]), 0), (np.array([3, 4, 5, 6]), 1)], padding_values=np.min, ratio=0)[0]
    array([[7, 5, 5, 5],
           [3, 4, 5, 6]])
    """
    columns = combine_batches(inputs)
    fills = _for_each_part(columns, padding_values)
    return map_leaves(lambda parts, fill: pad_batch_equal(parts, fill, ratio), columns, fills)


def pad_batch_equal(batch: Sequence[Any], padding_values: Fill = 0, ratio: float | Sequence[float] = 0.5) -> Array:
    """Pad arrays to the largest length along each axis, and stack them.

    Parameters
    ----------
    batch : sequence of array-like
        All with the same number of dimensions.
    padding_values : number or callable, default 0
        As for `combine_pad`.
    ratio : float or sequence of float, default 0.5

    Returns
    -------
    ndarray
        Of shape ``(len(batch), *largest)``, and of a dtype that holds the values of all arrays.

    Examples
    --------
    >>> pad_batch_equal([np.ones((1, 2)), np.ones((2, 1))], ratio=1)
    array([[[0., 0.],
            [1., 1.]],
    <BLANKLINE>
           [[0., 1.],
            [0., 1.]]])
    """
    arrays = [as_array(each) for each in batch]
    shapes = [array.shape for array in arrays]
    if len(set(shapes)) == 1:
        return stack_arrays(arrays)
    if len({len(shape) for shape in shapes}) > 1:
        raise ValueError(f"parts to pad should have the same number of dimensions, not shapes {_listed(shapes)}")
    should_be_plain(arrays)
    largest = tuple(map(max, zip(*shapes, strict=True)))
    ratios = _ratios(ratio, len(largest))
    if len({shape[1:] for shape in shapes}) == 1 and ratios[0] in (0, 1) and not callable(padding_values):
        return pad_along_first(arrays, list(map(len, arrays)), largest[0], padding_values, ratios[0] == 1)
    return pad_along_all(arrays, largest, padding_values, ratios)


def _for_each_part(columns: Any, padding_values: Fill) -> Any:
    """The padding values, in a tree like that of the batch."""
    if isinstance(columns, dict):
        return padding_values if isinstance(padding_values, dict) else dict.fromkeys(columns, padding_values)
    if isinstance(columns, tuple):
        several = isinstance(padding_values, (list, tuple))
        fills = tuple(padding_values) if several else (padding_values,) * len(columns)
        if len(fills) != len(columns):
            raise ValueError(
                f"padding_values should be one value, or {len(columns)}, one for each part, not {len(fills)}"
            )
        return fills
    return padding_values


def _ratios(ratio: float | Sequence[float], ndim: int) -> list[float]:
    some = [float(each) for each in np.atleast_1d(ratio)]
    if not all(0 <= each <= 1 for each in some):
        raise ValueError(f"ratio should be the share of the padding before the array, from 0 to 1, not {ratio!r}")
    if np.ndim(ratio) == 0:
        return some * ndim
    if len(some) > ndim:
        raise ValueError(f"ratio should be one number, or at most {ndim}, one for each of the last axes, not {ratio!r}")
    return [0.5] * (ndim - len(some)) + some


def stacked(parts: Sequence[Any]) -> Array:
    """Stack parts that have the same shape into one array; see `batchup.engine.stacking.stack`.

    >>> stacked([1, 2])
    array([1, 2])
    """
    try:
        return stack(parts)
    except ValueError as error:
        raise _unequal(parts) from error


def _unequal(parts: Sequence[Any]) -> ValueError:
    shapes = [np.shape(np.asarray(part, dtype=object)) for part in parts]
    return ValueError(
        f"the parts of items in a batch should have one shape, not {_listed(shapes)}; combiner=combine_pad pads them"
    )


def _check_alike(found: list[Any], what: str) -> None:
    unlike = next((each for each in found if each != found[0]), None)
    if unlike is not None:
        raise ValueError(f"items of a batch should have the same {what}, not {found[0]} and {unlike}")


def _listed(shapes: Sequence[tuple[int, ...]], most: int = 4) -> str:
    some = [str(shape) for shape in dict.fromkeys(shapes)]
    return ", ".join(some[:most]) + (", …" if len(some) > most else "")
