"""Several array-likes as one, end to end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine import arena
from ..engine.checks import INTEGERS, Indices
from .base import row_indices
from .held import adapted
from .reading import RowBlocks, groups

__all__ = ["Concatenated", "in_numpy"]


class Concatenated:
    """Several array-likes, such as the data sets of many files, as one. Nothing is copied.

    Parameters
    ----------
    arrays : list of array-like
        All with the same data type and the same shape of samples.

    Raises
    ------
    ValueError
        If the list is empty, or if types or shapes differ.

    Examples
    --------
    >>> both = Concatenated([np.arange(3), np.arange(10, 12)])
    >>> len(both), both[[4, 0, 1]].tolist()
    (5, [11, 0, 1])
    """

    def __init__(self, arrays: Sequence[Any]) -> None:
        self.arrays = [in_numpy(adapted(f"arrays[{i}]", array)) for i, array in enumerate(arrays)]
        if not self.arrays:
            raise ValueError("arrays should hold at least one array-like, but it is empty")
        self._kind = _one_kind(self.arrays)
        self._spans = RowBlocks(sum(map(len, self.arrays)), np.array([len(array) for array in self.arrays], np.intp))

    @property
    def shape(self) -> tuple[int, ...]:
        """The total number of samples, and the shape of each."""
        return (self._spans.length, *(self._kind[0] if self._kind else ()))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The data type of the batches."""
        return self._kind[1] if self._kind else np.dtype(object)

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """The chunks of the first array; None if it has none."""
        chunks: tuple[int, ...] | None = getattr(self.arrays[0], "chunks", None)
        return chunks

    @property
    def whole_chunks(self) -> int:
        """The total number of chunks that have to be read as a whole, even for one sample."""
        return sum(getattr(array, "whole_chunks", 0) for array in self.arrays)

    def __len__(self) -> int:
        return self._spans.length

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, INTEGERS) and not isinstance(index, bool):
            (number,), (row,) = (each.tolist() for each in self._spans.located(row_indices([index], len(self))))
            return self.arrays[number][row]
        return self._read(row_indices(index, len(self)))

    def _read(self, indices: Indices) -> Any:
        numbers, rows = self._spans.located(indices)
        found = [(where, _samples(self.arrays[number], rows[where])) for number, where in groups(numbers)]
        if len(found) == 1:
            return found[0][1]
        if self._kind is not None and all(isinstance(some, np.ndarray) for _, some in found):
            out = arena.empty((len(indices), *self._kind[0]), self._kind[1])
            for where, some in found:
                out[where] = some
            return out
        return _joined(found, len(indices))

    def __repr__(self) -> str:
        return f"<Concatenated of {len(self.arrays)} arrays: {self.shape}>"

    def close(self) -> None:
        """Close the arrays that read from files."""
        for array in self.arrays:
            if hasattr(array, "close"):
                array.close()


def in_numpy(array: Any) -> Any:
    """The values of a column or frame of pandas, which would be indexed by label; anything else as it is."""
    return array.to_numpy() if hasattr(array, "iloc") else array


def _samples(array: Any, rows: Indices) -> Any:
    return [array[i] for i in rows.tolist()] if isinstance(array, (list, tuple, range)) else array[rows]


def _one_kind(arrays: list[Any]) -> tuple[tuple[int, ...], np.dtype[Any]] | None:
    """The shape and type of a sample; None if not all arrays say so."""
    if not all(hasattr(array, "shape") and hasattr(array, "dtype") for array in arrays):
        return None
    kinds = [(tuple(array.shape[1:]), array.dtype) for array in arrays]
    for i, kind in enumerate(kinds):
        if kind != kinds[0]:
            raise ValueError(
                f"arrays should have samples of one shape and type: those of arrays[0] are {kinds[0][0]} "
                f"{kinds[0][1]}, those of arrays[{i}] {kind[0]} {kind[1]}"
            )
    return kinds[0]


def _joined(found: list[tuple[Indices, Any]], n: int) -> Any:
    """Samples that make no array, in the order in which they were asked for."""
    if all(isinstance(some, list) for _, some in found):
        out: list[Any] = [None] * n
        for where, some in found:
            for place, sample in zip(where.tolist(), some, strict=True):
                out[place] = sample
        return out
    back: npt.NDArray[Any] = np.argsort(np.concatenate([where for where, _ in found]))
    parts = [some for _, some in found]
    if all(type(some).__module__.startswith("scipy.sparse") for some in parts):
        return sys.modules["scipy.sparse"].vstack(parts, format="csr")[back]
    return np.concatenate([np.asarray(some) for some in parts])[back]
