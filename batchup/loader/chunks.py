"""Count the chunks of files that a run reads, and warn if a shuffle reads them again and again."""

from __future__ import annotations

import warnings

from ..data_source import AbstractDataSource

__all__ = ["ChunkReads"]

OFTEN = 3  # a loader warns if an epoch reads a chunk more than this many times on average


class ChunkReads:
    """Counts the chunks that a run has read, or found in a cache. Warns once if an epoch reads chunks repeatedly.

    Parameters
    ----------
    source : data source

    Attributes
    ----------
    hits, misses : int
        Of all delivered batches.
    repeated : str
        A message about chunks that were read repeatedly. Empty if none were.
    """

    def __init__(self, source: AbstractDataSource) -> None:
        self.hits = self.misses = 0
        self.repeated = ""
        self._source = source
        self._epoch = -1
        self._batches = self._misses = 0  # of this epoch

    def note(self, epoch: int, hits: int, misses: int) -> None:
        """Count the chunks of a delivered batch."""
        if epoch != self._epoch:
            self._epoch, self._batches, self._misses = epoch, 0, 0
        self.hits += hits
        self.misses += misses
        self._batches += 1
        self._misses += misses
        if misses and not self.repeated and self._misses > OFTEN * (n := self._source.traits.whole_chunks) > 0:
            self.repeated = (
                f"the data is in {n:,} chunks, each of which is read and decompressed whole, and {self._batches:,} "
                f"batches of an epoch have read {self._misses:,} chunks, {self._misses // self._batches:,} per batch, "
                "as their samples are far apart"
            )
            warnings.warn(f"{self.repeated}; {ADVICE}", stacklevel=5)


ADVICE = (
    "sampler=BlockSampler.of(array, window=32) in the source shuffles so that an epoch reads each chunk once, and "
    "cache=… of the array keeps more of them"
)
