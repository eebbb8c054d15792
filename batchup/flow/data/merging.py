"""Merge several batches into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...engine.checks import whole
from ...engine.stacking import UnlikeKindsError, concatenate
from ...errors import noted
from .batch_data import BatchData
from .columns import Components, items_at
from .index import DatasetIndex

__all__ = ["merge_batches", "merge_columns"]

Columns = dict[str | None, Any]


def merge_batches(
    batches: Sequence[BatchData],
    batch_size: int | None,
    components: Components,
    batch_class: type[BatchData] | None,
) -> tuple[Any, Any]:
    """A batch of the first items, and one of the rest or None; see `Batch.merge`."""
    if not batches:
        raise ValueError("batches should be at least one")
    first = batches[0]
    names = (components,) if isinstance(components, str) else components or first.components or (None,)
    columns = {name: _merged_column(batches, name) for name in names}
    total = sum(each.size for each in batches)
    size = total if batch_size is None else min(whole("batch_size", batch_size), total)
    kind = batch_class or type(first)
    rest = _slice_batch(first, kind, columns, slice(size, total)) if size < total else None
    return _slice_batch(first, kind, columns, slice(0, size)), rest


def _merged_column(batches: Sequence[BatchData], name: str | None) -> Any:
    columns = [each.data if name is None else each.column(name) for each in batches]
    missing = [column is None for column in columns]
    if any(missing) and not all(missing):
        raise ValueError(f"{name or 'the data'} should have data in all batches or in none, not None in some")
    return None if all(missing) else batches[0].merge_component(name, columns)


def _slice_batch(first: BatchData, kind: type[BatchData], columns: Columns, part: slice) -> Any:
    batch = kind(DatasetIndex(part.stop - part.start))
    batch.follow(first)
    if None not in columns:
        batch.__dict__["components"], batch.__dict__["_columns"] = tuple(columns), dict.fromkeys(columns)
    for name, column in columns.items():
        batch.set_column(name, None if column is None else items_at(column, part))
    if first.get_attrs():
        batch.create_attrs(**first.get_attrs())
    return batch


def merge_columns(name: str | None, columns: Sequence[Any]) -> Any:
    """Concatenate arrays, or lists."""
    if all(isinstance(each, np.ndarray) for each in columns):
        try:
            return concatenate(columns)
        except UnlikeKindsError as error:
            raise noted(error, f"while merging {name or 'the data'}") from None
    if all(isinstance(each, list) for each in columns):
        return [item for each in columns for item in each]
    kinds = ", ".join(sorted({type(each).__name__ for each in columns}))
    raise TypeError(f"{name or 'data'} should be arrays or lists to be merged, not {kinds}: override merge_component")
