"""The formats of files that batchup knows: csv, feather, hdf5, blosc.

A blosc file of anything but plain arrays is a pickle: load only files that you trust.
"""

from __future__ import annotations

import importlib
import io
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np

from .columns import ById
from .formats import PerFile, Table, register_format, wanted
from .index import DatasetIndex


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
