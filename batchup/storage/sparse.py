"""Rows of sparse matrices, in memory and in files."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..engine import arena
from ..engine.checks import Indices
from ..engine.optional import library
from .base import StoredArray, row_indices
from .hdf5 import HDF5Array
from .zarr import ZarrArray

__all__ = ["CSRRows", "SparseRows"]


class CSRRows:
    """The rows of a CSR matrix of SciPy, as an array-like: a batch is a CSR matrix."""

    chunks = None

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.matrix.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.matrix.dtype
        return dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (slice, list, np.ndarray)):
            return self.matrix[row_indices(index, len(self))]
        return self.matrix[row_indices([index], len(self))]


class SparseRows(StoredArray):
    """The rows of a sparse matrix (CSR) that is stored as in AnnData: in a group of an HDF5 file or of zarr.

    A batch is a `scipy.sparse.csr_matrix` or, with `dense`, an array. The file is opened read-only on first use, and
    again in each worker process. ``indptr``, the beginnings of the rows, is read into memory.

    Parameters
    ----------
    path : str or path-like
        An HDF5 file (``.h5ad``), or a folder of zarr.
    group : str, default "X"
        The group with ``data``, ``indices`` and ``indptr``.
    dense : bool, default False
        Whether batches are ordinary arrays, instead of sparse matrices.
    cache : int, optional
        How many bytes of decompressed chunks to keep: as much for the values, and as much for the column numbers. By
        default all arrays of a process share 64 MB.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    KeyError
        On first use, if there is no such group.
    TypeError
        On first use, if the group holds no sparse matrix, or one that is stored by column (CSC).
    OSError
        On use, if the file has changed since this object was made.
    """

    def __init__(
        self, path: str | os.PathLike[str], group: str = "X", dense: bool = False, cache: int | None = None
    ) -> None:
        self.group, self.dense = group, dense
        super().__init__(path, cache)
        self._is_zarr = os.path.isdir(self.path)

    def _stamped(self) -> str:
        metadata = os.path.join(self.path, self.group, "zarr.json")
        return metadata if os.path.exists(metadata) else self.path

    def _open(self) -> _Reader:
        if not self.dense:
            library("scipy.sparse", "batchup[sparse]", "SparseRows")
        parts, shape = self._zarr_parts() if self._is_zarr else self._hdf5_parts()
        if self._sent_with is not None:
            ring, serial = self._sent_with
            for i, part in enumerate(parts.values(), 1):
                part._sent_with = ring, serial + i
        return _Reader(parts, shape, self.dense)

    def _hdf5_parts(self) -> tuple[dict[str, Any], Any]:
        h5py = library("h5py", "batchup[hdf5]", "SparseRows")
        try:
            file = h5py.File(self.path, "r")
        except OSError as error:
            raise OSError(f"{self.path} cannot be read as an HDF5 file: {error}") from error
        with file:
            shape = self._checked(file)
        parts: dict[str, Any] = {
            name: HDF5Array(self.path, f"{self.group}/{name}", self.cache) for name in ("data", "indices", "indptr")
        }
        return parts, shape

    def _zarr_parts(self) -> tuple[dict[str, Any], Any]:
        zarr = library("zarr", "batchup[zarr]", "SparseRows")
        shape = self._checked(zarr.open_group(self.path, mode="r"))
        parts: dict[str, Any] = {
            name: ZarrArray(self.path, f"{self.group}/{name}", self.cache) for name in ("data", "indices", "indptr")
        }
        return parts, shape

    def _checked(self, root: Any) -> tuple[int, int]:
        """The shape of the matrix. Raises an error if it cannot be read by row."""
        where = f"{self.group!r} of {self.path}"
        if self.group not in root:
            raise KeyError(f"{self.path} has no group {self.group!r}; it has {', '.join(sorted(root)[:20])}")
        group = root[self.group]
        if hasattr(group, "dtype"):
            kind = "ZarrArray" if self._is_zarr else "HDF5Array"
            raise TypeError(f"{where} is no sparse matrix, but an array; {kind}(path, {self.group!r}) reads it")
        attributes = dict(group.attrs)
        encoding = attributes.get("encoding-type", attributes.get("h5sparse_format", "csr"))
        if not {"data", "indices", "indptr"} <= set(group):
            raise TypeError(
                f"{where} should hold data, indices and indptr, as a sparse matrix, but it has {set(group)}"
            )
        if not str(encoding).startswith("csr"):
            raise TypeError(
                f"{where} should be stored by row (CSR), but it is a {encoding}; convert it once, by adata.X = "
                "adata.X.tocsr()"
            )
        shape = attributes.get("shape", attributes.get("h5sparse_shape"))
        if shape is None:
            raise TypeError(f"{where} should say the shape of the matrix in its attribute 'shape', but it does not")
        rows, columns = (int(n) for n in shape)
        return rows, columns

    def __getitem__(self, index: Any) -> Any:
        reader = self._reader()
        if isinstance(index, (slice, list, np.ndarray)):
            return reader.read(row_indices(index, reader.shape[0]))
        row = reader.read(row_indices([index], reader.shape[0]))
        return row[0] if self.dense else row

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r}, {self.group!r})"


class _Reader:
    """An open matrix."""

    def __init__(self, parts: dict[str, Any], shape: tuple[int, int], dense: bool) -> None:
        self._dense = dense
        self.shape: tuple[int, ...] = shape
        self._data, self._columns = parts["data"], parts["indices"]
        with parts["indptr"] as indptr:
            self._starts = indptr[:].astype(np.intp)
        self.dtype = self._data.dtype
        density = max(int(self._starts[-1]) // max(shape[0], 1), 1)
        chunks = self._data.chunks
        self.chunks: tuple[int, ...] | None = (
            None if chunks is None else (max(chunks[0] // density, 1), shape[1])
        )  # on average

    @property
    def whole_chunks(self) -> int:
        return sum(array.whole_chunks for array in (self._data, self._columns))

    @property
    def cache(self) -> Any:
        return self._data._reader().cache

    def read(self, indices: Indices) -> Any:
        begins = self._starts[indices]
        counts = self._starts[indices + 1] - begins
        starts = np.concatenate([[0], np.cumsum(counts)])
        # the places of all values: for each row those from where it begins
        places = np.arange(starts[-1]) + np.repeat(begins - starts[:-1], counts)
        values, columns, shape = self._data[places], self._columns[places], (len(indices), self.shape[1])
        if self._dense:
            out = arena.empty(shape, self.dtype)
            out[...] = 0
            out[np.repeat(np.arange(len(indices)), counts), columns] = values
            return out
        from scipy.sparse import csr_matrix

        return csr_matrix((values, columns, starts), shape=shape)

    def close(self) -> None:
        self._data.close()
        self._columns.close()
