"""Samples from array-likes of all kinds, by index."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ..engine.arena import empty, in_worker
from ..engine.checks import INTEGERS, Indices, index_array

__all__ = ["ArrayLike", "is_array_like", "is_dataset", "positions", "rows"]


class ArrayLike(Protocol):
    """What `ArrayDataSource` asks of its data: a length, and samples for an array of indices."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Any, /) -> Any: ...


def rows(array: Any, indices: Any) -> Any:
    """The samples of one array-like at `indices`, which lie within its length."""
    if type(array) is np.memmap:
        array = array.view(np.ndarray)
    if type(array) is np.ndarray and type(indices) is np.ndarray:
        flags = array.flags
        if flags.c_contiguous and flags.aligned:  # take would copy any other array whole, at every call
            out = empty((len(indices), *array.shape[1:]), array.dtype) if in_worker() else None
            return array.take(indices, 0) if out is None else array.take(indices, 0, out, "clip")
        return array[indices]
    if isinstance(indices, np.ndarray) and (isinstance(array, (list, tuple, range)) or is_dataset(array)):
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


def positions(indices: Any, length: int) -> Any:
    """Indices that all lie in ``range(length)``: a 1-D array, or one int for a single sample."""
    if isinstance(indices, slice):
        return np.arange(*indices.indices(length))
    if isinstance(indices, INTEGERS) and not isinstance(indices, bool):
        return int(index_array("the index", [indices], below=length)[0])
    return index_array("indices", indices, below=length)


def is_array_like(x: Any) -> bool:
    return hasattr(x, "__len__") and hasattr(x, "__getitem__")


def is_dataset(x: Any) -> bool:
    """Whether it is a ``Dataset`` of PyTorch's, which gives one sample for one index.

    For an array of indices, one over arrays would give an answer as well, with transforms applied to wrong axes.
    """
    return any(kind.__module__.startswith("torch.utils.data") for kind in type(x).__mro__)
