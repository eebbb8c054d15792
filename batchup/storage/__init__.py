"""Array-likes over files, by path: each is opened on first use, read-only, and can be sent to worker processes.

They go wherever an array goes: ``ArrayDataSource([HDF5Array("data.h5", "images"), labels])``.
"""

from typing import TYPE_CHECKING

from ..engine.on_use import on_use

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

__getattr__, __dir__ = on_use(
    __name__,
    {
        "arrow": ["ArrowColumn"],
        "cache": ["CacheStats"],
        "concatenated": ["Concatenated"],
        "hdf5": ["HDF5Array"],
        "images": ["ImageFolder"],
        "sparse": ["SparseRows"],
        "base": ["StoredArray"],
        "windows": ["Windows"],
        "zarr": ["ZarrArray"],
    },
)
