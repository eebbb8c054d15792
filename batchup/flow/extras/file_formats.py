"""The formats csv, feather, hdf5 and blosc.

A blosc file with anything but plain arrays is a pickle: load only files that you trust.
"""

from __future__ import annotations

import importlib
import io
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...engine.stacking import object_array
from ..data.columns import ItemsById, plain_array, should_hold
from ..data.ids import id_array, id_list
from ..data.index import DatasetIndex
from .formats import PerFile, Table, register_format, require_module


def _frame(columns: Mapping[str, Any], ids: Any, fmt: str) -> Any:
    """A data frame with the ids as its index. A 2-D component becomes several columns: name0, name1, …"""
    pandas = require_module("pandas", fmt)
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


def _read_csv(path: Any, *args: Any, **kwargs: Any) -> Any:
    return require_module("pandas", "csv").read_csv(path, *args, **kwargs)


def _write_csv(path: Any, columns: Mapping[str, Any], ids: Any, *args: Any, **kwargs: Any) -> None:
    _frame(columns, ids, "csv").to_csv(path, *args, **kwargs)


def _read_feather(path: Any, **kwargs: Any) -> Any:
    require_module("pyarrow", "feather")
    return importlib.import_module("pyarrow.feather").read_feather(path, **kwargs)


def _write_feather(path: Any, columns: Mapping[str, Any], ids: Any, **kwargs: Any) -> None:
    arrow = require_module("pyarrow", "feather")
    table = arrow.Table.from_pandas(_frame(columns, ids, "feather"), preserve_index=True)
    importlib.import_module("pyarrow.feather").write_feather(table, path, **kwargs)


def _read_hdf5(path: Any, key: str = "data", **kwargs: Any) -> Any:
    h5py = require_module("h5py", "hdf5")
    with h5py.File(path, "r") as file:
        if key not in file:
            raise KeyError(f"{path} has no group {key!r}; it has {', '.join(file) or 'nothing'}")
        group = file[key]
        if "pandas_type" not in group.attrs:
            ids = group["index"].asstr()[:] if h5py.check_string_dtype(group["index"].dtype) else group["index"][:]
            index = DatasetIndex(ids)
            return {name: ItemsById(index, group[name][:]) for name in group if name != "index"}
    require_module("tables", "hdf5 of pandas")
    return require_module("pandas", "hdf5").read_hdf(path, key, **kwargs)


def _write_hdf5(
    path: Any, columns: Mapping[str, Any], ids: Any, key: str = "data", mode: str = "a", **kwargs: Any
) -> None:
    """Write a dataset for each component, and the ids. Items in the file are replaced, other items are added."""
    h5py = require_module("h5py", "hdf5")
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


def _pack_blosc(values: Mapping[str, Any], **kwargs: Any) -> bytes:
    blosc = require_module("blosc2", "blosc", "blosc")
    if all(isinstance(value, (np.ndarray, np.generic)) and not value.dtype.hasobject for value in values.values()):
        file = io.BytesIO()
        np.savez(file, **values)  # plain arrays: loading them runs no code
        packed = file.getvalue()
    else:
        packed = pickle.dumps(dict(values), 5)
    return bytes(blosc.compress(packed, typesize=1, **kwargs))


def _unpack_blosc(packed: bytes, **kwargs: Any) -> dict[str, Any]:
    data = require_module("blosc2", "blosc", "blosc").decompress(packed, **kwargs)
    if data[:2] == b"PK":
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: array[()] if array.ndim == 0 else array for name, array in arrays.items()}
    return pickle.loads(data)  # type: ignore[no-any-return]


register_format("csv", Table(_read_csv, _write_csv))
register_format("feather", Table(_read_feather, _write_feather))
register_format("hdf5", Table(_read_hdf5, _write_hdf5))
register_format("blosc", PerFile(_unpack_blosc, _pack_blosc))
