"""Batches from files: rows with a known place are read one by one, others block by block."""

from __future__ import annotations

import itertools
import math
import mmap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine import arena
from ..engine.checks import Indices
from ..errors import noted
from .cache import Rows, Share

__all__ = ["AdjacentRows", "Blocks", "Part", "RowBlocks", "ScatteredRows", "file_bytes", "groups", "runs"]

Bytes = npt.NDArray[np.uint8]


def file_bytes(path: str) -> Bytes:
    """The bytes of a file, mapped read-only."""
    with open(path, "rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


class RowBlocks:
    """Which block a row is in, and where in it.

    Parameters
    ----------
    length : int
        How many rows there are.
    rows : int or array of int
        The number of rows in each block: one number for all (the last may be shorter), or one for each.

    Examples
    --------
    >>> RowBlocks(10, 4).located(np.array([0, 5, 9]))
    (array([0, 1, 2]), array([0, 1, 1]))
    >>> RowBlocks(10, np.array([7, 3])).located(np.array([0, 9]))
    (array([0, 1]), array([0, 2]))
    """

    def __init__(self, length: int, rows: int | Indices) -> None:
        self.length = length
        self.rows = rows
        self.starts = None if isinstance(rows, int) else np.concatenate([[0], np.cumsum(rows)[:-1]]).astype(np.intp)

    def located(self, indices: Indices) -> tuple[Indices, Indices]:
        """The number of the block of each row, and its place there."""
        if self.starts is None:
            block, row = np.divmod(indices, self.rows)
            return block, row
        # of blocks without rows, which begin where the next one does, the last begins last
        block = np.searchsorted(self.starts, indices, "right") - 1
        return block, indices - self.starts[block]

    def span(self, block: int) -> tuple[int, int]:
        """The first row of a block, and the one after its last."""
        if self.starts is None:
            return block * int(self.rows), min((block + 1) * int(self.rows), self.length)
        first = int(self.starts[block])
        return first, first + int(self.rows[block])  # type: ignore[index]

    @property
    def count(self) -> int:
        """How many blocks there are."""
        return -(-self.length // self.rows) if isinstance(self.rows, int) else len(self.rows)

    @property
    def most(self) -> int:
        """How many rows the largest block has."""
        return min(self.rows, self.length) if isinstance(self.rows, int) else int(self.rows.max(initial=0))


class AdjacentRows:
    """Rows that are stored one after the other.

    Parameters
    ----------
    rows : ndarray
        C-contiguous and aligned.
    """

    chunks = None

    def __init__(self, rows: npt.NDArray[Any]) -> None:
        self.rows = rows
        self.shape = rows.shape
        self.dtype = rows.dtype

    def read(self, indices: Indices) -> npt.NDArray[Any]:
        if not arena.in_worker():
            return self.rows.take(indices, 0)
        out = arena.empty((len(indices), *self.shape[1:]), self.dtype)
        return self.rows.take(indices, 0, out, "clip")


class Part:
    """The same columns of all rows, as a file in chunks of part of the columns has them.

    Parameters
    ----------
    places : array of int
        For each chunk, where its first row begins; -1 where the file has none.
    shape : tuple of int
        Of what one row has in a chunk.
    columns : tuple of slice
        Where that goes in a sample; at the edge the chunk has more than the sample.
    """

    def __init__(self, places: Indices, shape: tuple[int, ...], columns: tuple[slice, ...] = ()) -> None:
        self.places = places
        self.shape = shape
        self.columns = (slice(None), *columns)
        self.inner = (slice(None), *(slice(each.stop - each.start) for each in columns))
        self.missing = bool((places < 0).any())


class ScatteredRows:
    """Rows at known places of a file, all of one size.

    Parameters
    ----------
    memory : array of uint8
        The file, mapped.
    shape : tuple of int
    dtype : data type
        As the file has it.
    spans : RowBlocks
        Which chunk a row is in.
    parts : list of Part
        One, unless chunks have part of the columns.
    fill : object
        The value of what the file does not have.
    chunks : tuple of int, optional
    """

    def __init__(
        self,
        memory: Bytes,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        spans: RowBlocks,
        parts: list[Part],
        fill: Any = 0,
        chunks: tuple[int, ...] | None = None,
    ) -> None:
        self.shape, self.dtype, self.chunks = shape, dtype, chunks
        self._memory, self._spans, self._parts, self._fill = memory, spans, parts, fill
        self._row_bytes = math.prod(parts[0].shape) * dtype.itemsize if parts else 0
        # an item at each byte: they overlap
        n = max(len(memory) - self._row_bytes + 1, 0)
        self._items: npt.NDArray[Any] = np.ndarray((n,), f"V{self._row_bytes}", memory, 0, (1,))

    def read(self, indices: Indices) -> npt.NDArray[Any]:
        shape = (len(indices), *self.shape[1:])
        if self._row_bytes == 0 or not len(indices):
            return arena.empty(shape, self.dtype)
        chunk, row = self._spans.located(indices)
        row *= self._row_bytes
        if len(self._parts) == 1 and not arena.in_worker():
            return self._of(self._parts[0], chunk, row)
        out = arena.empty(shape, self.dtype)
        for part in self._parts:
            out[part.columns] = self._of(part, chunk, row)[part.inner]
        return out

    def _of(self, part: Part, chunk: Indices, row: Indices) -> npt.NDArray[Any]:
        places = part.places[chunk]
        if not part.missing:
            places += row
            return self._items[places].view(self.dtype).reshape(len(row), *part.shape)
        missing = places < 0
        found = self._items[np.where(missing, 0, places + row)].view(self.dtype).reshape(len(row), *part.shape)
        found[missing] = self._fill
        return found


class Blocks:
    """Rows that are read block by block. Each block that a batch needs is read once, in the order of the file.

    Parameters
    ----------
    shape : tuple of int
    dtype : data type
    spans : RowBlocks
        Which block a row is in.
    load : callable, number of a block -> ndarray
        Reads all rows of a block.
    cache : Share
        Keeps the last ones.
    path : str
        What to call the data in an error.
    chunks : tuple of int, optional
    some : callable, rows -> ndarray, optional
        Reads a few rows, given in increasing order and without repeats. For blocks that are too large to keep.
    whole : bool, default True
        Whether a block costs much to read, even if few of its rows are asked for.

    Attributes
    ----------
    whole_chunks : int
        The number of blocks that have to be read as a whole; 0 if single rows can be read.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        spans: RowBlocks,
        load: Callable[[int], Any],
        cache: Share,
        path: str,
        chunks: tuple[int, ...] | None = None,
        some: Callable[[Indices], npt.NDArray[Any]] | None = None,
        whole: bool = True,
    ) -> None:
        self.shape, self.dtype, self.chunks, self.cache = shape, dtype, chunks, cache
        self._spans, self._load, self._path = spans, load, path
        self._row_bytes = math.prod(shape[1:]) * dtype.itemsize
        self._some = some if spans.most * self._row_bytes > max(cache.limit, 1 << 20) else None
        self.whole_chunks = spans.count if whole and self._some is None else 0

    def read(self, indices: Indices) -> npt.NDArray[Any]:
        if self._some is not None and len(indices):
            return self._few(indices, self._some)
        numbers, rows = self._spans.located(indices)
        order = np.argsort(numbers, kind="stable")
        edges = _edges(numbers[order])
        touched = numbers[order[edges[:-1]]].tolist()
        shape = (len(indices), *self.shape[1:])
        gathered = self.cache.rows(Rows(touched, edges[1:] - edges[:-1], order, rows, self._row_bytes))
        if gathered is not None:
            return arena.placed(gathered.view(self.dtype).reshape(shape))
        out = arena.empty(shape, self.dtype)
        rows = rows[order]  # block by block
        places = dict(zip(touched, itertools.pairwise(edges.tolist()), strict=False))

        def load(number: int) -> npt.NDArray[Any]:
            begin, end = places[number]
            return self._loaded(number, indices[order[begin:end]])

        found = out if len(touched) == 1 else np.empty_like(out)
        for number, block in self.cache.each(touched, load, self._form):
            begin, end = places[number]
            if end - begin == 1:
                found[begin] = block[rows.item(begin)]
            elif block.dtype == self.dtype:
                block.take(rows[begin:end], 0, found[begin:end], "clip")
            else:
                found[begin:end] = block[rows[begin:end]]
        if found is not out:
            out[order] = found
        return out

    def _form(self, number: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
        first, end = self._spans.span(number)
        return (end - first, *self.shape[1:]), self.dtype

    def _loaded(self, number: int, samples: Indices) -> npt.NDArray[Any]:
        try:
            block: npt.NDArray[Any] = self._load(number)
        except Exception as error:
            first, end = self._spans.span(number)
            asked = ", ".join(map(str, samples[:8].tolist())) + (", …" if len(samples) > 8 else "")
            noted(error, f"while reading samples {asked} of {self._path}, from its rows {first} to {end - 1}")
            raise
        return block

    def _few(self, indices: Indices, some: Callable[[Indices], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        once, places = np.unique(indices, return_inverse=True)
        out = arena.empty((len(indices), *self.shape[1:]), self.dtype)
        self.cache.note(misses=1)
        return some(once).take(places, 0, out, "clip")


def groups(numbers: Indices) -> Iterator[tuple[int, Indices]]:
    """Each number that occurs, in increasing order, with the places where it does.

    >>> [(n, places.tolist()) for n, places in groups(np.array([3, 1, 3]))]
    [(1, [1]), (3, [0, 2])]
    """
    order = np.argsort(numbers, kind="stable")
    for begin, end in itertools.pairwise(_edges(numbers[order]).tolist()):
        yield int(numbers[order[begin]]), order[begin:end]


def _edges(rising: Indices) -> Indices:
    """Where numbers that do not fall change, with both ends.

    >>> _edges(np.array([3, 3, 5])).tolist(), _edges(np.array([], int)).tolist()
    ([0, 2, 3], [0])
    """
    if not len(rising):
        return np.zeros(1, np.intp)
    return np.concatenate(([0], np.flatnonzero(rising[1:] != rising[:-1]) + 1, [len(rising)]))


def runs(rows: Indices) -> Iterator[tuple[int, int]]:
    """Runs of consecutive numbers: the first one, and one after the last.

    >>> list(runs(np.array([1, 2, 3, 7])))
    [(1, 4), (7, 8)]
    """
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    for begin, end in itertools.pairwise([0, *breaks.tolist(), len(rows)]):
        if begin < end:
            yield int(rows[begin]), int(rows[end - 1]) + 1
