"""Ids as an array, and their look-up by values that users have at hand, such as dates."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...engine.checks import INTEGERS
from ...engine.stacking import UnlikeKindsError, as_array, concatenate
from ...errors import noted

__all__ = ["has_repeats", "id_array", "id_key", "id_keys", "id_list", "joined_ids"]

Ids = npt.NDArray[Any]

NOTE = "these are the ids of an index"


def id_array(index: Any) -> Ids:
    """The ids that an int, a list or an array stands for.

    Raises
    ------
    ValueError
        If there is none.
    TypeError
        If they are not one-dimensional, or of unlike kinds.

    Examples
    --------
    >>> id_array(3), id_array(["b", "a"])
    (array([0, 1, 2]), array(['b', 'a'], dtype='<U1'))
    """
    if isinstance(index, INTEGERS) and not isinstance(index, (bool, np.timedelta64)):
        index = np.arange(index)
    if isinstance(index, (bool, float, set, frozenset, dict, Iterator)):
        raise TypeError(f"an index should be a number of items, or a list or array of their ids, not {index!r}")
    try:
        ids = np.atleast_1d(as_array(index if hasattr(index, "__len__") else [index]))
    except UnlikeKindsError as error:
        raise noted(error, NOTE) from None
    if isinstance(ids, np.ma.MaskedArray):
        raise TypeError("an index should have all its ids, not a masked array; x.compressed() leaves masked ones out")
    if ids.ndim != 1:
        raise TypeError(f"an index should be one-dimensional, not of shape {ids.shape}")
    if len(ids) == 0:
        raise ValueError("an index should have at least one id, not none")
    return ids


def joined_ids(several: Sequence[Ids]) -> Ids:
    """The ids of several indices, one after the other; a `TypeError` if they are of unlike kinds."""
    try:
        return concatenate(several)
    except UnlikeKindsError as error:
        raise noted(error, NOTE) from None


def has_repeats(ids: Ids) -> bool:
    """Whether an id is there more than once."""
    return len(set(ids.tolist()) if ids.dtype.hasobject else np.unique(ids)) < len(ids)


def id_list(ids: Ids) -> list[Any]:
    """The ids in a list: Python's values, or NumPy's for times that Python does not have, such as nanoseconds.

    >>> id_list(np.array([3, 5])), id_list(np.array([7], "M8[ns]"))
    ([3, 5], [np.datetime64('1970-01-01T00:00:00.000000007')])
    """
    values: list[Any] = ids.tolist()
    return list(ids) if ids.dtype.kind in "mM" and any(isinstance(each, int) for each in values) else values


def id_keys(ids: Ids) -> list[Any]:
    """For each id, the key that `id_key` gives."""
    return ids.astype(np.int64).tolist() if ids.dtype.kind in "mM" else ids.tolist()  # type: ignore[no-any-return]


def id_key(each: object, dtype: np.dtype[Any]) -> Any:
    """What an id is looked up by among ids of `dtype`; for a time of whatever class, the number of its units.

    A time that none of this dtype equals is a `KeyError`.
    """
    if dtype.kind in "mM":
        return _units(_as_time(each), dtype)
    if isinstance(each, (np.bytes_, np.str_)):
        return as_array(each).item()  # each.item() drops NULs
    if isinstance(each, np.generic):
        value = each.item()
        return each if isinstance(each, (np.datetime64, np.timedelta64)) and isinstance(value, int) else value
    return each


def _as_time(each: object) -> Any:
    if getattr(each, "tzinfo", None) is not None:
        return each  # ids have no time zone
    for convert in ("to_datetime64", "to_timedelta64"):  # of pandas, which has nanoseconds
        if hasattr(each, convert):
            return getattr(each, convert)()
    if isinstance(each, datetime.date):
        return np.datetime64(each)
    return np.timedelta64(each) if isinstance(each, datetime.timedelta) else each


def _units(time: Any, dtype: np.dtype[Any]) -> int:
    """How many units of `dtype` a time is."""
    if not isinstance(time, dtype.type):
        raise KeyError(time)
    try:
        cast = time.astype(dtype)
        back = cast.astype(time.dtype)
    except TypeError:  # months have no fixed number of days
        raise KeyError(time) from None
    if back.astype(np.int64) != time.astype(np.int64):
        raise KeyError(time)
    return int(cast.astype(np.int64))
