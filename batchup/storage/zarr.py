"""Arrays of zarr. Chunks in a folder are read and decompressed here, all others by the library zarr."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.checks import Indices
from ..engine.optional import library
from .base import StoredArray
from .cache import ChunkCache, Share
from .reading import Blocks, Bytes, RowBlocks, file_bytes

__all__ = ["ZarrArray"]

MAPS = 1024  # files that are kept mapped, of shards
MAP_COSTS = 1 << 14  # bytes, that a mapped chunk counts for in a cache
NOT_THERE = (1 << 64) - 1  # in the index of a shard
METADATA = "zarr.json", ".zarray"


class ZarrArray(StoredArray):
    """An array of zarr, format 2 or 3, by path.

    It is opened read-only on first use, and can be sent to worker processes. Uncompressed chunks are mapped into
    memory. Compressed chunks that a batch needs are read and decompressed once, and the most recent ones stay in a
    cache.

    Parameters
    ----------
    store : str, path-like or zarr store
        A folder, a zip file, a URL, or a store object of zarr that can be pickled.
    name : str, optional
        The name of the array in its group, such as ``"train/images"``.
    cache : int, optional
        How many bytes of decompressed chunks to keep. By default all arrays of a process share 64 MB.

    Raises
    ------
    FileNotFoundError
        If the path does not exist; or, on first use, if it has no such array.
    TypeError
        On first use, if `name` is a group.
    OSError
        On use, if the array was replaced since this object was made.

    Examples
    --------
    >>> import tempfile, zarr
    >>> folder = tempfile.TemporaryDirectory()
    >>> x = zarr.create_array(folder.name, name="x", data=np.arange(6).reshape(3, 2))
    >>> ZarrArray(folder.name, "x")[[2, 0]].tolist()
    [[4, 5], [0, 1]]
    >>> folder.cleanup()
    """

    def __init__(self, store: Any, name: str | None = None, cache: int | None = None) -> None:
        self.store, self.name = store, name
        self._array: Any = None
        if isinstance(store, (str, os.PathLike)) and "://" not in os.fspath(store):
            super().__init__(os.fspath(store), cache)
            self.store = self.path
        else:
            super().__init__(os.devnull, cache)
            self.path, self._stamp = str(store), None

    @classmethod
    def of(cls, array: Any) -> ZarrArray:
        """An array-like for an open array of zarr."""
        stands = cls(array.store, array.path)
        stands._array = array
        return stands

    def _stamped(self) -> str:
        inner = os.path.join(self.path, self.name or "")
        found = (file for file in (os.path.join(inner, name) for name in METADATA) if os.path.exists(file))
        return next(found, self.path)

    def _open(self) -> Any:
        return _reader(self._array if self._array is not None else self._opened_array(), self._share(), self.path)

    def _opened_array(self) -> Any:
        zarr = library("zarr", "batchup[zarr]", "ZarrArray")
        try:
            found = zarr.open(self.store, path=self.name, mode="r")
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{self.path} should hold {_quoted(self.name)}, but there is none{_others(zarr, self.store)}"
            ) from error
        if not hasattr(found, "dtype"):
            where = self.path if self.name is None else f"{self.name!r} of {self.path}"
            raise TypeError(f"{where} should be an array, but it is a group{_arrays_in(found)}")
        return found

    def __repr__(self) -> str:
        name = "" if self.name is None else f", {self.name!r}"
        return f"{type(self).__name__}({self.path!r}{name})"


def _quoted(name: str | None) -> str:
    return "a zarr array" if name is None else f"the zarr array {name!r}"


def _arrays_in(group: Any) -> str:
    names = sorted(name for name, _ in group.arrays())[:20]
    return f"; it holds {', '.join(map(repr, names))}" if names else "; it holds no arrays"


def _others(zarr: Any, store: Any) -> str:
    try:
        return _arrays_in(zarr.open_group(store, mode="r"))
    except Exception:
        return ""


def _reader(array: Any, cache: Share, path: str) -> Blocks:
    """What reads rows of an open array."""
    if not array.shape:
        raise ValueError(f"{path} should have a first axis, along which the samples are, but it is a single value")
    if not getattr(array, "read_only", True):
        cache = Share(ChunkCache(0))  # an array that can be written to is read again for each batch
    direct = _folder_of(array)
    if direct is not None:
        return _by_file(array, direct, cache, path)
    chunks = getattr(array, "chunks", None)
    spans = RowBlocks(array.shape[0], chunks[0] if chunks else 1)

    def load(number: int) -> npt.NDArray[Any]:
        first, end = spans.span(number)
        return np.ascontiguousarray(array[first:end])

    def some(rows: Indices) -> npt.NDArray[Any]:
        return np.asarray(array.oindex[rows])

    return Blocks(tuple(array.shape), array.dtype, spans, load, cache, path, chunks, some)


def _by_file(array: Any, files: _Files, cache: Share, path: str) -> Blocks:
    """Reads the chunks without the library."""
    spans = RowBlocks(array.shape[0], files.chunks[0])
    native = files.dtype == array.dtype
    if files.decompress is None and native and cache.cache.limit:
        cache = Share(cache.cache, lambda _: MAP_COSTS)
    shape = tuple(array.shape)

    def load(number: int) -> npt.NDArray[Any]:
        first, end = spans.span(number)
        data = files.chunk(number)
        if data is None:
            return np.full((end - first, *shape[1:]), 0 if array.fill_value is None else array.fill_value, array.dtype)
        expected = files.chunk_bytes
        if len(data) != expected:
            raise ValueError(f"a chunk should have {expected} bytes, but it has {len(data)}: it is damaged")
        rows: npt.NDArray[Any] = np.frombuffer(data, files.dtype).reshape(files.chunks)[: end - first]
        return rows if native else rows.astype(array.dtype)

    decompresses = files.decompress is not None
    some = lambda rows: array.oindex[rows]  # noqa: E731
    return Blocks(shape, array.dtype, spans, load, cache, path, files.chunks, some, whole=decompresses)


class _Files:
    """The chunks of an array in a folder, as they are in the files: one a file, or several in a shard.

    Parameters
    ----------
    name : callable, number of a file -> path
    dtype : data type
        As in the files.
    chunks : tuple of int
    decompress : callable or None
    per_file : int
        How many chunks a shard has; 0 if files are chunks.
    index_first : bool
        Where a shard says where its chunks are: at its beginning, or at its end.
    """

    def __init__(
        self,
        name: Callable[[int], str],
        dtype: np.dtype[Any],
        chunks: tuple[int, ...],
        decompress: Callable[[Any], Any] | None,
        per_file: int = 0,
        index_first: bool = False,
    ) -> None:
        self.dtype, self.chunks, self.decompress = dtype, chunks, decompress
        self.chunk_bytes = int(np.prod(chunks)) * dtype.itemsize
        self._name, self._per_file, self._index_first = name, per_file, index_first
        self._shards = Share(ChunkCache(MAPS), lambda _: 1)

    def chunk(self, number: int) -> Any:
        """The bytes of a chunk, decompressed; None if the chunk was never written."""
        raw = self._raw(number)
        return raw if raw is None or self.decompress is None else memoryview(self.decompress(raw)).cast("B")

    def _raw(self, number: int) -> Any:
        try:
            if self._per_file:
                return self._in_shard(*divmod(number, self._per_file))
            if self.decompress is None:
                return file_bytes(self._name(number))
            with open(self._name(number), "rb", buffering=0) as file:
                return file.readall()
        except FileNotFoundError:
            return None

    def _in_shard(self, shard: int, number: int) -> Bytes | None:
        memory: Bytes = self._shards.chunk(shard, lambda n: file_bytes(self._name(n)))
        size = 16 * self._per_file
        begin = 0 if self._index_first else len(memory) - size - 4  # a checksum comes behind it
        if begin < 0 or len(memory) < size:
            raise ValueError(f"{self._name(shard)} is too short for a shard: it is damaged")
        offset, n = np.frombuffer(memory[begin : begin + size], "<u8").reshape(-1, 2)[number].tolist()
        return None if offset == NOT_THERE else memory[offset : offset + n]


def _folder_of(array: Any) -> _Files | None:
    """The files of an array, where it is in a folder, and they are simple enough: chunks of whole samples, and at most
    one compressor."""
    root = getattr(array.store, "root", None)
    whole = array.chunks[1:] == array.shape[1:] if hasattr(array, "metadata") and hasattr(array, "chunks") else False
    if not isinstance(root, Path) or type(array.store).__name__ != "LocalStore" or not whole or 0 in array.shape:
        return None
    if array.dtype.kind not in "biufc":
        return None
    made, folder = array.metadata.to_dict(), os.path.join(root, array.path)
    return _format_2(array, made, folder) if made["zarr_format"] == 2 else _format_3(array, made, folder)


def _format_2(array: Any, made: dict[str, Any], folder: str) -> _Files | None:
    compressor = made["compressor"]
    if made["order"] != "C" or made["filters"]:
        return None
    separator = made.get("dimension_separator", ".")
    config = compressor.get_config() if hasattr(compressor, "get_config") else compressor
    return _Files(_names(folder, "", separator, array.ndim), _stored_dtype(made, array), array.chunks, _codec(config))


def _stored_dtype(made: dict[str, Any], array: Any) -> np.dtype[Any]:
    dtype = made["dtype"]
    return np.dtype(dtype) if isinstance(dtype, str) else array.dtype


def _format_3(array: Any, made: dict[str, Any], folder: str) -> _Files | None:
    key = made["chunk_key_encoding"]
    if key["name"] != "default" or made["chunk_grid"]["name"] != "regular" or made.get("storage_transformers"):
        return None
    name = _names(folder, "c", key.get("configuration", {}).get("separator", "/"), array.ndim)
    codecs, per_file, index_first = list(made["codecs"]), 0, False
    if codecs[0]["name"] == "sharding_indexed":
        sharding, shard = codecs[0]["configuration"], made["chunk_grid"]["configuration"]["chunk_shape"]
        if len(codecs) > 1 or [each["name"] for each in sharding["index_codecs"]] != ["bytes", "crc32c"]:
            return None
        if tuple(shard[1:]) != tuple(array.shape[1:]):
            return None
        codecs, index_first = list(sharding["codecs"]), sharding["index_location"] == "start"
        per_file = shard[0] // sharding["chunk_shape"][0]
    names = [each["name"] for each in codecs]
    if names[0] != "bytes" or len(names) > 2 or not set(names[1:]) <= {"zstd", "gzip", "blosc"}:
        return None
    dtype = array.dtype.newbyteorder(codecs[0].get("configuration", {}).get("endian", "little"))
    return _Files(
        name, dtype, tuple(array.chunks), _codec({"id": names[1]}) if names[1:] else None, per_file, index_first
    )


def _names(folder: str, prefix: str, separator: str, ndim: int) -> Callable[[int], str]:
    """The paths of files, of which each has all columns of some rows."""
    rest = ["0"] * (ndim - 1)

    def name(number: int) -> str:
        return os.path.join(folder, separator.join([*filter(None, [prefix]), str(number), *rest]))

    return name


def _codec(config: dict[str, Any] | None) -> Callable[[Any], Any] | None:
    if config is None:
        return None
    import numcodecs

    decode: Callable[[Any], Any] = numcodecs.get_codec(dict(config)).decode
    return decode
