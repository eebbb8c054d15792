"""From a list of items to a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.tree import map_leaves

__all__ = ["combine_batches", "combine_pad", "combine_to_arrays", "pad_batch_equal"]

Array = npt.NDArray[Any]
Fill = Any  # a number, or a function from an array to one


def combine_batches(inputs: Sequence[Any]) -> Any:
    """The parts of items, each together with its like.

    Parameters
    ----------
    inputs : list of items
        Items are tuples or lists of equally many parts, or dicts with the same keys. Anything else is a single part.

    Returns
    -------
    tuple of lists, dict of lists or list
        As the items are: for tuples and lists a tuple, for dicts a dict, for single parts one list.

    Raises
    ------
    ValueError
        If items have unlike parts.

    Examples
    --------
    >>> combine_batches([("a", 1), ("b", 2)])
    (['a', 'b'], [1, 2])
    >>> combine_batches([{"x": 1}, {"x": 2}])
    {'x': [1, 2]}
    """
    first = inputs[0]
    if isinstance(first, dict):
        _should_be_alike([sorted(map(repr, item)) for item in inputs], "keys")
        return {key: [item[key] for item in inputs] for key in first}
    if isinstance(first, (tuple, list)):
        _should_be_alike([len(item) for item in inputs], "numbers of parts")
        columns = [list(column) for column in zip(*inputs, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else tuple(columns)
    return list(inputs)


def combine_to_arrays(inputs: Sequence[Any]) -> Any:
    """A batch of arrays, from items whose parts have one shape.

    Parameters
    ----------
    inputs : list of items

    Returns
    -------
    tuple of ndarray, dict of ndarray or ndarray
        As for `combine_batches`; the first axis of each array is that of the items.

    Raises
    ------
    ValueError
        If a part has several shapes.

    Examples
    --------
    >>> combine_to_arrays([(np.zeros(3), 0), (np.ones(3), 1)])
    (array([[0., 0., 0.],
           [1., 1., 1.]]), array([0, 1]))
    """
    return map_leaves(stacked, combine_batches(inputs))


def combine_pad(inputs: Sequence[Any], padding_values: Fill = 0, ratio: float | Sequence[float] = 0.5) -> Any:
    """A batch of arrays, from items whose parts are padded to the largest of their kind.

    Parameters
    ----------
    inputs : list of items
        Parts of equally many dimensions. Those without (numbers) are not padded.
    padding_values : number, callable or a sequence of them, default 0
        What to pad with; of a function, what it gives for the array, as `numpy.min` does. A list or tuple has one for
        each part of an item; where items are dicts, so is this.
    ratio : float or sequence of float, default 0.5
        What part of the padding goes before the array, from 0 to 1; the rest goes behind it. A sequence has one for
        each of the last axes.

    Returns
    -------
    tuple of ndarray, dict of ndarray or ndarray

    Raises
    ------
    ValueError
        If parts have unlike numbers of dimensions, or a padding value does not fit their type.

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
    """Arrays of several shapes as one, padded to the largest extent along each axis.

    Parameters
    ----------
    batch : sequence of array-like
        Of equally many dimensions.
    padding_values : number or callable, default 0
        As for `combine_pad`.
    ratio : float or sequence of float, default 0.5

    Returns
    -------
    ndarray
        Of shape ``(len(batch), *largest)``, and of the type that all arrays have in common.

    Examples
    --------
    >>> pad_batch_equal([np.ones((1, 2)), np.ones((2, 1))], ratio=1)
    array([[[0., 0.],
            [1., 1.]],
    <BLANKLINE>
           [[0., 1.],
            [0., 1.]]])
    """
    arrays = [np.asarray(each) for each in batch]
    shapes = [array.shape for array in arrays]
    if len(set(shapes)) == 1:
        return stacked(batch)
    if len({len(shape) for shape in shapes}) > 1:
        raise ValueError(f"parts to pad should have equally many dimensions, not shapes {_told(shapes)}")
    largest = tuple(map(max, zip(*shapes, strict=True)))
    padded = np.empty((len(arrays), *largest), np.result_type(*arrays))
    ratios = _ratios(ratio, len(largest))
    for place, array in zip(padded, arrays, strict=True):
        place[...] = _fill(padding_values, array, padded.dtype)
        place[_within(array.shape, largest, ratios)] = array
    return padded


def _for_each_part(columns: Any, padding_values: Fill) -> Any:
    """The padding values, in the form of the batch."""
    if isinstance(columns, dict):
        return padding_values if isinstance(padding_values, dict) else dict.fromkeys(columns, padding_values)
    if isinstance(columns, tuple):
        several = isinstance(padding_values, (list, tuple))
        fills = tuple(padding_values) if several else (padding_values,) * len(columns)
        if len(fills) != len(columns):
            raise ValueError(f"there should be one padding value, or {len(columns)}, one a part, not {len(fills)}")
        return fills
    return padding_values


def _within(shape: tuple[int, ...], largest: tuple[int, ...], ratios: Sequence[float]) -> tuple[slice, ...]:
    """Where an array of `shape` lies in one that is padded.

    >>> _within((2,), (6,), (0.25,))
    (slice(1, 3, None),)
    """
    firsts = [int((most - n) * ratio) for n, most, ratio in zip(shape, largest, ratios, strict=True)]
    return tuple(slice(first, first + n) for first, n in zip(firsts, shape, strict=True))


def _ratios(ratio: float | Sequence[float], ndim: int) -> list[float]:
    some = [float(each) for each in np.atleast_1d(ratio)]
    if not all(0 <= each <= 1 for each in some):
        raise ValueError(f"ratio should be the part of the padding that goes before, from 0 to 1, not {ratio!r}")
    if np.ndim(ratio) == 0:
        return some * ndim
    if len(some) > ndim:
        raise ValueError(f"ratio should be one number, or one for each of the last axes of {ndim}, not {ratio!r}")
    return [0.5] * (ndim - len(some)) + some


def _fill(value: Fill, array: Array, dtype: np.dtype[Any]) -> Any:
    if callable(value):
        value = value(array)
    fill = np.asarray(value)
    with np.errstate(invalid="ignore"):
        cast = fill.astype(dtype)
    if dtype.kind in "biu" and not np.array_equal(cast, fill):
        raise ValueError(f"padding value {value!r} does not fit arrays of {dtype}; give another, or convert the arrays")
    return cast


def stacked(parts: Sequence[Any]) -> Array:
    """Parts of one shape as one array.

    >>> stacked([1, 2])
    array([1, 2])
    """
    try:  # a number may be NumPy's in one item and Python's in another
        if len({getattr(part, "shape", None) for part in parts}) == 1 or len(set(map(np.shape, parts))) == 1:
            return np.array(parts)
    except ValueError as error:  # ragged lists
        raise _unequal(parts) from error
    raise _unequal(parts)


def _unequal(parts: Sequence[Any]) -> ValueError:
    shapes = [np.shape(np.asarray(part, dtype=object)) for part in parts]
    return ValueError(
        f"parts of items in one batch should have one shape, not {_told(shapes)}; combiner=combine_pad pads them"
    )


def _should_be_alike(found: list[Any], what: str) -> None:
    unlike = next((each for each in found if each != found[0]), None)
    if unlike is not None:
        raise ValueError(f"items of one batch should have the same {what}, not {found[0]} and {unlike}")


def _told(shapes: Sequence[tuple[int, ...]], most: int = 4) -> str:
    some = [str(shape) for shape in dict.fromkeys(shapes)]
    return ", ".join(some[:most]) + (", …" if len(some) > most else "")
