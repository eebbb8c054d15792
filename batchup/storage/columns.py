"""Columns and tables of pyarrow in memory, as arrays and array-likes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .base import row_indices

__all__ = ["TableRows", "bits_of", "column_values", "null_count", "sample_of", "value_address"]


def sample_of(kind: Any, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The shape and dtype of one sample of a column."""
    import pyarrow.types as types

    if hasattr(kind, "storage_type"):  # an extension
        shape, dtype = sample_of(kind.storage_type, name)
        return tuple(getattr(kind, "shape", shape)), dtype
    if types.is_fixed_size_list(kind):
        inner, dtype = sample_of(kind.value_type, name)
        return (kind.list_size, *inner), dtype
    if types.is_nested(kind):
        raise TypeError(
            f"column {name!r} should hold numbers, strings or lists of one length, but it holds {kind}, of which no "
            "array can be made; take a pyarrow.Table, whose batches are tables"
        )
    if types.is_date32(kind):
        return (), np.dtype("M8[D]")
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        return (), np.dtype(kind.to_pandas_dtype())
    if types.is_timestamp(kind):
        return (), np.dtype(f"M8[{kind.unit}]")
    if types.is_duration(kind):
        return (), np.dtype(f"m8[{kind.unit}]")
    return (), np.dtype(object)


def _flat(column: Any) -> Any:
    """The column without its extension type, and the values of its lists, one after the other."""
    import pyarrow.types as types

    while True:
        if hasattr(column.type, "storage_type"):
            column = column.storage
        elif types.is_fixed_size_list(column.type) and not column.null_count:
            column = column.flatten()
        else:
            return column


def null_count(column: Any) -> int:
    """How many values are null, those within lists included."""
    n: int = _flat(column).null_count
    return n


def bits_of(column: Any) -> int:
    """How many bits a value takes; days take fewer than in an array."""
    bits: int = _flat(column).type.bit_width
    return bits


def value_address(column: Any, dtype: np.dtype[Any]) -> int:
    """The memory address of the first value."""
    flat = _flat(column)
    first: int = flat.buffers()[1].address
    return first + int(flat.offset) * dtype.itemsize


def column_values(column: Any, name: str) -> npt.NDArray[Any]:
    """A column of pyarrow as an array. Numbers without nulls, in one piece, are not copied.

    Parameters
    ----------
    column : pyarrow.Array or pyarrow.ChunkedArray
    name : str
        What to call it in an error.
    """
    shape, dtype = sample_of(column.type, name)
    if hasattr(column, "chunks"):
        chunks = column.chunks
        if len(chunks) != 1:
            parts = [column_values(chunk, name) for chunk in chunks]
            return np.concatenate(parts) if parts else np.empty((0, *shape), dtype)
        column = chunks[0]
    n = len(column)
    flat = _flat(column)
    if flat.null_count and (dtype.kind in "biu" or len(flat) == n and shape):
        raise ValueError(
            f"column {name!r} should have no nulls, as an array of {dtype} has nothing for them, but it has "
            f"{flat.null_count}; pyarrow.compute.fill_null(column, value) replaces them"
        )
    if hasattr(flat.type, "value_type") and hasattr(flat, "dictionary_decode"):
        flat = flat.dictionary_decode()
    values: npt.NDArray[Any] = flat.to_numpy(zero_copy_only=False)
    return values.astype(dtype, copy=False).reshape(n, *shape)


class TableRows:
    """The rows of a table, as an array-like: a batch of them is a table."""

    def __init__(self, table: Any) -> None:
        self.table = table

    @property
    def shape(self) -> tuple[int, int]:
        return self.table.num_rows, self.table.num_columns

    def __len__(self) -> int:
        rows: int = self.table.num_rows
        return rows

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (slice, list, np.ndarray)):
            return self.table.take(row_indices(index, len(self)))
        return self.table.slice(int(row_indices([index], len(self))[0]), 1)
