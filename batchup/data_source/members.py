"""What composites and choices have in common: sources inside a source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..engine.checks import kind_of, no_keywords
from ..engine.shuffle import Shuffle, as_rng
from ..engine.tree import Batch
from .base import AbstractDataSource
from .coerce import as_data_source
from .interface import warn_of_own_batches, with_shuffle
from .plan import Plan, Traits

__all__ = ["as_members", "batches_of", "plans_of", "should_be_listed", "traits_of_all"]


def as_members(datasets: Sequence[Any]) -> tuple[AbstractDataSource, ...]:
    """The argument `datasets` of a composite or a choice, as data sources."""
    should_be_listed(datasets)
    members = tuple(as_data_source(ds, f"datasets[{i}]") for i, ds in enumerate(datasets))
    if not members:
        raise ValueError("datasets should hold at least one data source, but there is none")
    if all(ds.is_random_access for ds in members):
        for ds in members:
            warn_of_own_batches(ds, "a source over several ones")
    return members


def should_be_listed(datasets: Any) -> None:
    """Refuse a single source in place of a list of them."""
    if isinstance(datasets, AbstractDataSource):
        raise TypeError(f"datasets should be a list of data sources, [a, b], not {kind_of(datasets)}")


def traits_of_all(datasets: Sequence[AbstractDataSource]) -> Traits:
    """The traits of the whole: it has a trait if one of the members has it."""
    each = [ds.traits for ds in datasets]
    return Traits(
        takes_keywords=any(traits.takes_keywords for traits in each),
        may_use_global_rng=any(traits.may_use_global_rng for traits in each),
        has_unequal_parts=any(traits.has_unequal_parts for traits in each),
        whole_chunks=sum(traits.whole_chunks for traits in each),
    )


def plans_of(datasets: Sequence[AbstractDataSource], sizes: Sequence[int], kwargs: dict[str, Any]) -> list[Plan]:
    """The plan of each member, for a batch size of its own."""
    given = _keywords_of_each(datasets, kwargs)
    return [ds.plan(size, **keywords) for ds, size, keywords in zip(datasets, sizes, given, strict=True)]


def batches_of(
    datasets: Sequence[AbstractDataSource], sizes: Sequence[int], shuffle: Shuffle, kwargs: dict[str, Any]
) -> list[Iterator[Batch]]:
    """The batches of each member. One generator shuffles all of them."""
    rng, given = as_rng(shuffle), _keywords_of_each(datasets, kwargs)
    return [
        ds.batch_iterator(size, **with_shuffle(rng, keywords))
        for ds, size, keywords in zip(datasets, sizes, given, strict=True)
    ]


def _keywords_of_each(datasets: Sequence[AbstractDataSource], kwargs: dict[str, Any]) -> list[dict[str, Any]]:
    """The keywords for each member, none for one that accepts none. If no member accepts any, this raises an error."""
    takes = [ds.traits.takes_keywords for ds in datasets]
    if not any(takes):
        no_keywords("batch_iterator", kwargs, ["batch_size", "shuffle"])
    return [kwargs if each else {} for each in takes]
