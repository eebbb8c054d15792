"""Ids of items, without their data: which there are, which belong together, which come next."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ..engine.checks import INTEGERS, Indices, all_in_range
from ..engine.shuffle import Shuffle, as_rng
from .plan import Next, Plan

__all__ = ["DatasetIndex", "order_of", "sizes_of"]


class DatasetIndex:
    """The ids of the items of a dataset, or of a batch.

    Parameters
    ----------
    index : int, array-like, callable or DatasetIndex
        A number n stands for the ids 0 to n - 1; a single string for one id; a callable is called for any of these.

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

    train: Any = None
    test: Any = None
    validation: Any = None
    _places: dict[Any, int] | None = None
    _are_places = False  # whether each id is its place

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._next = Next()
        built = self.build_index(*args, **kwargs)
        self._indices = _ids(built)
        if isinstance(built, INTEGERS):
            self._are_places = self._indices.dtype == np.intp
            self._indices.flags.writeable = False  # those of a copy may be changed: they may be no places then
        elif len(np.unique(self._indices)) < len(self._indices):
            warnings.warn("the index has an id more than once: an item is found by its first place", stacklevel=3)

    def build_index(self, index: Any) -> Any:
        """The ids, from what the constructor was given. Override it for an index of your own.

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
        """The ids, in order."""
        return self._indices

    @property
    def index(self) -> npt.NDArray[Any]:
        """The ids, in order; another name of `indices`."""
        return self._indices

    @property
    def size(self) -> int:
        """How many ids there are."""
        return len(self._indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._indices)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({np.array2string(self._indices, threshold=8, edgeitems=3)})"

    def get_pos(self, index: Any) -> Any:
        """Where an id, or each of several, is among the ids.

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
            start, stop = (None if end is None else self._place(end) for end in (index.start, index.stop))
            return slice(start, stop, index.step)
        if isinstance(index, (list, tuple, np.ndarray, DatasetIndex)) and np.ndim(_plain(index)) == 1:
            return np.array([self._place(each) for each in _plain(index)], dtype=np.intp)
        return self._place(index)

    def _place(self, key: Any) -> int:
        if self._places is None:
            ids = self._indices.tolist()
            self._places = {each: place for place, each in zip(range(len(ids) - 1, -1, -1), reversed(ids), strict=True)}
        key = key.item() if isinstance(key, np.generic) else key
        try:
            return self._places[key]
        except (KeyError, TypeError):
            raise KeyError(f"there is no item {key!r} here; there are {_some(self._indices)}") from None

    def create_subset(self, index: Any) -> Self:
        """An index of the same kind over some of the ids.

        Parameters
        ----------
        index : array-like of ids, or DatasetIndex

        Raises
        ------
        KeyError
            If one of them is not here.
        """
        ids = _ids(index)
        for each in ids.tolist():
            self._place(each)
        return self._subset(ids)

    def _subset(self, ids: npt.NDArray[Any]) -> Self:
        subset = copy.copy(self)
        for name in ("train", "test", "validation"):
            subset.__dict__.pop(name, None)
        subset._places, subset._next, subset._indices, subset._are_places = None, Next(), ids, False
        return subset

    def create_batch(self, index: Any, pos: bool = True) -> Self:
        """An index over the ids at some places, or, with ``pos=False``, over these ids."""
        if not pos:
            return self.create_subset(index)
        if self._are_places and not self._indices.flags.writeable and _all_below(len(self), index):
            return self._subset(index.copy())
        ids = np.atleast_1d(self._indices[index])
        return self._subset(ids if ids.base is None else ids.copy())

    def __add__(self, other: Any) -> Self:
        if not isinstance(other, DatasetIndex):
            return NotImplemented
        joined = self._subset(np.concatenate([self._indices, other.indices]))
        if len(np.unique(joined.indices)) < joined.size:
            warnings.warn("the two indices have an id in common", stacklevel=2)
        return joined

    def shuffle(self, shuffle: Shuffle = True) -> Indices:
        """Places of all ids, in a drawn order; in their own if `shuffle` is False."""
        return order_of(len(self), shuffle)

    @property
    def is_split(self) -> bool:
        """Whether `split` was called."""
        return self.train is not None

    def split(self, shares: Any = 0.8, shuffle: Shuffle = False) -> None:
        """Divide the ids into `train`, `test` and `validation`, as these attributes.

        Parameters
        ----------
        shares : float, or two or three of them
            For train; for train and test, where validation has the rest; for train, test and validation.
        shuffle : bool, seed or generator, default False

        Examples
        --------
        >>> index = DatasetIndex(10)
        >>> index.split([0.5, 0.3])
        >>> index.validation.indices, index.test.indices, index.train.indices
        (array([0, 1]), array([2, 3, 4]), array([5, 6, 7, 8, 9]))
        """
        order = self.shuffle(shuffle)
        _, n_test, n_validation = sizes_of(shares, len(self))
        last = n_validation + n_test
        parts = {"validation": order[:n_validation], "test": order[n_validation:last], "train": order[last:]}
        for name, pos in parts.items():
            setattr(self, name, self.create_batch(pos) if len(pos) else None)

    def gen_batch(self, batch_size: int, shuffle: Shuffle = False, **options: Any) -> Iterator[Self]:
        """Indices of batches.

        Parameters
        ----------
        batch_size, shuffle, n_iters, n_epochs, drop_last, sampler
            See `Plan`. Without `n_iters` and `n_epochs` there is no end.

        Yields
        ------
        DatasetIndex
            Of the same kind.
        """
        return (self.create_batch(positions) for positions in Plan(len(self), batch_size, shuffle, **options))

    def next_batch(self, batch_size: int, shuffle: Shuffle = False, **options: Any) -> Self:
        """The index of the next batch; called with other options than before, it begins anew.

        Raises
        ------
        StopIteration
            After `n_iters` batches or `n_epochs` epochs.
        """
        plan = Plan(len(self), batch_size, shuffle, **options)
        return self._next(plan, {}, {}, lambda stock, _: map(self.create_batch, stock))  # type: ignore[no-any-return]

    def reset(self, what: str = "iter") -> None:
        """`next_batch` begins anew."""
        self._next.reset()


def _all_below(n: int, index: Any) -> bool:
    """Whether `index` is an array of places from 0 to n."""
    places = type(index) is np.ndarray and index.dtype == np.intp and index.ndim == 1 and len(index) > 0
    return places and all_in_range(index, n)


def _plain(index: Any) -> Any:
    return index.indices if isinstance(index, DatasetIndex) else index


def _ids(index: Any) -> npt.NDArray[Any]:
    index = _plain(index() if callable(index) else index)
    if isinstance(index, INTEGERS) and not isinstance(index, bool):
        index = np.arange(index)
    if isinstance(index, (bool, float, set, frozenset, dict, Iterator)):
        raise TypeError(f"an index should be a number of items, or a list or array of their ids, not {index!r}")
    ids = np.atleast_1d(np.asarray(index if hasattr(index, "__len__") else [index]))
    if ids.ndim != 1:
        raise TypeError(f"an index should be one-dimensional, not of shape {ids.shape}")
    if len(ids) == 0:
        raise ValueError("an index should have at least one id, but there is none")
    return ids


def _some(ids: npt.NDArray[Any], most: int = 8) -> str:
    return ", ".join(map(repr, ids[:most].tolist())) + (", …" if len(ids) > most else "")


def order_of(n: int, shuffle: Any) -> Indices:
    """All places from 0 to n, drawn or in order."""
    rng = as_rng(shuffle)
    return np.arange(n) if rng is None else rng.permutation(n)


def sizes_of(shares: Any, n: int) -> tuple[int, int, int]:
    """How many of n items are for training, for testing and for validation.

    >>> sizes_of(0.8, 10), sizes_of((0.5, 0.3), 10), sizes_of((0.6, 0.2, 0.2), 10)
    ((8, 2, 0), (5, 3, 2), (6, 2, 2))
    """
    given = np.atleast_1d(np.asarray(shares, dtype=float))
    if given.ndim != 1 or not 1 <= len(given) <= 3 or (given < 0).any() or given.sum() > 1 + 1e-9:
        raise ValueError(
            f"shares should be one, two or three numbers of 0 or more that sum to at most 1, not {shares!r}"
        )
    if len(given) == 3 and given.sum() < 1 - 1e-9:
        raise ValueError(f"three shares should sum to 1, not {given.sum()}: {shares!r}")
    test = 1 - given[0] if len(given) == 1 else given[1]
    validation = 0.0 if len(given) == 1 else 1 - given[0] - given[1]
    n_test, n_validation = round(test * n), round(validation * n)
    return n - n_test - n_validation, n_test, n_validation
