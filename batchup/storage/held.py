"""Adapt open data sets, tables and frames of other libraries, so that `ArrayDataSource` can read them.

The class of an object shows which library it is from. No library is imported that the user has not imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.process import pickling
from .base import StoredArray

__all__ = ["StoredArray", "adapted"]


def adapted(name: str, x: Any) -> Any:
    """`x` itself, or an array-like that reads it fast, with a length and samples by an array of indices.

    Parameters
    ----------
    name : str
        What to call it in an error.
    x : object

    Raises
    ------
    TypeError, ValueError
        If it is a group of arrays, has no first axis, or is of a kind that cannot be read, such as a CSC matrix.
    """
    if type(x) is np.ndarray or type(x) is list:
        return x
    for kind in type(x).__mro__:
        adapt = _ADAPTERS.get(kind.__module__.partition(".")[0])
        if adapt is not None:
            return adapt(name, x)
    return x


def _h5py(name: str, x: Any) -> Any:
    import h5py

    from .hdf5 import HDF5Array

    if isinstance(x, h5py.Group):
        raise TypeError(f"{name} should be one data set, but it is an HDF5 group; {_inner(x)}")
    return HDF5Array.of(x) if isinstance(x, h5py.Dataset) else x


def _inner(group: Any) -> str:
    names = list(group)[:20]
    return f"it holds {', '.join(map(repr, names))}: group[{names[0]!r}]" if names else "it is empty"


def _zarr(name: str, x: Any) -> Any:
    if hasattr(x, "dtype") and hasattr(x, "shape") and hasattr(x, "store"):
        from .zarr import ZarrArray

        return ZarrArray.of(x)
    if hasattr(x, "array_keys"):
        raise TypeError(f"{name} should be one array, but it is a zarr group; {_inner(x)}")
    return x


def _pyarrow(name: str, x: Any) -> Any:
    from .columns import TableRows, column_values

    if hasattr(x, "num_rows"):  # a table or a record batch
        return TableRows(x)
    return column_values(x, name) if hasattr(x, "null_count") else x


def _scipy(name: str, x: Any) -> Any:
    if not hasattr(x, "tocsr"):
        return x
    from .sparse import CSRRows

    if x.format != "csr":
        raise TypeError(
            f"{name} should be a CSR matrix, of which rows can be taken, but it is in the format {x.format}: "
            f"{name}.tocsr() makes one"
        )
    if x.ndim != 2:
        raise ValueError(f"{name} should have two axes, not the shape {x.shape}")
    return CSRRows(x)


def _xarray(name: str, x: Any) -> Any:
    if hasattr(x, "data_vars"):
        raise TypeError(f"{name} should be one variable, but it is a Dataset of xarray's; {_inner(x)}")
    if not hasattr(x, "variable"):
        return x
    if not x.ndim:
        raise ValueError(f"{name} should have a first axis, along which the samples are, but it is a single value")
    return x.values if isinstance(x.variable._data, np.ndarray) else LazyVariable(x)


class LazyVariable:
    """A variable of xarray whose values are read when they are needed."""

    chunks = None

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape, self.dtype = tuple(array.shape), array.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, index: Any) -> Any:
        return np.asarray(self.array[index])


def _polars(name: str, x: Any) -> Any:
    if hasattr(x, "collect"):
        raise TypeError(f"{name} should be a frame in memory, not a LazyFrame: {name}.collect() makes one")
    return x


def _reduced(x: Any) -> Any:
    from .hdf5 import reduced

    return reduced(x)


_ADAPTERS: dict[str, Callable[[str, Any], Any]] = {
    "h5py": _h5py,
    "polars": _polars,
    "pyarrow": _pyarrow,
    "scipy": _scipy,
    "xarray": _xarray,
    "zarr": _zarr,
}
pickling.BY_REFERENCE["h5py"] = _reduced
