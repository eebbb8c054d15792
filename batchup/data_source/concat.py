"""Several sources one behind the other, as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import sampling
from ..engine import tree
from ..engine.arena import empty
from ..engine.checks import INTEGERS, Indices
from ..engine.tree import Batch, Pick
from .arrays import RandomAccessDataSource
from .coerce import as_data_source
from .plan import Traits

__all__ = ["ConcatDataSource"]


class ConcatDataSource(RandomAccessDataSource):
    """The samples of several sources in one index space: those of the first, then those of the second, and so on.

    Shuffled, a batch has samples of all of them.

    Parameters
    ----------
    datasets : sequence of data sources
        They fetch by index, have an end, and give batches of the same fields.
    indices, repeats, sampler
        As for `ArrayDataSource`, over the samples of all sources.
    include_indices : bool, default False
        Begin each batch with the array of its indices; in a dict it is called ``"indices"``.

    Raises
    ------
    TypeError
        If a source does not fetch by index, or has no end.

    Examples
    --------
    >>> from batchup import ArrayDataSource
    >>> a, b = ArrayDataSource([np.arange(3)]), ArrayDataSource([np.arange(10, 12)])
    >>> [x.tolist() for (x,) in ConcatDataSource([a, b]).batch_iterator(2)]
    [[0, 1], [2, 10], [11]]
    """

    def __init__(
        self,
        datasets: Sequence[Any],
        indices: Any = None,
        repeats: int = 1,
        sampler: sampling.AbstractSampler | None = None,
        include_indices: bool = False,
    ) -> None:
        self.datasets = [as_data_source(ds, f"datasets[{i}]") for i, ds in enumerate(datasets)]
        if not self.datasets:
            raise ValueError("datasets should hold at least one data source, but there is none")
        lengths = [_length_of(ds, i) for i, ds in enumerate(self.datasets)]
        self.ends = np.cumsum(lengths)
        super().__init__(int(self.ends[-1]), indices, repeats, sampler, include_indices)

    @property
    def traits(self) -> Traits:
        drawing = any(ds.traits.may_use_global_rng for ds in self.datasets)
        chunks = sum(ds.traits.whole_chunks for ds in self.datasets)
        return Traits(takes_keywords=False, may_use_global_rng=drawing, whole_chunks=chunks)

    def _single(self, index: int) -> Batch:
        """One sample, without the axis of a batch."""
        i = int(self.ends.searchsorted(index, side="right"))
        return self.datasets[i].samples_by_indices(index - int(self.ends[i - 1] if i else 0))

    def samples_by_indices_nomapping(self, indices: Pick) -> Batch:
        if isinstance(indices, INTEGERS):
            return self._single(int(indices))
        chosen: Indices = np.asarray(indices)
        sources = self.ends.searchsorted(chosen, side="right")
        if len(chosen) and not 0 <= chosen.min() <= chosen.max() < self.length:
            raise IndexError(f"indices should be from 0 to {self.length - 1}, not {chosen.min()} to {chosen.max()}")
        starts = self.ends - np.diff(self.ends, prepend=0)
        parts, places = [], []
        for i in np.unique(sources).tolist() or [0]:
            place = np.flatnonzero(sources == i)
            parts.append(self.datasets[i].samples_by_indices(chosen[place] - starts[i]))
            places.append(place)
        batch = parts[0] if len(parts) == 1 else tree.map_leaves(lambda *some: _put(some, places), *parts)
        if not self.include_indices:
            return batch
        return {"indices": chosen.copy(), **batch} if isinstance(batch, dict) else (chosen.copy(), *batch)


def _length_of(source: Any, i: int) -> int:
    """How many samples a member has, if it gives each of them once, by its index alone."""
    n = source.num_samples() if source.is_random_access else None
    if n is None or n == np.inf:
        why = "it has no end" if n == np.inf else "it does not"
        raise TypeError(f"datasets[{i}] should fetch by index and have an end, but {why}: {source!r}")
    if source.plan(1).draws:
        raise TypeError(
            f"datasets[{i}] should not have a random transform: apply random_map to the ConcatDataSource, where each "
            "batch has a place in the run"
        )
    inner = source
    while hasattr(inner, "source"):
        inner = inner.source
    sampler = getattr(inner, "sampler", None)
    if sampler is not None and getattr(sampler, "length", n) != n:
        raise TypeError(f"datasets[{i}] should give each of its samples once, but its sampler is {sampler!r}")
    return int(n)


def _put(parts: Sequence[Any], places: Sequence[Indices]) -> Any:
    """The samples of several parts, each at its place."""
    n = sum(map(len, places))
    arrays = all(isinstance(part, np.ndarray) for part in parts)
    if arrays and len({part.shape[1:] for part in parts}) == 1:
        out = empty((n, *parts[0].shape[1:]), np.result_type(*parts))
        for part, place in zip(parts, places, strict=True):
            out[place] = part
        return out
    samples: list[Any] = [None] * n
    for part, place in zip(parts, places, strict=True):
        for at, sample in zip(place.tolist(), part, strict=True):
            samples[at] = sample
    return samples
