"""Get samples from array-likes of all kinds by index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any, Protocol

import numpy as np

from ..engine import arena, tree
from ..engine.checks import INTEGERS, Indices, a_or_an, index_array
from ..errors import noted
from ..storage.base import StoredArray

__all__ = ["ArrayLike", "by_position", "gather", "is_array_like", "is_dataset", "is_table", "positions", "rows"]

ONE_BY_ONE = "if it gives one sample for one index, ParallelItems(it, workers=1) asks it so"


class ArrayLike(Protocol):
    """What `ArrayDataSource` needs of its data: a length, and the samples for an array of indices."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Any, /) -> Any: ...


def gather(arrays: Iterable[Any], indices: Any, length: int, include_indices: bool = False) -> list[Any]:
    """The samples at `indices` of each of several array-likes.

    The common case, an array of indices into plain arrays, is written inline. A function call for each batch or array
    is slower here than it looks, since the previous batch has evicted everything else from the processor's cache.

    Parameters
    ----------
    arrays : iterable of array-like
    indices : array of int, slice or int
    length : int
        The number of samples in each of the array-likes.
    include_indices : bool, default False
        Whether to put a copy of the indices first.

    Raises
    ------
    IndexError
        If an index is negative, or not below `length`.
    ValueError
        If an array-like does not return one sample for each index.
    """
    if type(indices) is np.ndarray and indices.dtype == np.intp and indices.ndim == 1 and indices.size:
        unsigned = indices.view(np.uintp)  # a negative index becomes a huge one, so one pass checks both bounds
        if unsigned.item(unsigned.argmax()) >= length:
            positions(indices, length)  # raises an error that names the index
    else:
        indices = positions(indices, length)
    # a copy, since the batch may be written to and the pick fetched again
    samples = [copy(indices)] if include_indices else []
    for array in arrays:
        if type(array) is np.ndarray and array.flags.carray and arena.current is None:
            samples.append(array.take(indices, 0))
        else:
            some = _rows_with_note(array, indices)
            if type(some) is not np.ndarray or some.shape[:1] != getattr(indices, "shape", None):
                _should_be_as_many(some, indices, array)
            samples.append(some)
    return samples


def rows(array: Any, indices: Any) -> Any:
    """The samples of one array-like at `indices`, which are within its length."""
    if type(array) is np.memmap:
        array = array.view(np.ndarray)
    if type(array) is np.ndarray and type(indices) is np.ndarray:
        flags = array.flags
        if flags.c_contiguous and flags.aligned:  # take would copy any other array as a whole
            out = arena.empty((len(indices), *array.shape[1:]), array.dtype) if arena.in_worker() else None
            return array.take(indices, 0) if out is None else array.take(indices, 0, out, "clip")
        return array[indices]
    if isinstance(array, StoredArray):
        return array[indices]
    if isinstance(indices, np.ndarray) and (isinstance(array, (list, tuple, range)) or is_dataset(array)):
        return [array[i] for i in indices.tolist()]
    if hasattr(array, "iloc"):  # a pandas column: array[indices] would look up labels
        return array.iloc[indices]
    if isinstance(indices, np.ndarray) and type(array).__module__.startswith("h5py."):
        return _sorted_rows(array, indices)
    return array[indices]


def _sorted_rows(array: Any, indices: Indices) -> Any:
    """The samples at `indices` of an array-like that accepts only increasing indices."""
    once, places = np.unique(indices, return_inverse=True)
    return array[once][places]


def positions(indices: Any, length: int) -> Any:
    """Check that indices are in ``range(length)``; return a 1-D array, or an int for a single sample."""
    if isinstance(indices, slice):
        return np.arange(*indices.indices(length))
    if isinstance(indices, INTEGERS) and not isinstance(indices, bool):
        return int(index_array("the index", [indices], below=length)[0])
    return index_array("indices", indices, below=length)


def is_array_like(x: Any) -> bool:
    return hasattr(x, "__len__") and hasattr(x, "__getitem__")


def is_dataset(x: Any) -> bool:
    """Whether `x` is a PyTorch ``Dataset``, which returns one sample for one index.

    Some datasets accept an array of indices, too, but then apply their transforms to the wrong axes.
    """
    return any(kind.__module__.startswith("torch.utils.data") for kind in type(x).__mro__)


def by_position(x: Any) -> Any:
    """What gives a sample for its position: a column of pandas itself would look for a label."""
    return getattr(x, "iloc", x)


def is_table(x: Any) -> bool:
    """Whether it is indexed by column, as a pandas data frame or a pyarrow table."""
    of_pyarrow = type(x).__module__.startswith("pyarrow") and hasattr(x, "column_names")
    return of_pyarrow or (hasattr(x, "iloc") and hasattr(x, "columns"))


def _advice(array: Any) -> str:
    """How to get samples from what does not give them for an array of indices."""
    if is_table(array):
        return "it is indexed by column: pass arrays of its columns, ArrayDataSource({name: table[name].to_numpy(), …})"
    if isinstance(array, Mapping):
        return "it is indexed by key: pass its values by name, ArrayDataSource(dict(it)), or as a list"
    return "tocsr() makes one that is indexed by row" if hasattr(array, "tocsr") else ONE_BY_ONE


def _rows_with_note(array: Any, indices: Any) -> Any:
    try:
        return rows(array, indices)
    except (TypeError, ValueError) as error:
        if isinstance(error, TypeError) or "truth value of an array" in str(error):
            noted(error, f"{a_or_an(type(array))} is asked for an array of indices; {_advice(array)}")
        raise


def _should_be_as_many(some: Any, indices: Any, array: Any) -> None:
    """Raise an error if an array-like returned another number of samples than there are `indices`."""
    if not hasattr(indices, "__len__"):
        return
    counts = [_count(some)]
    if isinstance(some, tuple) and counts != [len(indices)]:  # a tuple of fields, each with all samples
        counts = [_count(leaf) for leaf in tree.leaves(some)]
    for n in counts:
        if n is not None and n != len(indices):
            raise ValueError(
                f"{a_or_an(type(array))} should give one sample for each index: {len(indices)} indices, {n} samples; "
                f"{_advice(array)}"
            )


def _count(some: Any) -> int | None:
    shape = getattr(some, "shape", None)
    return shape[0] if shape else len(some) if isinstance(some, (list, str, tuple)) else None
