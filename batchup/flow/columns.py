"""The values of a component: taken from a container by id, put back, put together from items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data_source.rows import rows
from ..engine.checks import index_array

__all__ = ["ById", "assembled", "at", "by_name", "filled", "items_of", "named", "put", "spread", "take"]

NUMBERS = (bool, int, float, complex, np.number, np.bool_)


def take(container: Any, ids: npt.NDArray[Any]) -> Any:
    """The items of `container` that have these ids.

    Parameters
    ----------
    container : array, list, data frame or series, mapping by id, h5py or zarr dataset, or accessor
        An accessor has a ``__getitem__`` that takes an array of ids.
    ids : ndarray, 1-D

    Returns
    -------
    array-like of ``len(ids)`` items, never a view of the container

    Examples
    --------
    >>> take(np.array([10, 20, 30]), np.array([2, 0]))
    array([30, 10])
    >>> take({"a": np.zeros(2), "b": np.ones(2)}, np.array(["b", "a"]))
    array([[1., 1.],
           [0., 0.]])
    """
    if hasattr(container, "loc"):
        found = container.loc[ids]
        return found if found.ndim > 1 else np.require(found.to_numpy(), requirements="W")  # pandas may lock it
    if isinstance(container, Mapping):
        return assembled([container[each] for each in ids.tolist()])
    if isinstance(container, (np.ndarray, list, tuple)) and ids.dtype.kind not in "iu":
        raise IndexError(
            f"the ids should be integers to take items from {_a(container)}, not such as {ids[0]!r}; "
            "give a mapping by id, or a data frame with the ids as its index"
        )
    if isinstance(container, (np.ndarray, list, tuple)):
        ids = index_array("ids", ids, below=len(container))  # a negative one would be taken from the end
    if isinstance(container, (list, tuple)):
        return assembled([container[each] for each in ids.tolist()])
    return rows(container, ids)


def put(container: Any, ids: npt.NDArray[Any], values: Any, name: str | None = None) -> None:
    """Write items into a container by id; into the column `name` of a data frame."""
    if hasattr(container, "loc"):
        where = ids if name is None or container.ndim == 1 else (ids, name)
        container.loc[where] = values
    elif isinstance(container, (MutableMapping, list)):
        for each, value in zip(ids.tolist(), items_of(values), strict=True):
            container[each] = value
    elif type(container).__module__.startswith("h5py."):
        order = np.argsort(ids)  # h5py takes them in rising order only
        container[ids[order]] = np.asarray(values)[order]
    else:
        container[ids] = values


def items_of(column: Any) -> list[Any]:
    """The items of a component, one by one; rows, of a data frame."""
    if hasattr(column, "iterrows"):
        return [row for _, row in column.iterrows()]
    return list(column)


def at(column: Any, pos: Any) -> Any:
    """The item of a component at a place, or the items at several."""
    if hasattr(column, "iloc"):
        return column.iloc[pos]
    if isinstance(column, (list, tuple)) and isinstance(pos, np.ndarray):
        return [column[each] for each in pos.tolist()]
    return column[pos]


def assembled(items: Sequence[Any]) -> Any:
    """Items in one array: stacked if all are arrays or numbers of one shape, else an array of objects.

    >>> assembled([np.arange(2), np.arange(2, 4)])
    array([[0, 1],
           [2, 3]])
    >>> assembled([np.arange(2), np.arange(3)])
    array([array([0, 1]), array([0, 1, 2])], dtype=object)
    """
    kinds = set(map(type, items))
    if kinds == {np.ndarray}:
        first = items[0]
        if {item.shape for item in items} == {first.shape}:
            return _stacked(items, first)
    elif _are_values(kinds):
        return np.array(items)
    elif (
        kinds
        and all(issubclass(kind, (np.ndarray, *NUMBERS)) for kind in kinds)
        and len(set(map(np.shape, items))) == 1
    ):
        return np.stack(items)
    return filled(items)


def _are_values(kinds: set[type]) -> bool:
    """Whether values of these kinds go into one array and stay what they are: numbers, or words, or others alike."""
    if len(kinds) == 1:
        return all(kind in (str, bytes) or issubclass(kind, (np.generic, *NUMBERS)) for kind in kinds)
    return bool(kinds) and (kinds <= {str, np.str_} or all(issubclass(kind, NUMBERS) for kind in kinds))


def _stacked(items: Sequence[Any], first: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if {item.dtype for item in items} != {first.dtype} or first.dtype.hasobject:
        return np.stack(items)
    out = np.empty((len(items), *first.shape), first.dtype)
    for place, item in enumerate(items):  # a third of the cost of numpy.stack
        out[place] = item
    return out


def filled(items: Iterable[Any]) -> npt.NDArray[np.object_]:
    """An array of objects, put in one by one: NumPy would read the pixels of an image, and unpack a list."""
    items = list(items)
    array = np.empty(len(items), dtype=object)
    for place, item in enumerate(items):
        array[place] = item
    return array


def named(container: Any) -> bool:
    """Whether a container has components by name: a mapping, a data frame, a group of arrays, a record array."""
    if isinstance(container, np.ndarray):
        return container.dtype.names is not None
    return isinstance(container, Mapping) or (hasattr(container, "keys") and not hasattr(container, "dtype"))


def by_name(container: Any, name: str) -> Any:
    """The part of a `named` container that is called `name`; None if there is none."""
    names = container.dtype.names if isinstance(container, np.ndarray) else container.keys()
    return container[name] if name in names else None


def spread(container: Any, names: Sequence[str], exactly: bool = False) -> dict[str, Any]:
    """Which part of a container goes to which component: by name if it has names, of a tuple or list by place.

    Raises
    ------
    KeyError, ValueError, TypeError
        If it has no part for a component (for any, unless `exactly`), has too many, or no parts at all.
    """
    listed = ", ".join(names)
    if named(container):
        parts = {name: by_name(container, name) for name in names}
        missing = [name for name, part in parts.items() if part is None]
        if len(missing) == len(parts) or (exactly and missing):
            have = container.dtype.names if isinstance(container, np.ndarray) else container.keys()
            raise KeyError(f"there should be data for {', '.join(missing)}, but there are {', '.join(map(str, have))}")
        return {name: part for name, part in parts.items() if part is not None}
    if isinstance(container, (tuple, list)):
        if len(container) > len(names) or (exactly and len(container) < len(names)):
            raise ValueError(f"there should be data for {len(names)} components ({listed}), not for {len(container)}")
        return dict(zip(names, container, strict=False))
    if len(names) == 1:
        return {names[0]: container}
    raise TypeError(
        f"data for the components {listed} should be a tuple with one part for each, or a dict or frame with their "
        f"names, not {_a(container)}"
    )


class ById:
    """The items of a batch by their ids, for a dataset made from it."""

    def __init__(self, index: Any, column: Any) -> None:
        self.index = index
        self.column = column

    def __getitem__(self, ids: Any) -> Any:
        return at(self.column, self.index.get_pos(ids))


def _a(thing: Any) -> str:
    return "an array" if isinstance(thing, np.ndarray) else f"a {type(thing).__name__}"
