"""The batches of an iterable dataset: each worker has an iterator of its own, and they take turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .fetch import ENDED

__all__ = ["Turns", "counts_of"]


class Turns(Iterator[Any]):
    """One result of each stream in turn, without those that have ended.

    Parameters
    ----------
    streams : sequence of iterators
        Each yields its results, and then `ENDED` for ever.
    step : int
        How many results were already delivered.
    ended : list of int or None
        The total number of results of each stream, if it is known.
    """

    def __init__(self, streams: Sequence[Iterator[Any]], step: int, ended: list[int | None]) -> None:
        self._streams, self._step, self.ended = streams, step, ended
        self._counts = counts_of(step, ended)
        self._turn = turn_of(step, ended)

    def __next__(self) -> Any:
        while True:
            open_ones = [i for i, n in enumerate(self.ended) if n is None or self._counts[i] < n]
            if not open_ones:
                raise StopIteration
            turn = min(open_ones, key=lambda i: (i - self._turn) % len(self.ended))
            try:
                result = next(self._streams[turn])
            except Exception:  # it has a turn like any other
                self._passed(turn)
                raise
            if result is not ENDED and result != ENDED:
                step = self._step
                self._passed(turn)
                batch, epoch, _, *rest = result
                return batch, epoch, step, *rest
            self.ended[turn] = self._counts[turn]

    def close(self) -> None:
        """No more results will be requested."""
        for stream in self._streams:
            if hasattr(stream, "close"):
                stream.close()

    def _passed(self, turn: int) -> None:
        self._counts[turn] += 1
        self._step += 1
        self._turn = (turn + 1) % len(self.ended)


def counts_of(step: int, ended: Sequence[int | None]) -> list[int]:
    """How many results each stream gave, when all gave `step`.

    >>> counts_of(5, [None, 1, None])
    [2, 1, 2]
    """
    return _played(step, ended)[0]


def turn_of(step: int, ended: Sequence[int | None]) -> int:
    """Whose turn it is after `step` results.

    >>> turn_of(5, [None, 1, None])
    0
    """
    return _played(step, ended)[1]


def _played(step: int, ended: Sequence[int | None]) -> tuple[list[int], int]:
    counts, turn = [0] * len(ended), 0
    while step and any(n is None or count < n for count, n in zip(counts, ended, strict=True)):
        n = ended[turn]
        if n is None or counts[turn] < n:
            counts[turn] += 1
            step -= 1
        turn = (turn + 1) % len(ended)
    return counts, turn
