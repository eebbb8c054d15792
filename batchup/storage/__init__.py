"""Array-likes over files, by path: each is opened on first use, read-only, and can be sent to worker processes.

They go wherever an array goes: ``ArrayDataSource([HDF5Array("data.h5", "images"), labels])``.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .arrow import ArrowColumn
    from .base import StoredArray
    from .cache import CacheStats
    from .concatenated import Concatenated
    from .hdf5 import HDF5Array
    from .images import ImageFolder
    from .sparse import SparseRows
    from .windows import Windows
    from .zarr import ZarrArray

__all__ = [
    "ArrowColumn",
    "CacheStats",
    "Concatenated",
    "HDF5Array",
    "ImageFolder",
    "SparseRows",
    "StoredArray",
    "Windows",
    "ZarrArray",
]

_HOMES = {
    "ArrowColumn": "arrow",
    "CacheStats": "cache",
    "Concatenated": "concatenated",
    "HDF5Array": "hdf5",
    "ImageFolder": "images",
    "SparseRows": "sparse",
    "StoredArray": "base",
    "Windows": "windows",
    "ZarrArray": "zarr",
}


def __getattr__(name: str) -> Any:
    """A class, imported when it is asked for: ``import batchup`` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
