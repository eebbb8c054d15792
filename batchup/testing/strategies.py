"""Hypothesis strategies: batch sizes, shuffles, samplers, and data sources of every kind."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from hypothesis import strategies as st

from ..data_source import (
    AbstractDataSource,
    ArrayDataSource,
    Batch,
    ChoiceDataSource,
    CompositeDataSource,
)
from ..engine import tree
from ..sampling import AbstractSampler, StandardSampler, SubsetSampler, WeightedSampler, WeightedSubsetSampler

__all__ = [
    "Shuffled",
    "array_sources",
    "batch_sizes",
    "lengths",
    "named_sources",
    "rngs",
    "samplers",
    "shuffles",
    "sources",
]

Kind = Literal["in order", "RandomState", "Generator", "SeedSequence", "int"]


@dataclass(frozen=True)
class Shuffled:
    """Makes a fresh value for `shuffle` at each call, so that the same order can be drawn several times.

    Parameters
    ----------
    kind : {"in order", "RandomState", "Generator", "SeedSequence", "int"}
    seed : int

    Examples
    --------
    >>> fresh = Shuffled("RandomState", 12345)
    >>> fresh().permutation(5).tolist() == fresh().permutation(5).tolist()
    True
    """

    kind: Kind
    seed: int

    def __call__(self) -> Any:
        match self.kind:
            case "in order":
                return None
            case "RandomState":
                return np.random.RandomState(self.seed)
            case "Generator":
                return np.random.default_rng(self.seed)
            case "SeedSequence":
                return np.random.SeedSequence(self.seed)
            case "int":
                return self.seed


def lengths(max_size: int = 40) -> st.SearchStrategy[int]:
    """Numbers of samples: 0 to `max_size`."""
    return st.integers(0, max_size)


def batch_sizes(max_size: int = 50) -> st.SearchStrategy[int]:
    """Batch sizes: 1 to `max_size`, so that some are larger than the data."""
    return st.integers(1, max_size)


def shuffles(in_order: bool = True) -> st.SearchStrategy[Shuffled]:
    """Every kind of value for `shuffle`, as a `Shuffled`: call it to get a fresh value.

    Parameters
    ----------
    in_order : bool, default True
        Whether to include None, which keeps the order.
    """
    kinds: list[Kind] = ["in order", "RandomState", "Generator", "SeedSequence", "int"]
    return _shuffled(*kinds[0 if in_order else 1 :])


def rngs() -> st.SearchStrategy[Shuffled]:
    """Random number generators of both kinds, as a `Shuffled`: call it to get a fresh one."""
    return _shuffled("RandomState", "Generator")


def samplers(n_samples: int, weighted: bool = True) -> st.SearchStrategy[AbstractSampler]:
    """Samplers for data of `n_samples` samples; some are infinite.

    Parameters
    ----------
    n_samples : int
    weighted : bool, default True
        Whether to include weighted samplers, which cannot be used in order.

    Examples
    --------
    >>> import itertools
    >>> from hypothesis import given
    >>> @given(samplers(5), batch_sizes(), rngs())
    ... def all_indices_are_samples(sampler, batch_size, fresh):
    ...     for batch in itertools.islice(sampler.shuffled_indices_batch_iterator(batch_size, fresh()), 3):
    ...         assert (batch < 5).all()
    >>> all_indices_are_samples()
    """
    return _samplers(n_samples, weighted)


# Hypothesis validates a strategy when it first draws from it, which takes longer than to draw: each is made once.


@functools.cache
def _samplers(n_samples: int, weighted: bool) -> st.SearchStrategy[AbstractSampler]:
    standard = st.builds(StandardSampler, st.just(n_samples), repeats=_repeats(n_samples))
    if not n_samples:
        return standard
    index = st.integers(0, n_samples - 1)
    subsets = st.lists(index, max_size=2 * n_samples)  # in any order, possibly repeated
    each = [standard, st.builds(_subset_sampler, subsets, _repeats(n_samples))]
    if weighted:
        weights = st.lists(_WEIGHTS, min_size=n_samples, max_size=n_samples).filter(any)
        pairs = st.lists(st.tuples(_WEIGHTS, index), min_size=1, max_size=2 * n_samples)
        each += [st.builds(WeightedSampler, weights), pairs.filter(_has_weight).map(_weighted_subset_sampler)]
    return st.one_of(each)


def array_sources(max_length: int = 20, weighted: bool = False) -> st.SearchStrategy[ArrayDataSource]:
    """Sources over one to three arrays with any sampler. The first array numbers the samples.

    Parameters
    ----------
    max_length : int, default 20
        The largest number of samples.
    weighted : bool, default False
        Whether to include weighted samplers, which cannot be used in order.
    """
    return _array_sources(max_length, weighted)


@functools.cache
def _array_sources(max_length: int, weighted: bool) -> st.SearchStrategy[ArrayDataSource]:
    return _drawn_array_sources(lengths(max_length), st.integers(1, 3), st.booleans(), weighted)


@st.composite
def _drawn_array_sources(
    draw: st.DrawFn,
    lengths: st.SearchStrategy[int],
    fields: st.SearchStrategy[int],
    include_indices: st.SearchStrategy[bool],
    weighted: bool,
) -> ArrayDataSource:
    n = draw(lengths)
    arrays = [
        np.arange(n),
        np.linspace(0, 1, n * 3, dtype=np.float32).reshape(n, 3),
        [f"sample {i}" for i in range(n)],
    ]
    return ArrayDataSource(
        arrays[: draw(fields)], sampler=draw(_samplers(n, weighted)), include_indices=draw(include_indices)
    )


def sources(
    max_length: int = 20, weighted: bool = False, random: bool = False, batch_size: int | None = None
) -> st.SearchStrategy[AbstractDataSource]:
    """Random-access sources: arrays, and nested maps, composites and choices of them. Some are infinite.

    Parameters
    ----------
    max_length : int, default 20
        The largest number of samples of one array.
    weighted : bool, default False
        Whether to include weighted samplers, which cannot be used in order.
    random : bool, default False
        Whether to include sources with a `random_map`, and choices by weight. Without a `shuffle`, each pass over these
        gives other batches.
    batch_size : int, optional
        If given, some sources are composites with `batch_sizes` that sum to it. They take this batch size only.

    Examples
    --------
    >>> import itertools
    >>> from hypothesis import given
    >>> @given(sources(), batch_sizes())
    ... def a_batch_is_a_tuple(ds, batch_size):
    ...     for batch in itertools.islice(ds.batch_iterator(batch_size), 3):
    ...         assert isinstance(batch, tuple)
    >>> a_batch_is_a_tuple()
    """
    if batch_size is None or batch_size < 2:
        return _sources(max_length, weighted, random)
    return _sources_for(batch_size, max_length, weighted, random)


@functools.cache
def _sources(max_length: int, weighted: bool, random: bool) -> st.SearchStrategy[AbstractDataSource]:
    combined = _combined_or_random if random else _combined
    return st.recursive(array_sources(max_length, weighted), combined, max_leaves=5)


@functools.cache
def _sources_for(
    batch_size: int, max_length: int, weighted: bool, random: bool
) -> st.SearchStrategy[AbstractDataSource]:
    every = _sources(max_length, weighted, random)
    return every | st.builds(
        _side_by_side, every, every, st.booleans(), st.integers(1, batch_size - 1), st.just(batch_size)
    )


def named_sources(max_length: int = 20) -> st.SearchStrategy[AbstractDataSource]:
    """Random-access sources whose batches are dicts.

    Parameters
    ----------
    max_length : int, default 20
        The largest number of samples.
    """
    return _named_sources(max_length)


@functools.cache
def _named_sources(max_length: int) -> st.SearchStrategy[AbstractDataSource]:
    named = array_sources(max_length).map(_named)
    return named | st.builds(lambda ds, fn: ds.map(fn), named, st.just(reversed_fields))


def reversed_samples(*batch: Batch) -> Batch:
    """The batch with its samples in reverse order."""
    return tree.map_leaves(lambda leaf: leaf[::-1], batch)


def twice(*batch: Batch) -> Batch:
    """The batch with all its fields repeated."""
    return batch + batch


def reversed_fields(batch: dict[str, Any]) -> Batch:
    """A batch that is a dict, with its samples in reverse order."""
    return tree.map_leaves(lambda leaf: leaf[::-1], batch)


def with_random_float(*batch: Batch, rng: np.random.Generator) -> Batch:
    """The batch, with one random float per sample."""
    return *batch, rng.random(tree.length(batch))


def with_random_integer(*batch: Batch, rng: np.random.Generator) -> Batch:
    """The batch, with one random integer per sample."""
    return *batch, rng.integers(1000, size=tree.length(batch))


def _combined(parts: st.SearchStrategy[AbstractDataSource]) -> st.SearchStrategy[AbstractDataSource]:
    several = st.lists(parts, min_size=1, max_size=3)
    return st.one_of(
        st.builds(lambda ds, fn: ds.map(fn), parts, st.sampled_from([reversed_samples, twice])),
        st.builds(CompositeDataSource, several, flatten=st.booleans(), trim=st.booleans()),
        st.builds(ChoiceDataSource, several, stratified=st.booleans()),
    )


def _combined_or_random(parts: st.SearchStrategy[AbstractDataSource]) -> st.SearchStrategy[AbstractDataSource]:
    return st.one_of(
        _combined(parts),
        st.builds(
            lambda ds, fn, seed: ds.random_map(fn, seed),
            parts,
            st.sampled_from([with_random_float, with_random_integer]),
            st.none() | st.integers(0, 3),
        ),
        st.lists(st.tuples(parts, st.sampled_from([0.5, 1.0, 3.0])), min_size=1, max_size=3).map(
            lambda each: ChoiceDataSource([ds for ds, _ in each], weights=[weight for _, weight in each])
        ),
    )


def _side_by_side(
    one: AbstractDataSource, other: AbstractDataSource, flatten: bool, first: int, batch_size: int
) -> AbstractDataSource:
    """Two sources whose batches together have `batch_size` samples."""
    return CompositeDataSource([one, other], flatten=flatten, batch_sizes=(first, batch_size - first))


def _named(ds: ArrayDataSource) -> ArrayDataSource:
    fields = {f"field {i}": array for i, array in enumerate(ds.data)}
    return ArrayDataSource(fields, sampler=ds.sampler, include_indices=ds.include_indices)


@functools.cache
def _shuffled(*kinds: Kind) -> st.SearchStrategy[Shuffled]:
    return st.builds(Shuffled, st.sampled_from(kinds), st.integers(0, 2**32 - 1))


def _repeats(n_samples: int) -> st.SearchStrategy[int]:
    return st.sampled_from([1, 2, 3, -1] if n_samples else [1, 2, 3])


_WEIGHTS = st.sampled_from([0.0, 0.5, 1.0, 3.0, 100.0])


def _subset_sampler(indices: list[int], repeats: int) -> AbstractSampler:
    return SubsetSampler(np.array(indices, dtype=np.intp), repeats if indices else abs(repeats))  # nothing ends


def _has_weight(pairs: list[tuple[float, int]]) -> bool:
    return any(weight for weight, _ in pairs)


def _weighted_subset_sampler(pairs: list[tuple[float, int]]) -> AbstractSampler:
    return WeightedSubsetSampler([weight for weight, _ in pairs], [index for _, index in pairs])
