"""The ids of items: their order, subsets, splits and batches."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ...engine.checks import INTEGERS, Indices, all_in_range
from ..pipeline.plan import NextBatch
from .baseset import Baseset, IndexLike
from .ids import has_repeats, id_array, id_key, id_keys, id_list, joined_ids

__all__ = ["DatasetIndex"]


class DatasetIndex(Baseset):
    """The ids of the items of a dataset, or of a batch.

    Parameters
    ----------
    index : int, array-like, callable or DatasetIndex
        An int n gives the ids 0 to n - 1; a single string is one id; a callable is called and returns one of these.

    Raises
    ------
    ValueError
        If there is no id.
    TypeError
        If the ids are not one-dimensional.

    Examples
    --------
    >>> index = DatasetIndex(["a", "b", "c"])
    >>> index.get_pos("b"), index.create_subset(["c", "a"]).indices.tolist()
    (1, ['c', 'a'])
    >>> [batch.indices.tolist() for batch in DatasetIndex(5).gen_batch(2, n_epochs=1)]
    [[0, 1], [2, 3], [4]]
    """

    _positions: dict[Any, int] | None = None
    _are_positions = False  # whether each id is its own position

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._next = NextBatch()
        built = self.build_index(*args, **kwargs)
        self._indices = _ids(built)
        if isinstance(built, INTEGERS):
            self._are_positions = self._indices.dtype == np.intp
            self._indices.flags.writeable = False  # a copy is writable: its ids may be changed
        elif has_repeats(self._indices):
            warnings.warn("the index has an id more than once: get_pos() gives its first position", stacklevel=3)

    def build_index(self, index: Any) -> Any:
        """Make the ids from the arguments of the constructor. Override it for your own kind of index.

        Parameters
        ----------
        index : int, array-like, callable or DatasetIndex

        Returns
        -------
        array-like, 1-D
        """
        return index

    @property
    def indices(self) -> npt.NDArray[Any]:
        return self._indices

    index = indices

    def __iter__(self) -> Iterator[Any]:
        return iter(self._indices)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({np.array2string(self._indices, threshold=8, edgeitems=3)})"

    def get_pos(self, index: Any) -> Any:
        """The position of an id, or of each of several ids.

        Parameters
        ----------
        index : an id, a sequence of ids, or a slice from id to id

        Returns
        -------
        int, ndarray of int, or slice

        Raises
        ------
        KeyError
            If there is no such id.
        """
        if isinstance(index, slice):
            start, stop = (None if end is None else self._position(end) for end in (index.start, index.stop))
            return slice(start, stop, index.step)
        if isinstance(index, (list, tuple, np.ndarray, DatasetIndex)) and np.ndim(_ids_of(index)) == 1:
            return np.array([self._position(each) for each in _ids_of(index)], dtype=np.intp)
        return self._position(index)

    def _position(self, key: object) -> int:
        if self._positions is None:
            keys = id_keys(self._indices)
            self._positions = {
                each: position for position, each in zip(range(len(keys) - 1, -1, -1), reversed(keys), strict=True)
            }
        try:
            return self._positions[id_key(key, self._indices.dtype)]
        except (KeyError, TypeError):
            key = key.item() if isinstance(key, np.generic) and not isinstance(key, np.datetime64) else key
            raise KeyError(f"there is no item {key!r} here; there are {_first_ids(self._indices)}") from None

    def create_subset(self, index: IndexLike) -> Self:
        """An index of the same class with some of the ids.

        Parameters
        ----------
        index : array-like of ids, or DatasetIndex

        Raises
        ------
        IndexError
            If one of them is not in this index.
        """
        try:
            return self._subset(self._indices[self.get_pos(_ids(index))])
        except KeyError as error:
            raise IndexError(error.args[0]) from None

    def _subset(self, ids: npt.NDArray[Any]) -> Self:
        subset = copy.copy(self)
        for name in ("train", "test", "validation"):
            subset.__dict__.pop(name, None)
        subset._positions, subset._next, subset._indices, subset._are_positions = None, NextBatch(), ids, False
        return subset

    def create_batch(self, index: IndexLike, pos: bool = True) -> Self:  # type: ignore[override]
        """An index of the ids at some positions, or, with ``pos=False``, of some ids."""
        if not pos:
            return self.create_subset(index)
        positions: Any = index
        if self._are_positions and not self._indices.flags.writeable and _all_below(len(self), positions):
            return self._subset(positions.copy())
        ids = np.atleast_1d(self._indices[positions])
        return self._subset(ids if ids.base is None else ids.copy())

    def __add__(self, other: DatasetIndex) -> Self:
        if not isinstance(other, DatasetIndex):
            return NotImplemented
        joined = self._subset(joined_ids([self._indices, other.indices]))
        if has_repeats(joined.indices):
            warnings.warn("the two indices have an id in common", stacklevel=2)
        return joined

    def _part(self, positions: Indices) -> Self:
        return self.create_batch(positions)


def _all_below(n: int, index: npt.NDArray[Any]) -> bool:
    """Whether `index` is an array of positions from 0 to n - 1."""
    is_array = type(index) is np.ndarray and index.dtype == np.intp and index.ndim == 1 and len(index) > 0
    return is_array and all_in_range(index, n)


def _ids_of(index: Any) -> Any:
    return index.indices if isinstance(index, DatasetIndex) else index


def _ids(index: Any) -> npt.NDArray[Any]:
    return id_array(_ids_of(index() if callable(index) else index))


def _first_ids(ids: npt.NDArray[Any], most: int = 8) -> str:
    return ", ".join(map(repr, id_list(ids[:most]))) + (", …" if len(ids) > most else "")
