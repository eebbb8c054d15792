"""Columns of parquet, feather and Arrow files, as arrays."""

from __future__ import annotations

import glob
import os
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.optional import library
from .base import StoredArray
from .cache import CacheStats, Share
from .columns import bits_of, column_values, null_count, sample_of, value_address
from .concatenated import Concatenated
from .reading import AdjacentRows, Blocks, Part, RowBlocks, ScatteredRows, file_bytes

__all__ = ["ArrowColumn"]

SUFFIXES = (".parquet", ".feather", ".arrow", ".ipc")


class ArrowColumn(StoredArray):
    """One column of a parquet or Arrow file (feather), or of several files with the same columns, as an array.

    Files are opened read-only on first use, and again in each worker process. Numbers in an uncompressed Arrow file are
    read through a memory map. In all other files, each row group or record batch that a batch needs is read once, and
    the most recent ones stay in a cache.

    Numbers and dates become arrays. Lists of a fixed size and tensors become arrays with more axes. Strings are
    objects. A null is NaN, NaT or None.

    Parameters
    ----------
    path : str or path-like
        A file, a pattern such as ``"part-*.parquet"``, or a folder. Several files are sorted by name.
    name : str
        The name of the column.
    cache : int, optional
        How many bytes of decompressed rows to keep. By default all arrays of a process share 64 MB.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    KeyError
        On first use, if there is no such column.
    TypeError
        On first use, if the column cannot be an array, for example a column of structs, or of lists of different
        lengths.
    ValueError
        If there are nulls among integers or booleans: an array has no value for them.
    OSError
        On use, if a file is neither parquet nor Arrow, or has changed since this object was made.
    """

    def __init__(self, path: str | os.PathLike[str], name: str, cache: int | None = None) -> None:
        self.name = name
        self._files = [_File(file, name, cache) for file in _found(os.fspath(path))]
        super().__init__(self._files[0].path, cache)
        if len(self._files) > 1:
            self.path, self._stamp = os.path.abspath(os.fspath(path)), None  # each file has its own

    def _open(self) -> Any:
        if len(self._files) > 1:
            return _Joined(self._files)
        self._files[0]._sent_with = self._sent_with
        return self._files[0]._open()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r}, {self.name!r})"


def _found(path: str) -> list[str]:
    if os.path.isdir(path):
        found = sorted(os.path.join(path, name) for name in os.listdir(path) if name.endswith(SUFFIXES))
    elif os.path.exists(path):
        found = [path]
    else:
        found = sorted(glob.glob(path))
    if not found:
        raise FileNotFoundError(f"there is no parquet or Arrow file at {path}")
    return found


class _Joined:
    """Several files, read as one."""

    def __init__(self, files: list[_File]) -> None:
        self._files = files
        joined = Concatenated(files)
        self.shape, self.dtype, self.chunks, self.read = joined.shape, joined.dtype, joined.chunks, joined.__getitem__
        self.close = joined.close

    @property
    def whole_chunks(self) -> int:
        return sum(file.whole_chunks for file in self._files)

    @property
    def cache(self) -> _Joined:
        return self

    def stats(self) -> CacheStats:
        each = [file.cache_stats() for file in self._files]
        return CacheStats(sum(s.hits for s in each), sum(s.misses for s in each), each[0].nbytes, each[0].limit)


class _File(StoredArray):
    def __init__(self, path: str, name: str, cache: int | None) -> None:
        super().__init__(path, cache)
        self.name = name

    def _open(self) -> Any:
        pyarrow = library("pyarrow", "batchup[arrow]", "ArrowColumn")
        with open(self.path, "rb") as file:
            magic = file.read(6)
        try:
            if magic[:4] == b"PAR1":
                return _parquet(self.path, self.name, self._share())
            if magic == b"ARROW1":
                return _ipc(self.path, self.name, self._share())
        except pyarrow.ArrowInvalid as error:
            raise OSError(f"{self.path} is damaged: {error}") from error
        raise OSError(f"{self.path} should be a parquet or an Arrow file (feather), but it is neither")


def _parquet(path: str, name: str, cache: Share) -> Blocks:
    file = library("pyarrow.parquet", "batchup[arrow]", "ArrowColumn").ParquetFile(path, memory_map=True)
    shape, dtype = sample_of(_field(file.schema_arrow, name, path).type, name)
    counts = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    turns = threading.Lock()  # a ParquetFile is for one thread at a time

    def load(number: int) -> npt.NDArray[Any]:
        with turns:
            column = file.read_row_group(number, columns=[name]).column(0)
        return column_values(column, name)

    return _of_blocks(counts, shape, dtype, load, cache, f"{path} {name!r}")


def _of_blocks(
    counts: list[int], shape: tuple[int, ...], dtype: np.dtype[Any], load: Any, cache: Share, path: str
) -> Blocks:
    total, most = sum(counts), max(counts, default=0)
    spans = RowBlocks(total, np.array(counts, np.intp)) if counts else RowBlocks(0, 1)
    return Blocks((total, *shape), dtype, spans, load, cache, path, (max(most, 1), *shape))


def _ipc(path: str, name: str, cache: Share) -> Any:
    import pyarrow

    ipc = library("pyarrow.ipc", "batchup[arrow]", "ArrowColumn")
    source = pyarrow.memory_map(path)
    file = ipc.open_file(source)
    number = file.schema.get_field_index(_field(file.schema, name, path).name)
    shape, dtype = sample_of(file.schema.field(number).type, name)
    if dtype.kind in "iufM" and file.num_record_batches:
        direct = _direct(path, file, source, number, shape, dtype)
        if direct is not None:
            return direct
    file = ipc.open_file(source, options=ipc.IpcReadOptions(included_fields=[number]))
    counts = [file.get_batch(i).num_rows for i in range(file.num_record_batches)]

    turns = threading.Lock()  # a reader is for one thread at a time

    def load(number: int) -> npt.NDArray[Any]:
        with turns:
            column = file.get_batch(number).column(0)
        return column_values(column, name)

    return _of_blocks(counts, shape, dtype, load, cache, f"{path} {name!r}")


def _direct(path: str, file: Any, source: Any, number: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """What reads rows of numbers from a map; None where they are compressed, or there are nulls among them."""
    source.seek(0)
    whole = source.read_buffer(source.size())
    counts, starts = [], []
    for i in range(file.num_record_batches):
        column = file.get_batch(i).column(number)
        raw = not null_count(column) and bits_of(column) == 8 * dtype.itemsize
        start = value_address(column, dtype) - whole.address if raw else 0
        if not 0 < start < whole.size:  # what was decompressed is elsewhere
            return None
        counts.append(len(column))
        starts.append(start)
    memory, shape = file_bytes(path), (sum(counts), *shape)
    if len(counts) == 1 and starts[0] % dtype.alignment == 0:
        return AdjacentRows(np.ndarray(shape, dtype, memory, starts[0]))
    spans, part = RowBlocks(shape[0], np.array(counts, np.intp)), Part(np.array(starts, np.intp), shape[1:])
    return ScatteredRows(memory, shape, dtype, spans, [part], chunks=(max(counts), *shape[1:]))


def _field(schema: Any, name: str, path: str) -> Any:
    if name not in schema.names:
        raise KeyError(f"{path} has no column {name!r}; it has {', '.join(schema.names[:20])}")
    return schema.field(name)
