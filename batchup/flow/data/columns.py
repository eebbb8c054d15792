"""The values of a component: take them from a container by id, write them back, make them from items."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...data_source.rows import rows
from ...engine.checks import a_or_an, index_array
from ...engine.stacking import UnlikeKindsError, as_array, object_array, stack
from .ids import id_list

__all__ = [
    "Components",
    "ItemsById",
    "column_items",
    "items_at",
    "plain_array",
    "put_items",
    "should_hold",
    "split_by_component",
    "stack_items",
    "take_items",
]

Components: TypeAlias = str | Sequence[str] | None  # names of components

VALUES = (bool, int, float, complex, str, bytes, np.generic)  # what arrays have as items, beside other arrays


def take_items(container: Any, ids: npt.NDArray[Any]) -> Any:
    """Take the items with these ids from a container.

    Parameters
    ----------
    container : array, list, data frame or series, mapping by id, h5py or zarr dataset, or accessor
        An accessor is an object with a ``__getitem__`` for an array of ids.
    ids : ndarray, 1-D

    Returns
    -------
    array-like of ``len(ids)`` items
        Never a view of the container.

    Examples
    --------
    >>> take_items(np.array([10, 20, 30]), np.array([2, 0]))
    array([30, 10])
    >>> take_items({"a": np.zeros(2), "b": np.ones(2)}, np.array(["b", "a"]))
    array([[1., 1.],
           [0., 0.]])
    """
    if hasattr(container, "loc"):
        found = container.loc[ids]
        return (
            found if found.ndim > 1 else np.require(found.to_numpy(), requirements="W")
        )  # pandas may give read-only arrays
    if isinstance(container, Mapping):
        return stack_items([container[each] for each in _keys_in(container, ids)])
    if isinstance(container, (np.ndarray, list, tuple)):
        if ids.dtype.kind not in "iu":
            raise IndexError(
                f"the ids should be integers to take items from {_type_text(container)}, not such as {ids[0]!r}; "
                "pass a mapping by id, or a data frame with the ids as its index"
            )
        ids = index_array("ids", ids, below=len(container))  # NumPy would take a negative one from the end
    if isinstance(container, (list, tuple)):
        return stack_items([container[each] for each in ids.tolist()])
    return rows(container, ids)


def put_items(container: Any, ids: npt.NDArray[Any], values: Any, name: str | None = None) -> None:
    """Write items into a container by id; in a data frame, into the column `name`."""
    if hasattr(container, "loc"):
        where = ids if name is None or container.ndim == 1 else (ids, name)
        container.loc[where] = values
    elif isinstance(container, (MutableMapping, list)):
        for each, value in zip(id_list(ids), column_items(values), strict=True):
            container[each] = value
    elif type(container).__module__.startswith("h5py."):
        should_hold(container.dtype, values, name)
        order = np.argsort(ids)  # h5py takes them in increasing order only
        container[ids[order]] = plain_array(values, name)[order]
    else:
        if isinstance(container, np.ndarray):
            should_hold(container.dtype, values, name)
        container[ids] = values


def should_hold(dtype: np.dtype[Any], values: Any, name: str | None = None) -> None:
    """Raise a `TypeError` if an array of this dtype does not hold the values unchanged. Floats may be rounded."""
    if dtype.kind not in "biufcSUmM" and not isinstance(values, np.ma.MaskedArray):
        return
    array = plain_array(values, name)
    if not _holds(dtype, plain_array(array.tolist(), name) if array.dtype.hasobject else array):
        raise TypeError(
            f"{name or 'the data'} should be values that an array of {dtype} holds, but it would change some of these "
            f"({array.dtype}); convert them, or write to a container of another dtype"
        )


def _holds(dtype: np.dtype[Any], array: npt.NDArray[Any]) -> bool:
    is_number, are_numbers = dtype.kind in "biufc", array.dtype.kind in "biufc"
    if is_number != are_numbers:
        return False
    if array.dtype == dtype or dtype.kind in "fc":
        return array.dtype.kind != "c" or dtype.kind == "c"
    with np.errstate(invalid="ignore"):
        back = array.astype(dtype).astype(array.dtype)
    return np.array_equal(back, array, equal_nan=dtype.kind in "mM" and array.dtype.kind in "mM")


def plain_array(values: Any, name: str | None = None) -> npt.NDArray[Any]:
    """The values as an array, which holds them unchanged; a `TypeError` if some of them are masked."""
    array = as_array(values)
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(
            f"{name or 'the data'} should be without a mask to be written, but is a masked array; fill it: x.filled(0)"
        )
    return np.asarray(array)


def column_items(column: Any) -> list[Any]:
    """The items of a component in a list; for a data frame, its rows."""
    if hasattr(column, "iterrows"):
        return [row for _, row in column.iterrows()]
    return list(column)


def items_at(column: Any, pos: Any) -> Any:
    """The item of a component at a position, or the items at several positions."""
    if hasattr(column, "iloc"):
        return column.iloc[pos]
    if isinstance(column, (list, tuple)) and isinstance(pos, np.ndarray):
        return [column[each] for each in pos.tolist()]
    return column[pos]


def stack_items(items: Sequence[Any]) -> Any:
    """Put items into one array: stacked if all are arrays or values of one shape and kind, else as an array of objects.

    The items are unchanged, so bytes and words with NUL characters at their end are objects, too.

    >>> stack_items([np.arange(2), np.arange(2, 4)])
    array([[0, 1],
           [2, 3]])
    >>> stack_items([np.arange(2), np.arange(3)])
    array([array([0, 1]), array([0, 1, 2])], dtype=object)
    """
    kinds = set(map(type, items))
    if len(kinds) == 1 and issubclass(next(iter(kinds)), (np.number, np.bool_)):
        return np.array(items)
    if kinds and all(issubclass(kind, (np.ndarray, *VALUES)) for kind in kinds):
        if kinds == {np.ndarray} and len({(item.dtype, item.shape) for item in items}) == 1:
            return _stacked(items, items[0])
        if len(set(map(np.shape, items))) == 1:
            with contextlib.suppress(UnlikeKindsError):
                return stack(items)
    return object_array(items)


def _keys_in(container: Mapping[Any, Any], ids: npt.NDArray[Any]) -> list[Any]:
    """The ids as they are in a mapping, which may have dates of Python's or of NumPy's."""
    keys = id_list(ids)
    if ids.dtype.kind not in "mM":
        return keys
    return [key if key in container else each for key, each in zip(keys, ids, strict=True)]


def _stacked(items: Sequence[Any], first: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if first.dtype.hasobject:
        return np.stack(items)
    out = np.empty((len(items), *first.shape), first.dtype)
    for place, item in enumerate(items):  # three times as fast as numpy.stack
        out[place] = item
    return out


def _names_of_parts(container: Any) -> Collection[str] | None:
    """The names in a mapping, a data frame, a group of arrays or a record array; None for anything else."""
    if isinstance(container, np.ndarray):
        return container.dtype.names  # type: ignore[no-any-return]
    has_names = isinstance(container, Mapping) or (hasattr(container, "keys") and not hasattr(container, "dtype"))
    return container.keys() if has_names else None


def split_by_component(container: Any, names: Sequence[str], exactly: bool = False) -> dict[str, Any]:
    """The part of a container for each component: by name if the parts have names, by order in a tuple or list.

    A missing part is an error only with `exactly`, or if all are missing.
    """
    listed = ", ".join(names)
    have = _names_of_parts(container)
    if have is not None:
        parts = {name: part for name in names if name in have and (part := container[name]) is not None}
        if not parts or (exactly and len(parts) < len(names)):
            missing = ", ".join(name for name in names if name not in parts)
            raise KeyError(f"there should be data for {missing}, but there are {', '.join(map(str, have))}")
        return parts
    if isinstance(container, (tuple, list)):
        if len(container) > len(names) or (exactly and len(container) < len(names)):
            raise ValueError(f"there should be data for {len(names)} components ({listed}), not for {len(container)}")
        return dict(zip(names, container, strict=False))
    if len(names) == 1:
        return {names[0]: container}
    raise TypeError(
        f"data for the components {listed} should be a tuple with one part for each, or a dict or frame with their "
        f"names, not {_type_text(container)}"
    )


class ItemsById:
    """The items of a batch by their ids, as the data of a dataset."""

    def __init__(self, index: Any, column: Any) -> None:
        self.index = index
        self.column = column

    def __getitem__(self, ids: Any) -> Any:
        return items_at(self.column, self.index.get_pos(ids))


def _type_text(thing: object) -> str:
    return "an array" if isinstance(thing, np.ndarray) else a_or_an(type(thing))
