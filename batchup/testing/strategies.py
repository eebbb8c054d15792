"""Hypothesis strategies: batch sizes, shuffles, samplers, and data sources of every kind."""

from __future__ import annotations

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
    standard = st.builds(StandardSampler, st.just(n_samples), repeats=_repeats(n_samples))
    if not n_samples:
        return standard
    each = [standard, _subsets(n_samples, min_size=0).flatmap(_subset_samplers)]
    if weighted:
        each += [
            st.builds(WeightedSampler, _weights(n_samples)),
            _subsets(n_samples, min_size=1).flatmap(
                lambda indices: st.builds(WeightedSubsetSampler, _weights(len(indices)), st.just(indices))
            ),
        ]
    return st.one_of(each)


@st.composite
def array_sources(draw: st.DrawFn, max_length: int = 20, weighted: bool = False) -> ArrayDataSource:
    """Sources over one to three arrays with any sampler. The first array numbers the samples.

    Parameters
    ----------
    max_length : int, default 20
        The largest number of samples.
    weighted : bool, default False
        Whether to include weighted samplers, which cannot be used in order.
    """
    n = draw(lengths(max_length))
    arrays = [
        np.arange(n),
        np.linspace(0, 1, n * 3, dtype=np.float32).reshape(n, 3),
        [f"sample {i}" for i in range(n)],
    ]
    return ArrayDataSource(
        arrays[: draw(st.integers(1, 3))],
        sampler=draw(samplers(n, weighted)),
        include_indices=draw(st.booleans()),
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
    combined = _combined_or_random if random else _combined
    every = st.recursive(array_sources(max_length, weighted), combined, max_leaves=5)
    if batch_size is None or batch_size < 2:
        return every
    return every | _side_by_side(every, batch_size)


def named_sources(max_length: int = 20) -> st.SearchStrategy[AbstractDataSource]:
    """Random-access sources whose batches are dicts.

    Parameters
    ----------
    max_length : int, default 20
        The largest number of samples.
    """
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


@st.composite
def _side_by_side(draw: st.DrawFn, parts: st.SearchStrategy[AbstractDataSource], batch_size: int) -> AbstractDataSource:
    """Two sources whose batches together have `batch_size` samples."""
    first = draw(st.integers(1, batch_size - 1))
    sizes = first, batch_size - first
    return CompositeDataSource([draw(parts), draw(parts)], flatten=draw(st.booleans()), batch_sizes=sizes)


def _named(ds: ArrayDataSource) -> ArrayDataSource:
    fields = {f"field {i}": array for i, array in enumerate(ds.data)}
    return ArrayDataSource(fields, sampler=ds.sampler, include_indices=ds.include_indices)


def _shuffled(*kinds: Kind) -> st.SearchStrategy[Shuffled]:
    return st.builds(Shuffled, st.sampled_from(kinds), st.integers(0, 2**32 - 1))


def _repeats(n_samples: int) -> st.SearchStrategy[int]:
    return st.sampled_from([1, 2, 3, -1] if n_samples else [1, 2, 3])


def _subsets(n_samples: int, min_size: int) -> st.SearchStrategy[list[int]]:
    """Indices of some samples, in any order, possibly repeated."""
    return st.lists(st.integers(0, n_samples - 1), min_size=min_size, max_size=2 * n_samples)


def _subset_samplers(indices: list[int]) -> st.SearchStrategy[AbstractSampler]:
    return st.builds(SubsetSampler, st.just(np.array(indices, dtype=np.intp)), repeats=_repeats(len(indices)))


def _weights(n: int) -> st.SearchStrategy[list[float]]:
    return st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0, 100.0]), min_size=n, max_size=n).filter(any)
