"""Sources that fetch by index: from arrays, or as a class of yours says."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import sampling
from ..engine import arena
from ..engine.checks import no_keywords, whole
from ..engine.rng import Shuffle, as_rng
from ..engine.tree import Batch, Pick
from .base import AbstractDataSource
from .batches import BatchIterator
from .replay import signature_of
from .rows import is_array_like, positions, rows

__all__ = ["ArrayDataSource", "RandomAccessDataSource"]


class RandomAccessDataSource(AbstractDataSource):
    """A source that fetches samples by index. Abstract: a class made from it says how, in
    `samples_by_indices_nomapping`.

    Parameters
    ----------
    length : int
        How many samples there are.
    indices : array of int, 1-D, optional
        Use these samples only.
    repeats : int, default 1
        How many times to go through them; -1 is for ever.
    sampler : AbstractSampler, optional
        Draws the indices, in place of `indices` and `repeats`.
    include_indices : bool, default False
        Whether each batch begins with the array of its indices. It is up to `samples_by_indices_nomapping` to put it
        there.

    Examples
    --------
    >>> class Squares(RandomAccessDataSource):
    ...     def samples_by_indices_nomapping(self, indices):
    ...         return (indices ** 2,)
    >>> [x.tolist() for (x,) in Squares(5).batch_iterator(3)]
    [[0, 1, 4], [9, 16]]
    """

    def __init__(
        self,
        length: int,
        indices: npt.ArrayLike | None = None,
        repeats: int = 1,
        sampler: sampling.AbstractSampler | None = None,
        include_indices: bool = False,
    ) -> None:
        self.length = whole("length", length, least=0)
        if sampler is not None:
            if indices is not None:
                raise ValueError("indices should be None when there is a sampler: the sampler says which samples")
            if repeats != 1:
                raise ValueError(f"repeats should be 1 when there is a sampler, not {repeats!r}")
        elif indices is not None:
            sampler = sampling.SubsetSampler(indices, repeats)
        else:
            sampler = sampling.StandardSampler(self.length, repeats)
        if isinstance(sampler, sampling.AbstractSampler):  # any object with the same methods will do
            sampler._should_fit(self.length)
        self.sampler = sampler
        self.include_indices = include_indices

    @property
    def is_random_access(self) -> bool:
        return True

    @property
    def _takes_keywords(self) -> bool:
        return False

    def num_samples(self, **kwargs: Any) -> int | float | None:
        return self.sampler.num_indices_generated()

    def _signature(self) -> tuple[Any, ...]:
        return type(self).__name__, self.length, signature_of(self.sampler)

    def batch_indices_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Pick]:
        no_keywords("batch_indices_iterator", kwargs, ["batch_size", "shuffle"])
        rng = as_rng(shuffle)
        if rng is None:
            return self.sampler.in_order_indices_batch_iterator(batch_size)
        return self.sampler.shuffled_indices_batch_iterator(batch_size, rng)

    def batch_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Batch]:
        no_keywords("batch_iterator", kwargs, ["batch_size", "shuffle"])
        return BatchIterator.over(self, batch_size, shuffle, {})

    def samples_by_indices(self, indices: Pick) -> Batch:
        return self.samples_by_indices_nomapping(self.sampler.map_indices(positions(indices, self.length)))


class ArrayDataSource(RandomAccessDataSource):
    """Batches from arrays, or from anything that is indexed like one.

    Parameters
    ----------
    data : list or dict of array-like
        All of one length. NumPy arrays, memory maps, lists, pandas columns, h5py datasets, or objects of your own with
        ``__len__`` and a ``__getitem__`` that takes an array of indices and returns samples: an array, a list, …
        A list gives batches that are tuples, a dict gives dicts.
    indices : array of int, 1-D, optional
        Use these samples only.
    repeats : int, default 1
        How many times to go through them; -1 is for ever.
    sampler : AbstractSampler, optional
        Draws the indices, in place of `indices` and `repeats`.
    include_indices : bool, default False
        Begin each batch with the array of its indices; in a dict it is called ``"indices"``.

    Raises
    ------
    TypeError
        If `data` is not a list or a dict, or holds something without a length or items.
    ValueError
        If `data` is empty, if the lengths differ, or if a sampler does not fit.
    IndexError
        If `indices` are not those of samples.

    Examples
    --------
    >>> X, y = np.arange(10).reshape(5, 2), np.array([0, 1, 0, 1, 1])
    >>> ds = ArrayDataSource([X, y])
    >>> for batch_X, batch_y in ds.batch_iterator(3, shuffle=np.random.RandomState(12345)):
    ...     print(batch_X.tolist(), batch_y)
    [[0, 1], [8, 9], [6, 7]] [0 1 1]
    [[2, 3], [4, 5]] [1 0]
    >>> next(ArrayDataSource({"image": X, "label": y}).batch_iterator(2))["label"]
    array([0, 1])
    """

    def __init__(
        self,
        data: list[Any] | dict[str, Any],
        indices: npt.ArrayLike | None = None,
        repeats: int = 1,
        sampler: sampling.AbstractSampler | None = None,
        include_indices: bool = False,
    ) -> None:
        self.names = tuple(data) if isinstance(data, dict) else None
        if isinstance(data, dict):
            fields = {f"data[{name!r}]": array for name, array in data.items()}
        elif isinstance(data, list):
            fields = {f"data[{i}]": array for i, array in enumerate(data)}
        else:
            raise TypeError(
                "data should be a list of array-likes, or a dict of them by name, not a "
                f"{type(data).__name__}: ArrayDataSource([X])"
            )
        if include_indices and self.names is not None:
            if "indices" in self.names:
                raise ValueError("include_indices gives each batch a field 'indices', but data has one of that name")
            self.names = ("indices", *self.names)
        super().__init__(_one_length(fields), indices, repeats, sampler, include_indices)
        self.data = list(fields.values())

    @property
    def _may_draw(self) -> bool:
        return type(self) is not ArrayDataSource or not all(
            isinstance(array, (np.ndarray, list, tuple)) for array in self.data
        )

    def samples_by_indices_nomapping(self, indices: Pick) -> Batch:
        # The same as for any other array-like and index, for the common case: each call costs, when the last batch has
        # driven all else from the processor's cache.
        if type(indices) is np.ndarray and indices.dtype == np.intp and indices.ndim == 1 and indices.size:
            unsigned = indices.view(np.uintp)  # a negative index becomes a huge one: one pass checks both ends
            if unsigned.item(unsigned.argmax()) >= self.length:
                positions(indices, self.length)  # says which
        else:
            indices = positions(indices, self.length)
        # a copy: the batch may be written to, and the pick fetched again
        samples = [copy(indices)] if self.include_indices else []
        for array in self.data:
            if type(array) is np.ndarray and array.flags.carray and arena.current is None:
                samples.append(array.take(indices, 0))
            else:
                some = rows(array, indices)
                if type(some) is not np.ndarray or some.shape[:1] != getattr(indices, "shape", None):
                    _should_be_as_many(some, indices, array)
                samples.append(some)
        return tuple(samples) if self.names is None else dict(zip(self.names, samples, strict=True))


def _one_length(fields: dict[str, Any]) -> int:
    """How many samples there are: the length that all fields have."""
    if not fields:
        raise ValueError("data should hold at least one array-like, but it is empty")
    for name, array in fields.items():
        if not is_array_like(array):
            raise TypeError(f"{name} should have a length and items, but a {type(array).__name__} has not")
    lengths = {name: len(array) for name, array in fields.items()}
    (first, n), *others = lengths.items()
    for name, other in others:
        if other != n:
            raise ValueError(f"data should be of one length: {first} has {n}, {name} {other}")
    return n


def _should_be_as_many(some: Any, indices: Any, array: Any) -> None:
    """Refuse what an array-like gives for `indices`, if it has a length, and another one."""
    shape = getattr(some, "shape", None)
    n = shape[0] if shape else len(some) if isinstance(some, (list, str)) else None
    if n is not None and hasattr(indices, "__len__") and n != len(indices):
        raise ValueError(
            f"a {type(array).__name__} should give one sample for each index: {len(indices)} indices, {n} samples"
        )
