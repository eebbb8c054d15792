"""What people hold in their hands: open data sets, tables and frames, as `ArrayDataSource` can read them.

The class of an object says which library it is from; none is imported that the user has not imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.process import pickling
from .base import StoredArray

__all__ = ["StoredArray", "adapted"]


def adapted(name: str, x: Any) -> Any:
    """`x` itself, or an array-like that reads it as fast as can be, with a length and samples by an array of indices.

    Parameters
    ----------
    name : str
        What to call it in an error.
    x : object

    Raises
    ------
    TypeError, ValueError
        If it is a group of arrays, or has no first axis, or another kind of the same library can be read, and this one
        cannot.
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


def _reduced(x: Any) -> Any:
    from .hdf5 import reduced

    return reduced(x)


_ADAPTERS: dict[str, Callable[[str, Any], Any]] = {"h5py": _h5py, "zarr": _zarr}
pickling.BY_REFERENCE["h5py"] = _reduced
