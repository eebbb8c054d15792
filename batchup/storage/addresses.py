"""Rows from several arrays at once, by their addresses.

NumPy gathers rows of one array. A batch of a block shuffle has a few rows from each of many chunks, and a `take` for
each chunk costs more than the rows. A batch of 256 rows of 784 bytes from 32 chunks in the cache, both ways in turn,
medians of three runs: 396 to 552 us chunk by chunk, 114 to 209 us at once.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.checks import Indices
from ..engine.process.views import address_of

__all__ = ["first_byte", "gathered"]

BEYOND = 1 << 48  # programs have few addresses from here on, and those are left out
MOST_BYTES = 1 << 14 if sys.maxsize > BEYOND else 0  # of a row: an array of BEYOND such items is the largest there is


def first_byte(array: Any) -> int:
    """Where the bytes of an array begin; 0 if its rows do not follow each other, or are not plain bytes.

    >>> first_byte(np.zeros((4, 2))[:, 0]), first_byte(np.zeros(2)) > 0
    (0, True)
    """
    if not isinstance(array, np.ndarray) or not array.flags.c_contiguous or array.dtype.hasobject:
        return 0
    address = address_of(array)
    return address if address + array.nbytes < BEYOND else 0


def gathered(places: Indices, row_bytes: int) -> npt.NDArray[Any] | None:
    """Copies of rows at these addresses, as items of `row_bytes` bytes; None if they are too large for that.

    Whoever calls it holds the arrays, and has checked that the rows are in them.

    >>> arrays = [np.arange(4), np.arange(10, 14)]
    >>> places = np.array([first_byte(arrays[1]) + 8, first_byte(arrays[0]) + 24])
    >>> gathered(places, 8).view(int)
    array([11,  3])
    """
    if not 0 < row_bytes <= MOST_BYTES:
        return None
    found: npt.NDArray[Any] = _items(row_bytes)[places - 1]
    return found


@functools.lru_cache(64)
def _items(row_bytes: int) -> npt.NDArray[Any]:
    """The whole memory as items, one at each byte, so that they overlap. It is only read where arrays are."""
    return np.asarray(_Memory(row_bytes))


class _Memory:
    """What NumPy asks for an array: it begins at address 1, since 0 stands for none."""

    def __init__(self, row_bytes: int) -> None:
        self.__array_interface__ = {
            "version": 3,
            "data": (1, True),
            "shape": (BEYOND,),
            "typestr": f"|V{row_bytes}",
            "strides": (1,),
        }
