"""Data sets of HDF5 files. Rows are read at their place in the file if they have one, otherwise chunk by chunk."""

from __future__ import annotations

import importlib
import itertools
import math
import os
import pickle
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..engine.checks import Indices
from ..engine.optional import library
from .base import Stamp, StoredArray
from .cache import ChunkCache, Share
from .reading import AdjacentRows, Blocks, Bytes, Part, RowBlocks, ScatteredRows, file_bytes, runs

__all__ = ["HDF5Array", "opened_again", "reduced", "should_travel"]

DEFLATE, SHUFFLE = 1, 2  # filters by their number in HDF5
FEW_BYTES = 1 << 14  # to read at once where there are no chunks, and no map


class HDF5Array(StoredArray):
    """A data set of an HDF5 file, by path.

    It opens the file read-only on first use, and can be sent to worker processes. Data that is contiguous, or in chunks
    without filters, is read through a memory map. Compressed chunks that a batch needs are read and decompressed once,
    and the most recent ones stay in a cache.

    Parameters
    ----------
    path : str or path-like
    name : str
        The name of the data set, such as ``"train/images"``.
    cache : int, optional
        How many bytes of decompressed chunks to keep. By default all arrays of a process share 64 MB.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    KeyError
        On first use, if the file has no such data set.
    OSError
        On use, if it is not an HDF5 file, is damaged, or has changed since this object was made.

    Examples
    --------
    >>> import h5py, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with h5py.File(f"{folder.name}/data.h5", "w") as file:
    ...     file["x"] = np.arange(6).reshape(3, 2)
    >>> with HDF5Array(f"{folder.name}/data.h5", "x") as x:
    ...     len(x), x.shape, x[[2, 0]].tolist()
    (3, (3, 2), [[4, 5], [0, 1]])
    >>> folder.cleanup()
    """

    def __init__(self, path: str | os.PathLike[str], name: str, cache: int | None = None) -> None:
        super().__init__(path, cache)
        self.name = name
        self._dataset: Any = None

    @classmethod
    def of(cls, dataset: Any) -> HDF5Array:
        """An array-like for an open data set of h5py: read through it in this process, and by path in others."""
        array = cls.__new__(cls)
        array.path, array.name, array.cache = dataset.file.filename, dataset.name, None
        array._dataset = dataset
        array._stamp = None
        array._reset()
        if _is_settled(dataset.file):
            StoredArray.__init__(array, array.path)
        return array

    def _open(self) -> Any:
        if self._dataset is not None:
            return _Reader(self._dataset, self._share())
        h5py = library("h5py", "batchup[hdf5]", "HDF5Array")
        try:
            file = h5py.File(self.path, "r")
        except OSError as error:
            raise OSError(f"{self.path} cannot be read as an HDF5 file: {error}") from error
        try:
            return _Reader(_dataset_in(file, self.name, self.path), self._share(), file)
        except BaseException:
            file.close()
            raise

    def __getstate__(self) -> dict[str, Any]:
        if self._dataset is not None:
            should_travel(self._dataset)
        return {**super().__getstate__(), "_dataset": None}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r}, {self.name!r})"


class _Reader:
    """An open data set."""

    def __init__(self, dataset: Any, cache: Share, file: Any = None) -> None:
        _should_have_rows(dataset)
        self.shape, self.dtype, self.chunks = dataset.shape, dataset.dtype, dataset.chunks
        self._file = file
        self.fd = file.id.get_vfd_handle() if file is not None and _is_at_its_path(file) else None
        self._rows = _rows(dataset, cache)
        self.read = self._rows.read
        self.cache = getattr(self._rows, "cache", None)
        self.whole_chunks = getattr(self._rows, "whole_chunks", 0)

    def close(self) -> None:
        if self._file is not None:
            self.fd = None
            self._file.close()


def _dataset_in(file: Any, name: str, path: str) -> Any:
    try:
        found = file[name]
    except KeyError:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if hasattr(item, "dtype") else None)
        raise KeyError(f"{path} has no data set {name!r}; it has {', '.join(names[:20]) or 'none'}") from None
    if not hasattr(found, "dtype"):
        inner = ", ".join(f"{name.rstrip('/')}/{each}" for each in list(found)[:20])
        raise TypeError(f"{name!r} of {path} should be a data set, but it is a group; it holds {inner or 'nothing'}")
    return found


def _should_have_rows(dataset: Any) -> None:
    where = f"{dataset.name!r} of {dataset.file.filename}"
    if not dataset.shape:
        kind = "empty" if dataset.shape is None else "a single value"
        raise ValueError(f"{where} should have a first axis, along which the samples are, but it is {kind}")
    import h5py

    if h5py.check_ref_dtype(dataset.dtype) is not None:
        raise TypeError(f"{where} holds references, of which no batch can be made; make a data set of what they mean")
    for number, name in _filters(dataset):
        if not h5py.h5z.filter_avail(number) and not _brought_by_plugin(h5py, number):
            raise OSError(
                f"{where} is stored with the filter {number} ({name}), which this h5py does not have; "
                "pip install hdf5plugin brings the common ones"
            )


def _filters(dataset: Any) -> list[tuple[int, str]]:
    made = dataset.id.get_create_plist()
    filters = (made.get_filter(i) for i in range(made.get_nfilters()))
    return [(number, name.decode(errors="replace")) for number, _, _, name in filters]


def _brought_by_plugin(h5py: Any, number: int) -> bool:
    try:
        importlib.import_module("hdf5plugin")
    except ImportError:
        return False
    return bool(h5py.h5z.filter_avail(number))


def _is_settled(file: Any) -> bool:
    """Whether the file is open for reading only, and still is the file at its path."""
    return file.mode == "r" and not file.swmr_mode and _is_at_its_path(file)


def _is_at_its_path(file: Any) -> bool:
    if not isinstance(file.filename, str) or file.driver not in ("sec2", "stdio"):
        return False
    try:
        return os.path.samestat(os.fstat(file.id.get_vfd_handle()), os.stat(file.filename))
    except OSError:
        return False


def _rows(dataset: Any, cache: Share) -> Any:
    """What reads rows of a data set, in the fastest way for it."""
    if _is_settled(dataset.file) and _is_raw(dataset) and 0 not in dataset.shape:
        memory = file_bytes(dataset.file.filename)
        direct = _contiguous(dataset, memory) if dataset.chunks is None else _chunked(dataset, memory, cache)
        if direct is not None:
            return direct
    return _by_library(dataset, cache)


def _is_raw(dataset: Any) -> bool:
    """Whether the bytes in the file, once decompressed, are those in memory."""
    import h5py

    return (
        not dataset.dtype.hasobject
        and dataset.file.userblock_size == 0
        and not dataset.is_virtual
        and dataset.external is None
        and dataset.id.get_type().equal(h5py.h5t.py_create(dataset.dtype, logical=True))
    )


def _contiguous(dataset: Any, memory: Bytes) -> AdjacentRows | ScatteredRows | None:
    offset, n = dataset.id.get_offset(), dataset.size * dataset.dtype.itemsize
    if offset is None or offset + n > len(memory):  # not allocated, or within the header
        return None
    rows: npt.NDArray[Any] = np.ndarray(dataset.shape, dataset.dtype, memory, offset)
    if rows.flags.aligned:
        return AdjacentRows(rows)
    part = Part(np.array([offset], np.intp), dataset.shape[1:])
    return ScatteredRows(memory, dataset.shape, dataset.dtype, RowBlocks(len(rows), len(rows)), [part])


class _Chunk(NamedTuple):
    """Where a chunk is in the file."""

    place: int
    size: int
    mask: int  # a bit for each filter that was left out


def _chunked(dataset: Any, memory: Bytes, cache: Share) -> ScatteredRows | Blocks | None:
    filters = [number for number, _ in _filters(dataset)]
    if not set(filters) <= {DEFLATE, SHUFFLE}:
        return None
    index = _index(dataset)
    if any(chunk.place + chunk.size > len(memory) for chunk in index.values()):
        return None
    spans = RowBlocks(len(dataset), dataset.chunks[0])
    if not filters:
        return ScatteredRows(
            memory, dataset.shape, dataset.dtype, spans, _parts(dataset, index), dataset.fillvalue, dataset.chunks
        )
    if dataset.chunks[1:] != dataset.shape[1:]:
        return None

    fill, dtype, chunks, shape = dataset.fillvalue, dataset.dtype, dataset.chunks, dataset.shape
    decode = _decoder(filters, dtype, chunks)
    path = f"{dataset.file.filename} {dataset.name}"

    def load(number: int) -> npt.NDArray[Any]:
        first, end = spans.span(number)
        chunk = index.get((first, *[0] * (len(chunks) - 1)))
        if chunk is None:
            return np.full((end - first, *shape[1:]), fill, dtype)
        raw = memory[chunk.place : chunk.place + chunk.size]
        try:
            return decode(raw, chunk.mask)[: end - first]
        except (ValueError, _deflate().error) as error:
            raise OSError(f"rows {first} to {end - 1} of {path} are damaged: {error}") from error

    return Blocks(shape, dtype, spans, load, cache, path, chunks, _some(dataset))


def _index(dataset: Any) -> dict[tuple[int, ...], _Chunk]:
    """Where the chunks are, by the place of their first value in the data set."""
    index: dict[tuple[int, ...], _Chunk] = {}

    def note(info: Any) -> None:
        if info.byte_offset is not None:
            index[tuple(info.chunk_offset)] = _Chunk(info.byte_offset, info.size, info.filter_mask)

    if hasattr(dataset.id, "chunk_iter"):
        dataset.id.chunk_iter(note)
    else:
        for i in range(dataset.id.get_num_chunks()):
            note(dataset.id.get_chunk_info(i))
    return index


def _parts(dataset: Any, index: dict[tuple[int, ...], _Chunk]) -> list[Part]:
    (chunk_rows, *inner), (length, *outer) = dataset.chunks, dataset.shape
    parts = {}
    for corner in itertools.product(*(range(0, n, step) for n, step in zip(outer, inner, strict=True))):
        ends = (min(begin + step, n) for begin, step, n in zip(corner, inner, outer, strict=True))
        columns = tuple(slice(begin, end) for begin, end in zip(corner, ends, strict=True))
        parts[corner] = Part(np.full(-(-length // chunk_rows), -1, np.intp), tuple(inner), columns)
    for place, chunk in index.items():
        if place[0] < length and place[1:] in parts:
            parts[place[1:]].places[place[0] // chunk_rows] = chunk.place
    for part in parts.values():
        part.missing = bool((part.places < 0).any())
    return list(parts.values())


def _decoder(
    filters: list[int], dtype: np.dtype[Any], shape: tuple[int, ...]
) -> Callable[[Bytes, int], npt.NDArray[Any]]:
    """What decodes a chunk of the file to an array, without HDF5 and its lock."""

    size, decompress = math.prod(shape) * dtype.itemsize, _deflate().decompress

    def decode(raw: Bytes, mask: int) -> npt.NDArray[Any]:
        data: Any = raw
        for i, number in reversed(list(enumerate(filters))):
            if mask >> i & 1:
                continue
            if number == DEFLATE:
                data = np.frombuffer(decompress(data, bufsize=size), np.uint8)
            else:  # the first byte of all values, then the second of all …
                data = np.ascontiguousarray(data.reshape(dtype.itemsize, -1).T).reshape(-1)
        return np.frombuffer(data, dtype).reshape(shape)

    return decode


def _deflate() -> Any:
    """`zlib`; or that of zlib-ng if it is installed, which gives the same bytes in a third of the time."""
    try:
        return importlib.import_module("zlib_ng.zlib_ng")
    except ImportError:
        return zlib


def _by_library(dataset: Any, cache: Share) -> Blocks:
    """Reads through h5py, one thread at a time: for data that only HDF5 can decode, or that may still change."""
    if not _is_settled(dataset.file):
        cache = Share(ChunkCache(0))
    path = f"{dataset.file.filename} {dataset.name}"
    length = dataset.shape[0]
    row_bytes = max(dataset.dtype.itemsize * math.prod(dataset.shape[1:]), 1)
    spans = RowBlocks(length, dataset.chunks[0] if dataset.chunks else -(-FEW_BYTES // row_bytes))

    def load(number: int) -> npt.NDArray[Any]:
        first, end = spans.span(number)
        return _values(dataset, first, end)

    return Blocks(dataset.shape, dataset.dtype, spans, load, cache, path, dataset.chunks, _some(dataset))


def _some(dataset: Any) -> Callable[[Indices], npt.NDArray[Any]]:
    """Reads rows in increasing order. Consecutive rows are read at once."""

    def some(rows: Indices) -> npt.NDArray[Any]:
        found = [_values(dataset, first, end) for first, end in runs(rows)]
        return found[0] if len(found) == 1 else np.concatenate(found)

    return some


def _values(dataset: Any, first: int, end: int) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = dataset[first:end]
    return values


def should_travel(item: Any) -> None:
    """Raise an error for a file that cannot be sent to a process: it has no path, or is open for writing."""
    file = item.file
    where = f"the HDF5 file {file.filename}"
    if not _is_at_its_path(file):
        raise pickle.PicklingError(
            f"{where} cannot be opened again by its path: it is in memory, or was replaced, or the current folder is "
            "another one by now"
        )
    if item.name is None:
        raise pickle.PicklingError(f"a data set without a name, in {where}, cannot be found again")
    if file.mode != "r":
        raise pickle.PicklingError(
            f"{where} is open for writing (mode {file.mode!r}), and worker processes cannot read it meanwhile; "
            'open it by h5py.File(path, "r")'
        )


def reduced(item: Any) -> Any:
    """How an object of h5py is pickled: a file, group or data set by its path and name; others in their own way."""
    import h5py

    if not isinstance(item, (h5py.Group, h5py.Dataset)):
        return NotImplemented
    should_travel(item)
    path = os.path.abspath(item.file.filename)
    return opened_again, (path, item.name if not isinstance(item, h5py.File) else None, Stamp.of(path))


def opened_again(path: str, name: str | None, stamp: Any) -> Any:
    """In a worker: the file, group or data set of that name, opened read-only."""
    import h5py

    stamp.check(path)
    file = h5py.File(path, "r")
    return file if name is None else file[name]
