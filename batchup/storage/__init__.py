"""Array-likes over files, by path: each is opened on first use, read-only, and can be sent to worker processes.

They go wherever an array goes: ``ArrayDataSource([HDF5Array("data.h5", "images"), labels])``.
"""

from .base import StoredArray
from .cache import CacheStats
from .hdf5 import HDF5Array
from .zarr import ZarrArray

__all__ = ["CacheStats", "HDF5Array", "StoredArray", "ZarrArray"]
