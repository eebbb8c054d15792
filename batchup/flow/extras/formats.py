"""Formats of files to load batches from and dump them to, by name: csv, hdf5, feather, blosc, …

A format has ``load(batch, src, names, …)`` and ``dump(batch, dst, names, …)``. There are two kinds: a `Table` is one
file with the items of all batches, found by id; with `PerFile` each item has a file of its own.
A blosc file with anything but plain arrays is a pickle: load only files that you trust.
"""

from __future__ import annotations

import io
import os
import pickle
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ...engine.optional import library
from ...engine.stacking import object_array
from ..data.columns import (
    Components,
    ItemsById,
    column_items,
    plain_array,
    should_hold,
    split_by_component,
    stack_items,
)
from ..data.files_index import FilesIndex
from ..data.ids import id_array, id_list
from ..data.index import DatasetIndex
from ..items.parallel import ItemCall, run_calls

__all__ = ["Format", "PerFile", "Table", "find_format", "register_format"]


Path: TypeAlias = str | os.PathLike[str]


class Format(Protocol):
    """The methods of a format; see `register_format`."""

    def load(self, batch: Any, src: Any, names: Components, *args: Any, **kwargs: Any) -> None:
        """Load the items of the batch from `src` into the components `names` (None for all)."""

    def dump(self, batch: Any, dst: Any, names: Sequence[Any], *args: Any, **kwargs: Any) -> None:
        """Write these components of the batch to `dst`. The name None is for data without components."""


FORMATS: dict[str, Format] = {}


def register_format(name: str, fmt: Format) -> None:
    """Add a format for `load` and `dump`.

    Parameters
    ----------
    name : str
    fmt : Format
        A `Table`, a `PerFile`, or an object with the same two methods.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from batchup.flow import Batch, register_format
    >>> def read(path, **options):
    ...     return {"x": np.load(path)}
    >>> def write(path, columns, ids, **options):
    ...     np.save(path, columns["x"])
    >>> register_format("npy", Table(read, write))
    >>> path = tempfile.mkdtemp() + "/x.npy"
    >>> batch = Batch(3).load(src=np.arange(3) * 10, dst="x").dump(path, "npy")
    >>> Batch([2, 0]).load(path, "npy", dst="x").x
    array([20,  0])
    """
    FORMATS[name] = fmt


def find_format(fmt: str) -> Format:
    """The format with this name; a `ValueError` lists those that there are."""
    if fmt not in FORMATS:
        raise ValueError(
            f"fmt should be one of {', '.join(sorted(FORMATS))}, not {fmt!r}; add formats with register_format()"
        )
    return FORMATS[fmt]


class Table:
    """A format with one file for the items of all batches.

    Parameters
    ----------
    read : callable
        ``read(path, **options)`` returns a container to take items from by id: a data frame, a dict of arrays, …
    write : callable
        ``write(path, columns, ids, **options)`` writes the file; `columns` is a dict of arrays by component.
    """

    def __init__(self, read: Callable[..., Any], write: Callable[..., None]) -> None:
        self.read = read
        self.write = write

    def load(self, batch: Any, src: Any, names: Components, *args: object, post: Any = None, **kwargs: object) -> None:
        """Read the file. ``post(table, src=…, fmt=…, dst=…)`` may replace the table before items are taken."""
        table = self.read(src, *args, **kwargs)
        if post is not None:
            table = post(table, src=src, fmt=self, dst=names)
        batch.take_from(table, (names,) if isinstance(table, dict) and isinstance(names, str) else names)

    def dump(self, batch: Any, dst: Any, names: Sequence[Any], *args: object, **kwargs: object) -> None:
        """Write the components. Several processes should not write to the same file."""
        columns = {name or "data": batch.data if name is None else batch.column(name) for name in names}
        missing = [name for name, column in columns.items() if column is None]
        if missing:
            raise ValueError(f"{', '.join(missing)} should have data to be written, not None")
        with _writing:
            self.write(dst, columns, batch.indices, *args, **kwargs)


_writing = threading.Lock()  # several threads may write to one file


class PerFile:
    """A format with a file for each item.

    ``src`` or ``dst`` says where the files are. A `FilesIndex` has their paths. A folder has files with the same names
    as those of the index of the batch; if that is an index of folders, it is the name of a file in each folder. None
    stands for the files of the index itself.

    Parameters
    ----------
    unpack : callable
        ``unpack(bytes, **options)`` returns a dict of values by component, or a single value.
    pack : callable
        ``pack(values, **options)`` gets a dict of values by component and returns bytes.
    """

    def __init__(self, unpack: Callable[..., Any], pack: Callable[..., bytes]) -> None:
        self.unpack = unpack
        self.pack = pack

    def load(self, batch: Any, src: Any, names: Components, **kwargs: object) -> None:
        """Read the files of the items with several threads."""
        calls: list[ItemCall] = [((self.unpack, path, kwargs), {}, None) for path in _paths(batch, src)]
        items = _succeeded(batch, run_calls(_read_file, calls, "threads"))
        if isinstance(items[0], dict):
            columns = {name: stack_items([item[name] for item in items]) for name in items[0]}
            wanted_names = (names,) if isinstance(names, str) else names or batch.components
            if wanted_names:
                columns = split_by_component(columns, wanted_names, exactly=names is not None)
                for name, column in columns.items():
                    batch.set_column(name, column)
            else:
                batch.put_into_data(next(iter(columns.values())) if len(columns) == 1 else columns)
        else:
            one = names if names is None or isinstance(names, str) else names[0]
            batch.put_into_data(stack_items(items), one)

    def dump(self, batch: Any, dst: Any, names: Sequence[Any], **kwargs: object) -> None:
        """Write a file for each item with several threads."""
        columns = {name or "data": column_items(batch.data if name is None else batch.column(name)) for name in names}
        paths = _paths(batch, dst)
        rows = [{name: column[position] for name, column in columns.items()} for position in range(len(paths))]
        calls: list[ItemCall] = [
            ((self.pack, path, row, kwargs), {}, None) for path, row in zip(paths, rows, strict=True)
        ]
        _succeeded(batch, run_calls(_write_file, calls, "threads"))


def _read_file(unpack: Callable[..., Any], path: str, options: dict[str, Any]) -> Any:
    with open(path, "rb") as file:
        return unpack(file.read(), **options)


def _write_file(pack: Callable[..., bytes], path: str, values: dict[str, Any], options: dict[str, Any]) -> None:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb") as file:
        file.write(pack(values, **options))


def _succeeded(batch: Any, results: list[Any]) -> list[Any]:
    """The results. If there are exceptions, raise the first one, with the id of its item."""
    for each, result in zip(id_list(batch.indices), results, strict=True):
        if isinstance(result, BaseException):
            result.add_note(f"for item {each!r}")
            raise result
    return results


def _paths(batch: Any, where: Any) -> list[str]:
    ids = id_list(batch.indices)
    if isinstance(where, FilesIndex):
        return [where.get_fullpath(each) for each in ids]
    if not isinstance(batch.index, FilesIndex):
        raise ValueError("files for each item need a FilesIndex as the index of the batch, or as src or dst")
    own = [batch.index.get_fullpath(each) for each in ids]
    if where is None:
        return own
    if not isinstance(where, (str, os.PathLike)):
        raise ValueError(f"src or dst should be a folder or a FilesIndex, not {where!r}")
    if batch.index.dirs:
        return [os.path.join(path, os.fspath(where)) for path in own]
    return [os.path.join(os.fspath(where), os.path.basename(path)) for path in own]


def _library(name: str, fmt: str, extra: str = "tables") -> Any:
    return library(name, f"batchup[{extra}]", f"the format {fmt}")


def _frame(columns: Mapping[str, Any], ids: npt.NDArray[Any], fmt: str) -> Any:
    """A data frame with the ids as its index. A 2-D component becomes several columns: name0, name1, …"""
    pandas = _library("pandas", fmt)
    flat: dict[str, Any] = {}
    for name, column in columns.items():
        array = plain_array(column, name)
        if array.ndim == 1:
            flat[name] = array
        elif array.ndim == 2:
            flat.update({f"{name}{number}": array[:, number] for number in range(array.shape[1])})
        else:
            raise ValueError(f"{name} should be 1-D or 2-D to go into a table, not {array.ndim}-D; use hdf5 or blosc")
    return pandas.DataFrame(flat, index=ids)


def _read_csv(path: Path, *args: object, **kwargs: object) -> Any:
    return _library("pandas", "csv").read_csv(path, *args, **kwargs)


def _write_csv(path: Path, columns: Mapping[str, Any], ids: npt.NDArray[Any], *args: object, **kwargs: object) -> None:
    _frame(columns, ids, "csv").to_csv(path, *args, **kwargs)


def _read_feather(path: Path, **kwargs: object) -> Any:
    return _library("pyarrow.feather", "feather").read_feather(path, **kwargs)


def _write_feather(path: Path, columns: Mapping[str, Any], ids: npt.NDArray[Any], **kwargs: object) -> None:
    feather = _library("pyarrow.feather", "feather")
    table = _library("pyarrow", "feather").Table.from_pandas(_frame(columns, ids, "feather"), preserve_index=True)
    feather.write_feather(table, path, **kwargs)


def _read_hdf5(path: Path, key: str = "data", **kwargs: object) -> Any:
    h5py = _library("h5py", "hdf5")
    with h5py.File(path, "r") as file:
        if key not in file:
            raise KeyError(f"{path} has no group {key!r}; it has {', '.join(file) or 'nothing'}")
        group = file[key]
        if "pandas_type" not in group.attrs:
            ids = group["index"].asstr()[:] if h5py.check_string_dtype(group["index"].dtype) else group["index"][:]
            index = DatasetIndex(ids)
            return {name: ItemsById(index, group[name][:]) for name in group if name != "index"}
    _library("tables", "hdf5 of pandas")
    return _library("pandas", "hdf5").read_hdf(path, key, **kwargs)


def _write_hdf5(
    path: Path, columns: Mapping[str, Any], ids: npt.NDArray[Any], key: str = "data", mode: str = "a", **kwargs: object
) -> None:
    """Write a dataset for each component, and the ids. Items in the file are replaced, other items are added."""
    h5py = _library("h5py", "hdf5")
    with h5py.File(path, mode) as file:
        group = file.require_group(key)
        if "pandas_type" in group.attrs:
            raise ValueError(f"the group {key!r} of {path} is a table of pandas: pass another key=, or mode='w'")
        old = group["index"][:].tolist() if "index" in group else []
        positions = {each.decode() if isinstance(each, bytes) else each: row for row, each in enumerate(old)}
        for each in id_list(ids):
            positions.setdefault(each, len(positions))
        rows = np.array([positions[each] for each in id_list(ids)])
        index = object_array(positions) if ids.dtype.kind in "USO" else id_array(list(positions))
        arrays = {name: plain_array(column, name) for name, column in columns.items()}
        for name, values in {"index": index, **arrays}.items():
            if name in group:
                should_hold(group[name].dtype, values, name)
        _resized(h5py, group, "index", index, len(positions), {})[:] = index
        order = np.argsort(rows)
        for name, values in arrays.items():
            _resized(h5py, group, name, values, len(positions), kwargs)[rows[order]] = values[order]


def _resized(h5py: Any, group: Any, name: str, values: Any, n: int, options: Any) -> Any:
    """The dataset of a component, resized to n items."""
    if name in group:
        group[name].resize(n, axis=0)
    else:
        dtype = h5py.string_dtype() if values.dtype.kind in "OU" else values.dtype
        shape = values.shape[1:]
        group.create_dataset(name, (n, *shape), dtype, maxshape=(None, *shape), chunks=True, **options)
    return group[name]


def _pack_blosc(values: Mapping[str, Any], **kwargs: object) -> bytes:
    blosc = _library("blosc2", "blosc", "blosc")
    if all(isinstance(value, (np.ndarray, np.generic)) and not value.dtype.hasobject for value in values.values()):
        file = io.BytesIO()
        np.savez(file, **values)  # plain arrays: loading them runs no code
        packed = file.getvalue()
    else:
        packed = pickle.dumps(dict(values), 5)
    return bytes(blosc.compress(packed, typesize=1, **kwargs))


def _unpack_blosc(packed: bytes, **kwargs: object) -> dict[str, Any]:
    data = _library("blosc2", "blosc", "blosc").decompress(packed, **kwargs)
    if data[:2] == b"PK":
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: array[()] if array.ndim == 0 else array for name, array in arrays.items()}
    return pickle.loads(data)  # type: ignore[no-any-return]


register_format("csv", Table(_read_csv, _write_csv))
register_format("feather", Table(_read_feather, _write_feather))
register_format("hdf5", Table(_read_hdf5, _write_hdf5))
register_format("blosc", PerFile(_unpack_blosc, _pack_blosc))
