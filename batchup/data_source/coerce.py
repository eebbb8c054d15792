"""Make data sources from other objects: a list of arrays, a dict, an iterator, a function."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..engine.checks import kind_of
from .arrays import ArrayDataSource
from .base import AbstractDataSource
from .iterators import CallableDataSource, IteratorDataSource
from .rows import is_array_like, is_dataset

__all__ = ["as_data_source", "coerce_data_source"]


def coerce_data_source(x: Any) -> AbstractDataSource:
    """Make a data source from `x`. A data source is returned as it is.

    Parameters
    ----------
    x : data source, list, tuple or dict of array-likes, iterator, or function
        A list, tuple or dict becomes an `ArrayDataSource`, an iterator an
        `IteratorDataSource`, and a function a `CallableDataSource`.

    Returns
    -------
    AbstractDataSource

    Raises
    ------
    TypeError
        For anything else.

    Examples
    --------
    >>> import numpy as np
    >>> coerce_data_source([np.arange(3)]).num_samples()
    3
    """
    return as_data_source(x, "x")


def as_data_source(x: Any, name: str) -> AbstractDataSource:
    """Make a data source from the argument called `name`, which an error mentions."""
    if isinstance(x, AbstractDataSource):
        return x
    if isinstance(x, dict):
        return ArrayDataSource(x)
    if isinstance(x, (list, tuple)):
        return ArrayDataSource(list(x))
    if isinstance(x, Iterator):
        return IteratorDataSource(x)
    if callable(x):
        return CallableDataSource(x)
    raise TypeError(
        f"{name} should be a data source, a list of array-likes, an iterator or a function, not {kind_of(x)}: "
        f"{' '.join(reprlib.repr(x).split())}{_hint(x)}"
    )


def _hint(x: Any) -> str:
    """The end of an error message about something that is not a data source: what to do instead."""
    if is_array_like(x) and is_dataset(x):
        return "; ArrayDataSource([dataset]).map(collate) gives collate a list of its samples"
    if isinstance(x, Mapping):  # an HDF5 file or group, an npz file
        return '; give its arrays by name: {"x": x["x"], "y": x["y"]}'
    if is_array_like(x) and not isinstance(x, str):
        return "; put it into a list: [X] or [X, y]"
    if isinstance(x, Iterable) and not isinstance(x, (str, set)):
        return "; if it yields batches, use IteratorDataSource(x); if samples, use batchup.batch_iter.Infinite(x, …)"
    return ""
