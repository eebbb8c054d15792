"""Files that batches are loaded from and dumped to, by the names of their formats: csv, hdf5, feather, blosc, …

A format has ``load(batch, src, names, …)`` and ``dump(batch, dst, names, …)``. There are two kinds: a `Table` is one
file for all items, found in it by id; of `PerFile` each item is a file.
"""

from __future__ import annotations

import importlib
import io
import os
import pickle
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from .columns import ById, assembled, items_of, spread
from .files_index import FilesIndex
from .index import DatasetIndex
from .parallel import Call, run_calls

__all__ = ["Format", "PerFile", "Table", "named", "register_format"]


class Format(Protocol):
    """What `register_format` takes."""

    def load(self, batch: Any, src: Any, names: Any, *args: Any, **kwargs: Any) -> None:
        """Put into the components `names` of the batch (None for all) what `src` has for its items."""

    def dump(self, batch: Any, dst: Any, names: Sequence[Any], *args: Any, **kwargs: Any) -> None:
        """Write these components of the batch to `dst`; the name None stands for data without components."""


FORMATS: dict[str, Format] = {}


def register_format(name: str, fmt: Format) -> None:
    """Have `load` and `dump` know a format.

    Parameters
    ----------
    name : str
    fmt : Format
        A `Table`, a `PerFile`, or an object with the same two methods.

    Examples
    --------
    >>> import tempfile
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


def named(fmt: str) -> Format:
    """The format of this name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if fmt not in FORMATS:
        raise ValueError(f"fmt should be one of {', '.join(sorted(FORMATS))}, not {fmt!r}; register_format() adds more")
    return FORMATS[fmt]


def wanted(module: str, fmt: str, extra: str = "tables") -> Any:
    """A module that a format needs."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"the format {fmt} needs {module}: pip install 'batchup[{extra}]'") from error


class Table:
    """One file for the items of all batches.

    Parameters
    ----------
    read : callable
        ``read(path, **options)`` gives what items are taken from by id: a data frame, a dict of arrays by component, …
    write : callable
        ``write(path, columns, ids, **options)``, where `columns` is a dict of arrays by component.
    """

    def __init__(self, read: Callable[..., Any], write: Callable[..., None]) -> None:
        self.read = read
        self.write = write

    def load(self, batch: Any, src: Any, names: Any, *args: Any, post: Any = None, **kwargs: Any) -> None:
        """Read the file; ``post(table, src=…, fmt=…, dst=…)`` may change what was read before items are taken."""
        table = self.read(src, *args, **kwargs)
        if post is not None:
            table = post(table, src=src, fmt=self, dst=names)
        batch.take_from(table, (names,) if isinstance(table, dict) and isinstance(names, str) else names)

    def dump(self, batch: Any, dst: Any, names: Sequence[Any], *args: Any, **kwargs: Any) -> None:
        """Write the components; those of several processes should go to files of their own."""
        columns = {name or "data": batch.data if name is None else batch.column(name) for name in names}
        missing = [name for name, column in columns.items() if column is None]
        if missing:
            raise ValueError(f"{', '.join(missing)} should have data to be written, but is None")
        with _lock_of(dst):
            self.write(dst, columns, batch.indices, *args, **kwargs)


_locks: dict[str, Any] = {}
_locking = threading.Lock()


def _lock_of(path: Any) -> Any:
    """Held while a file is written: batches of several threads may go to the same."""
    key = os.path.abspath(path) if isinstance(path, (str, os.PathLike)) else repr(id(path))
    with _locking:
        return _locks.setdefault(key, threading.Lock())


def _frame(columns: Mapping[str, Any], ids: Any, fmt: str) -> Any:
    """A data frame with the ids as its index; a component of rows becomes several columns: name0, name1, …"""
    pandas = wanted("pandas", fmt)
    flat: dict[str, Any] = {}
    for name, column in columns.items():
        array = np.asarray(column)
        if array.ndim == 1:
            flat[name] = array
        elif array.ndim == 2:
            flat.update({f"{name}{place}": array[:, place] for place in range(array.shape[1])})
        else:
            raise ValueError(
                f"{name} should be 1-D or 2-D to go into a table, not {array.ndim}-D; hdf5 and blosc take more"
            )
    return pandas.DataFrame(flat, index=ids)


def _read_csv(path: Any, *args: Any, **kwargs: Any) -> Any:
    return wanted("pandas", "csv").read_csv(path, *args, **kwargs)


def _write_csv(path: Any, columns: Mapping[str, Any], ids: Any, *args: Any, **kwargs: Any) -> None:
    _frame(columns, ids, "csv").to_csv(path, *args, **kwargs)


def _read_feather(path: Any, **kwargs: Any) -> Any:
    wanted("pyarrow", "feather")
    return importlib.import_module("pyarrow.feather").read_feather(path, **kwargs)


def _write_feather(path: Any, columns: Mapping[str, Any], ids: Any, **kwargs: Any) -> None:
    arrow = wanted("pyarrow", "feather")
    table = arrow.Table.from_pandas(_frame(columns, ids, "feather"), preserve_index=True)
    importlib.import_module("pyarrow.feather").write_feather(table, path, **kwargs)


def _read_hdf5(path: Any, key: str = "data", **kwargs: Any) -> Any:
    h5py = wanted("h5py", "hdf5")
    with h5py.File(path, "r") as file:
        if key not in file:
            raise KeyError(f"{path} has no group {key!r}; it has {', '.join(file) or 'nothing'}")
        group = file[key]
        if "pandas_type" not in group.attrs:
            ids = group["index"].asstr()[:] if h5py.check_string_dtype(group["index"].dtype) else group["index"][:]
            index = DatasetIndex(ids)
            return {name: ById(index, group[name][:]) for name in group if name != "index"}
    wanted("tables", "hdf5 of pandas")
    return wanted("pandas", "hdf5").read_hdf(path, key, **kwargs)


def _write_hdf5(
    path: Any, columns: Mapping[str, Any], ids: Any, key: str = "data", mode: str = "a", **kwargs: Any
) -> None:
    """A dataset for each component, and their ids. Items that the file has already are replaced, others added."""
    h5py = wanted("h5py", "hdf5")
    with h5py.File(path, mode) as file:
        group = file.require_group(key)
        if "pandas_type" in group.attrs:
            raise ValueError(f"the group {key!r} of {path} is a table of pandas: give another key=, or mode='w'")
        old = group["index"][:].tolist() if "index" in group else []
        places = {each.decode() if isinstance(each, bytes) else each: place for place, each in enumerate(old)}
        for each in ids.tolist():
            places.setdefault(each, len(places))
        rows = np.array([places[each] for each in ids.tolist()])
        index = np.array(list(places), dtype=object if ids.dtype.kind in "US" else ids.dtype)
        _grown(h5py, group, "index", index, len(places), {})[:] = index
        order = np.argsort(rows)
        for name, column in columns.items():
            values = np.asarray(column)
            _grown(h5py, group, name, values, len(places), kwargs)[rows[order]] = values[order]


def _grown(h5py: Any, group: Any, name: str, values: Any, n: int, options: Any) -> Any:
    """The dataset of a component, with room for n items."""
    if name in group:
        group[name].resize(n, axis=0)
    else:
        dtype = h5py.string_dtype() if values.dtype.kind in "OU" else values.dtype
        shape = values.shape[1:]
        group.create_dataset(name, (n, *shape), dtype, maxshape=(None, *shape), chunks=True, **options)
    return group[name]


class PerFile:
    """A file for each item.

    Where it is: ``src`` or ``dst`` may be a `FilesIndex`, which knows; a folder, with files of the same names as those
    of the batch's index (or, if its index is of folders, the name of a file in each); None for the indexed files.

    Parameters
    ----------
    unpack : callable
        ``unpack(bytes, **options)`` gives a dict of values by component, or one value.
    pack : callable
        ``pack(values, **options)``, of a dict of values by component, gives bytes.
    """

    def __init__(self, unpack: Callable[..., Any], pack: Callable[..., bytes]) -> None:
        self.unpack = unpack
        self.pack = pack

    def load(self, batch: Any, src: Any, names: Any, **kwargs: Any) -> None:
        """Read the files of the items, by several threads."""
        calls: list[Call] = [((self.unpack, path, kwargs), {}, None) for path in _paths(batch, src)]
        items = _succeeded(batch, run_calls(_read_file, calls, "threads"))
        if isinstance(items[0], dict):
            columns = {name: assembled([item[name] for item in items]) for name in items[0]}
            wanted_names = (names,) if isinstance(names, str) else names or batch.components
            if wanted_names:
                columns = spread(columns, wanted_names, exactly=names is not None)
                for name, column in columns.items():
                    batch.set_column(name, column)
            else:
                batch.put_into_data(next(iter(columns.values())) if len(columns) == 1 else columns)
        else:
            one = names if names is None or isinstance(names, str) else names[0]
            batch.put_into_data(assembled(items), one)

    def dump(self, batch: Any, dst: Any, names: Sequence[Any], **kwargs: Any) -> None:
        """Write a file for each item, by several threads."""
        columns = {name or "data": items_of(batch.data if name is None else batch.column(name)) for name in names}
        paths = _paths(batch, dst)
        rows = [{name: column[place] for name, column in columns.items()} for place in range(len(paths))]
        calls: list[Call] = [((self.pack, path, row, kwargs), {}, None) for path, row in zip(paths, rows, strict=True)]
        _succeeded(batch, run_calls(_write_file, calls, "threads"))


def _read_file(unpack: Callable[..., Any], path: str, options: dict[str, Any]) -> Any:
    with open(path, "rb") as file:
        return unpack(file.read(), **options)


def _write_file(pack: Callable[..., bytes], path: str, values: dict[str, Any], options: dict[str, Any]) -> None:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb") as file:
        file.write(pack(values, **options))


def _succeeded(batch: Any, results: list[Any]) -> list[Any]:
    """The results, if none is an exception; else the first exception, with the item's id."""
    for each, result in zip(batch.indices.tolist(), results, strict=True):
        if isinstance(result, BaseException):
            result.add_note(f"for item {each!r}")
            raise result
    return results


def _paths(batch: Any, where: Any) -> list[str]:
    ids = batch.indices.tolist()
    if isinstance(where, FilesIndex):
        return [where.get_fullpath(each) for each in ids]
    if not isinstance(batch.index, FilesIndex):
        raise ValueError("files for each item need a FilesIndex: as the index of the batch, or as src or dst")
    own = [batch.index.get_fullpath(each) for each in ids]
    if where is None:
        return own
    if not isinstance(where, (str, os.PathLike)):
        raise ValueError(f"files should be in a folder, or those of a FilesIndex, not of {where!r}")
    if batch.index.dirs:
        return [os.path.join(path, os.fspath(where)) for path in own]
    return [os.path.join(os.fspath(where), os.path.basename(path)) for path in own]


def _pack_blosc(values: Mapping[str, Any], **kwargs: Any) -> bytes:
    blosc = wanted("blosc2", "blosc", "blosc")
    if all(isinstance(value, (np.ndarray, np.generic)) and not value.dtype.hasobject for value in values.values()):
        file = io.BytesIO()
        np.savez(file, **values)  # plain arrays: nothing in the file that is run when it is read
        packed = file.getvalue()
    else:
        packed = pickle.dumps(dict(values), 5)
    return bytes(blosc.compress(packed, typesize=1, **kwargs))


def _unpack_blosc(packed: bytes, **kwargs: Any) -> dict[str, Any]:
    data = wanted("blosc2", "blosc", "blosc").decompress(packed, **kwargs)
    if data[:2] == b"PK":
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: array[()] if array.ndim == 0 else array for name, array in arrays.items()}
    return pickle.loads(data)  # type: ignore[no-any-return]


register_format("csv", Table(_read_csv, _write_csv))
register_format("feather", Table(_read_feather, _write_feather))
register_format("hdf5", Table(_read_hdf5, _write_hdf5))
register_format("blosc", PerFile(_unpack_blosc, _pack_blosc))
