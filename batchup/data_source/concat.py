"""Several sources as one: joined end to end, or mixed by weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .. import sampling
from ..engine import tree
from ..engine.arena import empty
from ..engine.checks import INTEGERS, Indices
from ..engine.fixed import MAKE_A_NEW_ONE, read_only
from ..engine.initialised import is_of_batchup
from ..engine.stacking import PLAIN, UnlikeKindsError, common_dtype, concatenate
from ..engine.tree import Batch, Pick
from ..errors import noted
from .arrays import RandomAccessDataSource
from .coerce import as_data_source
from .interface import warn_of_own_batches
from .members import should_be_listed
from .plan import Traits

__all__ = ["ConcatDataSource"]


class ConcatDataSource(RandomAccessDataSource):
    """The samples of several sources in one index space: those of the first, then those of the second, and so on.

    If it is shuffled, a batch has samples of all sources, in proportion to their sizes or, with `weights`, to these.

    Parameters
    ----------
    datasets : sequence of data sources
        They must fetch by index, be finite, and give batches with the same fields. If one has a sampler of your own,
        its samples are those that the sampler gives in order, each once.
    indices, repeats, sampler
        As for `ArrayDataSource`, over the samples of all sources.
    include_indices : bool, default False
        Begin each batch with the array of its indices; in a dict it is called ``"indices"``.
    weights : sequence of float, optional
        Draw the source of each sample in proportion to these. An epoch has a fixed number of samples of each source, in
        random order. The samples of a source come in shuffled cycles, each once per cycle.
    alpha : float, optional
        In place of `weights`: the size of each source to the power of `alpha`. 1 mixes the sources in proportion to
        their sizes, 0 equally.
    stop : {"first", "all"} or int, default "first"
        When an epoch ends, with `weights` or `alpha`. "first": before any source would start again; "all": when each
        source has come to its end at least once; an int: after so many samples.

    Raises
    ------
    TypeError
        If a source does not fetch by index or is infinite, or if the fields of the sources are of different kinds.

    Examples
    --------
    >>> from batchup import ArrayDataSource
    >>> a, b = ArrayDataSource([np.arange(3)]), ArrayDataSource([np.arange(10, 12)])
    >>> [x.tolist() for (x,) in ConcatDataSource([a, b]).batch_iterator(2)]
    [[0, 1], [2, 10], [11]]
    >>> mixed = ConcatDataSource([a, b], weights=[0.75, 0.25], stop="all")
    >>> [x.tolist() for (x,) in mixed.batch_iterator(4, shuffle=7)]
    [[0, 2, 1, 10], [2, 11, 0, 1]]
    """

    _fixed: ClassVar[Mapping[str, str]] = {
        **RandomAccessDataSource._fixed,
        **dict.fromkeys(["datasets", "ends"], MAKE_A_NEW_ONE),
    }
    _arrays = ("ends",)

    def __init__(
        self,
        datasets: Sequence[Any],
        indices: Any = None,
        repeats: int = 1,
        sampler: sampling.AbstractSampler | None = None,
        include_indices: bool = False,
        *,
        weights: npt.ArrayLike | None = None,
        alpha: float | None = None,
        stop: sampling.Stop | int | None = None,
    ) -> None:
        should_be_listed(datasets)
        self.datasets = tuple(as_data_source(ds, f"datasets[{i}]") for i, ds in enumerate(datasets))
        if not self.datasets:
            raise ValueError("datasets should hold at least one data source, but there is none")
        for ds in self.datasets:
            warn_of_own_batches(ds, "a source over several ones", stacklevel=3)
        lengths = [_length_of(ds, i) for i, ds in enumerate(self.datasets)]
        self._orders = tuple(_order_of(ds, i, n) for i, (ds, n) in enumerate(zip(self.datasets, lengths, strict=True)))
        self.ends = read_only(np.cumsum(lengths))
        if weights is not None or alpha is not None:
            given = {"indices": indices is not None, "repeats": repeats != 1, "sampler": sampler is not None}
            for name in [name for name, is_given in given.items() if is_given]:
                raise ValueError(f"{name} should be left out when there are weights, which say what comes how often")
            sampler = sampling.MixtureSampler(lengths, weights, alpha, "first" if stop is None else stop)
        elif stop is not None:
            raise ValueError(f"stop should be left out without weights or alpha, not {stop!r}")
        super().__init__(int(self.ends[-1]), indices, repeats, sampler, include_indices)

    @property
    def traits(self) -> Traits:
        drawing = any(ds.traits.may_use_global_rng for ds in self.datasets)
        chunks = sum(ds.traits.whole_chunks for ds in self.datasets)
        return Traits(takes_keywords=False, may_use_global_rng=drawing, whole_chunks=chunks)

    def _single(self, index: int) -> Batch:
        """One sample, without the axis of a batch."""
        i = int(self.ends.searchsorted(index, side="right"))
        return self._fetched(i, index - int(self.ends[i - 1] if i else 0))

    def _fetched(self, i: int, positions: Any) -> Batch:
        """The samples of a member at these positions among its own."""
        member, order = self.datasets[i], self._orders[i]
        if order is None:
            return member.samples_by_indices(positions)
        return member.samples_by_indices_nomapping(order[positions])

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
            parts.append(self._fetched(i, chosen[place] - starts[i]))
            places.append(place)
        batch = parts[0] if len(parts) == 1 else self._together(parts, places, np.unique(sources).tolist())
        if not self.include_indices:
            return batch
        return {"indices": chosen.copy(), **batch} if isinstance(batch, dict) else (chosen.copy(), *batch)

    def _together(self, parts: list[Batch], places: list[Indices], numbers: list[int]) -> Batch:
        try:
            return tree.map_leaves(lambda *some: _put(some, places), *parts)
        except UnlikeKindsError as error:
            names = " and ".join(f"datasets[{i}]" for i in numbers)
            raise noted(error, f"while joining samples of {names}, whose fields should be of one kind") from None


# the samplers of an epoch that has each sample once
ORDERS = (
    *(sampling.StandardSampler, sampling.SubsetSampler, sampling.LazyShuffleSampler),
    *(sampling.BlockSampler, sampling.BucketSampler),
)


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
    return int(n)


def _order_of(source: Any, i: int, n: int) -> Indices | None:
    """The indices of the samples of a member with a sampler of the user's, in order; None with one of batchup's."""
    inner = source
    while hasattr(inner, "source"):
        inner = inner.source
    sampler = getattr(inner, "sampler", None)
    kind = sampler.sampler if isinstance(sampler, sampling.MappedSampler) else sampler
    if kind is None or (isinstance(kind, ORDERS) and getattr(kind, "repeats", 1) == 1):
        return None
    indices = None if is_of_batchup(type(kind)) or getattr(kind, "takes_weights", False) else _in_order(sampler, n)
    if indices is None:
        raise TypeError(
            f"datasets[{i}] should give each of its samples once, but its sampler is {sampler!r}: leave it out there, "
            "and give the ConcatDataSource a sampler over the samples of all sources"
        )
    return indices


def _in_order(sampler: Any, n: int) -> Indices | None:
    """The indices that a sampler gives in order; None if these are not `n` different ones, or if it has no order."""
    parts: list[Indices] = []
    try:
        for part in sampler.in_order_indices_batch_iterator(max(n, 1)):
            parts.append(np.asarray(part))
            if sum(map(len, parts)) > n:
                return None
    except NotImplementedError:
        return None
    indices: Indices = np.concatenate(parts) if parts else np.empty(0, np.intp)
    return read_only(indices) if n == len(indices) == len(np.unique(indices)) else None


def _put(parts: Sequence[Any], places: Sequence[Indices]) -> Any:
    """The samples of several parts, put together in the right order."""
    n = sum(map(len, places))
    arrays = all(isinstance(part, np.ndarray) for part in parts)
    if arrays and len({part.shape[1:] for part in parts}) == 1:
        if not all(type(part) in PLAIN for part in parts):  # such as masked arrays
            return concatenate(parts)[np.concatenate(places).argsort()]
        out = empty((n, *parts[0].shape[1:]), common_dtype(parts))
        for part, place in zip(parts, places, strict=True):
            out[place] = part
        return out
    samples: list[Any] = [None] * n
    for part, place in zip(parts, places, strict=True):
        for at, sample in zip(place.tolist(), part, strict=True):
            samples[at] = sample
    return samples
