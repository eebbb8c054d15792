"""Draw indices by their probabilities, quickly even from millions of them.

Inverse-transform sampling: an index is found by searching a uniform number in the cumulative probabilities. A binary
search through millions of them misses the processor's cache at almost every step. A guide table in front of it leaves
only a few entries to search.

Measured with 10**7 weights and 256 draws (medians, drawing the uniform numbers included): uniform weights take 45 µs
with the table and 400 µs with a plain `searchsorted`; very uneven weights (uniform ** 30), 67 µs and 420 µs.
`benchmarks/weighted.py` measures it again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.checks import Indices

__all__ = ["Inverse"]


class Inverse:
    """Inverse of a cumulative distribution: from uniform numbers in [0, 1) to indices with the given probabilities.

    The result is ``numpy.cumsum(p).searchsorted(u, side="right")``, as in NumPy's own `choice`.

    From `table_above` probabilities on, a guide table speeds up the search. Entry j is the number of cumulative
    probabilities that are at most j / buckets, so a number in bucket j lies between entries j and j + 1
    (Chen and Asau, "On generating random variates from an empirical distribution", 1974).

    Parameters
    ----------
    probabilities : ndarray, 1-D
        Of 0 or more; not all 0.
    """

    table_above = 1 << 16  # a plain search through fewer stays in the processor's cache, and is faster
    max_gap = 64  # at most one draw in 16 falls into a bucket with more candidates; those get a plain search

    def __init__(self, probabilities: npt.NDArray[Any]) -> None:
        self.cumulated = probabilities.astype(np.float64).cumsum()
        self.cumulated /= self.cumulated[-1]
        n = len(self.cumulated)
        self.buckets = 1 << (n // 2).bit_length() - 1 if n > self.table_above else 0
        if self.buckets:
            edges = np.arange(self.buckets + 1) / self.buckets
            counts = self.cumulated.searchsorted(edges, side="right")
            self.table = counts.astype(np.int32 if n < 1 << 31 else np.int64)

    def __call__(self, uniform: npt.NDArray[np.float64]) -> Indices:
        if not self.buckets:
            return self.cumulated.searchsorted(uniform, side="right")
        bucket = (uniform * self.buckets).astype(np.intp)  # exact: the number of buckets is a power of two
        low = self.table[bucket].astype(np.intp)
        high = self.table[bucket + 1].astype(np.intp)
        gap = high - low
        widest = int(gap.max(initial=0))
        if widest > self.max_gap:
            far = np.flatnonzero(gap > self.max_gap)
            low[far] = high[far] = self.cumulated.searchsorted(uniform[far], side="right")
            widest = self.max_gap
        for _ in range(widest.bit_length()):  # a binary search of all draws at once
            middle = (low + high) >> 1
            above = self.cumulated[middle] <= uniform
            low = np.where(above, middle + 1, low)
            high = np.where(above, high, middle)
        return low
