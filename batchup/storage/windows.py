"""Windows of series, such as windows of time."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.checks import INTEGERS, Indices, whole
from .base import row_indices
from .concatenated import Concatenated, in_numpy
from .held import adapted

__all__ = ["Windows"]


class Windows:
    """Windows of a series, as samples. Each window has `length` consecutive steps of the series.

    Parameters
    ----------
    series : array-like or list of array-like
        One series, or a list of several. No window crosses from one series to the next. The first axis is time.
    length : int
        The number of steps in a window.
    stride : int, default 1
        The number of steps from the beginning of one window to the beginning of the next.

    Raises
    ------
    ValueError
        If all series are shorter than a window.

    Examples
    --------
    >>> windows = Windows(np.arange(6), length=3, stride=2)
    >>> len(windows), windows[[1, 0]].tolist()
    (2, [[2, 3, 4], [0, 1, 2]])
    >>> Windows([np.arange(3), np.arange(10, 14)], length=3)[:].tolist()
    [[0, 1, 2], [10, 11, 12], [11, 12, 13]]
    """

    def __init__(self, series: Any, length: int, stride: int = 1) -> None:
        self.length, self.stride = whole("length", length), whole("stride", stride)
        several = isinstance(series, list)
        self.series = Concatenated(series) if several else in_numpy(adapted("series", series))
        lengths = [len(each) for each in self.series.arrays] if several else [len(self.series)]
        counts = np.array([max((n - self.length) // self.stride + 1, 0) for n in lengths], np.intp)
        if not counts.sum():
            raise ValueError(
                f"length should be at most {max(lengths)}, the length of the longest series, not {self.length}"
            )
        # the first window of each series, and what to add to its number times stride to have where it begins
        self._first = np.concatenate([[0], np.cumsum(counts)])
        self._begin = np.concatenate([[0], np.cumsum(lengths)[:-1]]) - self._first[:-1] * self.stride

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of windows, the length of each, and the shape of one step."""
        return (len(self), self.length, *self.series.shape[1:])

    @property
    def whole_chunks(self) -> int:
        """The number of chunks of the series that have to be read as a whole, even for one sample."""
        return getattr(self.series, "whole_chunks", 0)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The data type of the batches."""
        dtype: np.dtype[Any] = self.series.dtype
        return dtype

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """The number of windows that begin in a chunk of the series, and their shape; None without chunks."""
        chunks = getattr(self.series, "chunks", None)
        return None if chunks is None else (max(chunks[0] // self.stride, 1), *self.shape[1:])

    def __len__(self) -> int:
        return int(self._first[-1])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, INTEGERS) and not isinstance(index, bool):
            (begin,) = self._begins(row_indices([index], len(self))).tolist()
            return self.series[np.arange(begin, begin + self.length)]
        begins = self._begins(row_indices(index, len(self)))
        places = np.add.outer(begins, np.arange(self.length)).reshape(-1)
        some = self.series[places]
        return some.reshape(len(begins), self.length, *some.shape[1:])

    def _begins(self, windows: Indices) -> Indices:
        number = np.searchsorted(self._first, windows, "right") - 1
        begins: Indices = windows * self.stride + self._begin[number]
        return begins

    def close(self) -> None:
        """Close the series, if it reads from a file."""
        if hasattr(self.series, "close"):
            self.series.close()

    def __repr__(self) -> str:
        return f"<Windows of {self.length} steps: {self.shape}>"
