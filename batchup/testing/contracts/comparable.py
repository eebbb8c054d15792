"""What the contracts compare, and what they try."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

__all__ = ["SOME", "bad_batch_sizes", "joined", "plain", "some"]

SOME = 12  # batches to look at, where there may be no end
bad_batch_sizes = pytest.mark.parametrize("batch_size", [0, -1, True, 2.5, "3"])


def plain(x: Any) -> Any:
    """The same tree with lists for arrays, each beside its dtype and shape, so that ``==`` compares batches.

    >>> plain((np.arange(3), "a"))
    (('int64', (3,), [0, 1, 2]), 'a')
    """
    if isinstance(x, tuple):
        return tuple(plain(part) for part in x)
    if isinstance(x, list):
        return [plain(part) for part in x]
    if isinstance(x, dict):
        return {key: plain(part) for key, part in x.items()}
    if hasattr(x, "__array__") or hasattr(x, "__array_interface__"):
        array = np.asarray(x)
        nan_is_nan = np.where(array != array, "nan", array.astype(object))
        return str(array.dtype), array.shape, nan_is_nan.tolist()
    return x


def some(batches: Iterable[Any]) -> list[Any]:
    """The first few, in a form that ``==`` compares."""
    return [plain(batch) for batch in itertools.islice(batches, SOME)]


def joined(batches: Iterable[Any]) -> list[int]:
    return [int(index) for batch in batches for index in batch]
