"""Helpers of the contracts: batches in a form that ``==`` compares, and arguments to try."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

__all__ = ["SOME", "bad_batch_sizes", "joined", "plain", "some"]

SOME = 12  # the number of batches to compare, as a sampler may be infinite
bad_batch_sizes = pytest.mark.parametrize("batch_size", [0, -1, True, 2.5, "3"])


def plain(x: Any) -> Any:
    """Replace the arrays of a tree by (dtype, shape, list), so that ``==`` compares batches, values and kinds.

    >>> plain((np.arange(3), "a", True))
    (('int64', (3,), [0, 1, 2]), 'a', ('bool', True))
    """
    if isinstance(x, tuple):
        return tuple(plain(part) for part in x)
    if isinstance(x, list):
        return [plain(part) for part in x]
    if isinstance(x, dict):
        return {key: plain(part) for key, part in x.items()}
    if isinstance(x, np.ma.MaskedArray):
        return "masked", x.shape if x is np.ma.masked else plain(x.filled()), plain(np.ma.getmaskarray(x))
    if hasattr(x, "__array__") or hasattr(x, "__array_interface__"):
        array = np.asarray(x)
        if array.dtype.hasobject and array.dtype.names is None:
            return "object", array.shape, [plain(each) for each in array.ravel().tolist()]
        nan_is_nan = np.where(array != array, "nan", array.astype(object))
        return str(array.dtype), array.shape, nan_is_nan.tolist()
    if isinstance(x, (bool, int, float, complex)):  # True, 1 and 1.0 are equal, but of several kinds
        return type(x).__name__, x if x == x else "nan"
    return x


def some(batches: Iterable[Any]) -> list[Any]:
    """The first few batches, in a form that ``==`` compares."""
    return [plain(batch) for batch in itertools.islice(batches, SOME)]


def joined(batches: Iterable[Any]) -> list[int]:
    return [int(index) for batch in batches for index in batch]
