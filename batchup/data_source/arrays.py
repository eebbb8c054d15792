"""Sources that fetch samples by index: from arrays, or by a method of your own class."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from numbers import Number
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .. import sampling
from ..engine.checks import a_or_an, kind_of, no_keywords, whole
from ..engine.fixed import MAKE_A_NEW_ONE
from ..engine.shuffle import Shuffle
from ..engine.tree import Batch, Pick
from ..storage.held import StoredArray, adapted
from .base import AbstractDataSource
from .batches import BatchIterator
from .plan import IndexPlan, Plan, Traits
from .rows import gather, is_array_like, positions

__all__ = ["ArrayDataSource", "RandomAccessDataSource"]


class RandomAccessDataSource(AbstractDataSource):
    """The base class of sources that fetch samples by index. A subclass defines `samples_by_indices_nomapping`.

    Parameters
    ----------
    length : int
        The number of samples.
    indices : array of int, 1-D, optional
        Use only these samples.
    repeats : int, default 1
        How many times to iterate over them; -1 is for ever.
    sampler : AbstractSampler, optional
        Draws the indices, instead of `repeats`. Together with `indices`, it is over the samples of that subset: a
        weight, a label or a length for each of `indices`.
    include_indices : bool, default False
        Whether each batch begins with the array of its indices. The `samples_by_indices_nomapping` of the subclass has
        to put it there.

    Examples
    --------
    >>> class Squares(RandomAccessDataSource):
    ...     def samples_by_indices_nomapping(self, indices):
    ...         return (indices ** 2,)
    >>> [x.tolist() for (x,) in Squares(5).batch_iterator(3)]
    [[0, 1, 4], [9, 16]]
    """

    _fixed: ClassVar[Mapping[str, str]] = dict.fromkeys(["length", "sampler", "include_indices"], MAKE_A_NEW_ONE)

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
            if repeats != 1:
                raise ValueError(f"repeats should be 1 when there is a sampler, not {repeats!r}")
            if indices is not None and isinstance(sampler, sampling.AbstractSampler):
                sampler = sampling.MappedSampler(sampler, indices)
            elif indices is not None:
                raise ValueError("indices should be None when the sampler is not an AbstractSampler")
        elif indices is not None:
            sampler = sampling.SubsetSampler(indices, repeats)
        else:
            sampler = sampling.StandardSampler(self.length, repeats)
        if isinstance(sampler, sampling.AbstractSampler):  # any object with the same methods is fine
            sampler._should_fit(self.length)
        elif isinstance(sampler, type):
            raise TypeError(f"sampler should be an object, as WeightedSampler(weights) is, not the {sampler}")
        elif not hasattr(sampler, "num_indices_generated"):
            ranks = '; for several ranks, pass Loader(..., shard="auto")' if hasattr(sampler, "num_replicas") else ""
            raise TypeError(
                "sampler should have the methods of AbstractSampler, as WeightedSampler(weights) and "
                f"SubsetSampler(indices) do, not be {kind_of(sampler)}{ranks}"
            )
        self.sampler = sampler
        self.include_indices = include_indices
        self._fix()

    @property
    def is_random_access(self) -> bool:
        return True

    @property
    def traits(self) -> Traits:
        return Traits(takes_keywords=False)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.num_samples()} samples>"

    def num_samples(self, **kwargs: Any) -> int | float | None:
        return self.sampler.num_indices_generated()

    def plan(self, batch_size: int, **kwargs: Any) -> Plan:
        no_keywords("batch_iterator", kwargs, ["batch_size", "shuffle"])
        return IndexPlan(self.sampler, batch_size, type(self).__name__, self.length)

    def batch_indices_iterator(self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any) -> Iterator[Pick]:
        no_keywords("batch_indices_iterator", kwargs, ["batch_size", "shuffle"])
        return RandomAccessDataSource.plan(self, batch_size).picks(shuffle)

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
        The fields of the data, all of the same length: NumPy arrays, memory maps, lists, data sets of h5py and zarr,
        columns and tables of pyarrow, columns and frames of pandas and polars, variables of xarray, CSR matrices of
        SciPy, or your own objects with ``__len__`` and a ``__getitem__`` that takes an array of indices and returns
        samples (an array, a list, …). If `data` is a list, batches are tuples; if it is a dict, batches are dicts. For
        a field that is a list or a PyTorch ``Dataset``, a batch holds a list of samples; for a table, a table.
    indices : array of int, 1-D, optional
        Use only these samples.
    repeats : int, default 1
        How many times to iterate over them; -1 is for ever.
    sampler : AbstractSampler, optional
        Draws the indices, instead of `repeats`. Together with `indices`, it is over the samples of that subset: a
        weight, a label or a length for each of `indices`.
    include_indices : bool, default False
        Whether each batch begins with the array of its indices; in a dict its name is ``"indices"``.

    Raises
    ------
    TypeError
        If `data` is not a list or a dict, or holds something without a length or items.
    ValueError
        If `data` is empty, if the lengths differ, or if a sampler does not fit.
    IndexError
        If `indices` are out of range.

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

    _fixed: ClassVar[Mapping[str, str]] = {
        **RandomAccessDataSource._fixed,
        **dict.fromkeys(["data", "names"], MAKE_A_NEW_ONE),
    }

    def __init__(
        self,
        data: list[Any] | dict[str, Any],
        indices: npt.ArrayLike | None = None,
        repeats: int = 1,
        sampler: sampling.AbstractSampler | None = None,
        include_indices: bool = False,
    ) -> None:
        names = tuple(data) if isinstance(data, dict) else None
        if isinstance(data, dict):
            fields = {f"data[{name!r}]": array for name, array in data.items()}
        elif isinstance(data, list):
            fields = {f"data[{i}]": array for i, array in enumerate(data)}
        else:
            raise TypeError(
                "data should be a list of array-likes, or a dict of them by name, not a "
                f"{type(data).__name__}: ArrayDataSource([X])"
            )
        if include_indices and names is not None:
            if "indices" in names:
                raise ValueError("include_indices gives each batch a field 'indices', but data has one of that name")
            names = ("indices", *names)
        fields = {name: adapted(name, array) for name, array in fields.items()}
        _should_be_fields(list(fields.values()) if isinstance(data, list) else data)
        self.names, self.data = names, tuple(fields.values())
        super().__init__(_one_length(fields), indices, repeats, sampler, include_indices)

    def __repr__(self) -> str:
        names = self.names[-len(self.data) :] if self.names else [""] * len(self.data)
        fields = (f"{name} {_described(array)}".strip() for name, array in zip(names, self.data, strict=True))
        return f"{super().__repr__()[:-1]}: {', '.join(fields)}>"

    @property
    def traits(self) -> Traits:
        plain = all(isinstance(array, (np.ndarray, list, tuple, StoredArray)) for array in self.data)
        chunks = sum(getattr(array, "whole_chunks", 0) for array in self.data)
        drawing = not plain or type(self) is not ArrayDataSource
        return Traits(takes_keywords=False, may_use_global_rng=drawing, whole_chunks=chunks)

    def samples_by_indices_nomapping(self, indices: Pick) -> Batch:
        samples = gather(self.data, indices, self.length, self.include_indices)
        return tuple(samples) if self.names is None else dict(zip(self.names, samples, strict=True))


def _described(array: Any) -> str:
    dtype, shape = getattr(array, "dtype", ""), getattr(array, "shape", (len(array),))
    return " ".join([*filter(None, [type(array).__name__, str(dtype)]), str(tuple(shape))])


def _should_be_fields(data: list[Any] | dict[str, Any]) -> None:
    """Refuse a list of samples, if it is recognisably not a list of array-likes."""
    if isinstance(data, list) and data and (_is_sample(data[0]) or _are_samples(data[:2])):
        raise TypeError(
            "data should be a list of array-likes, one for each field, with a length and items by index, but data[0] "
            f"is {reprlib.repr(data[0])}; a list of samples goes into another list, ArrayDataSource([samples])"
            ".map(collate), and collate gets a list of them"
        )


def _is_sample(x: Any) -> bool:
    return isinstance(x, (str, bytes)) or type(x) is dict


def _are_samples(some: list[Any]) -> bool:
    """Whether the items are samples: they cannot be indexed, or are tuples such as (image, label)."""
    if not all(isinstance(x, tuple) for x in some):
        return len(some) > 1 and not any(map(is_array_like, some))
    one, *others = [[type(part) for part in x] for x in some]
    return others == [one] and len(set(one)) > 1 and not all(isinstance(part, Number) for part in some[0])


def _one_length(fields: dict[str, Any]) -> int:
    """The number of samples: the length that all fields share."""
    if not fields:
        raise ValueError("data should hold at least one array-like, but it is empty")
    for name, array in fields.items():
        if not is_array_like(array) or _is_sample(array):
            raise TypeError(f"{name} should have a length and items by index, but {a_or_an(type(array))} has not")
    lengths = {name: len(array) for name, array in fields.items()}
    (first, n), *others = lengths.items()
    for name, other in others:
        if other != n:
            raise ValueError(
                f"data should be of one length: {first} has {n}, {name} {other} (a list of samples is one array-like: "
                "[samples])"
            )
    return n
