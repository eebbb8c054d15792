"""Data sources: where batches come from.

A source that fetches samples by index splits the work in two. A *plan* yields picks: small objects that say which
samples make each batch. A *fetch* turns one pick into a batch. The plan runs in order in one thread, and all random
choices are made there. A fetch depends on its pick alone, so any worker can run it.
"""

from typing import TYPE_CHECKING

from ..engine import tree as _tree
from ..engine.on_use import on_use
from ..engine.tree import Batch, Pick

if TYPE_CHECKING:
    from .arrays import ArrayDataSource, RandomAccessDataSource
    from .base import AbstractDataSource, MapDataSource, RandomMapDataSource
    from .batches import BatchIterator
    from .choice import ChoiceDataSource
    from .coerce import coerce_data_source
    from .composite import CompositeDataSource
    from .concat import ConcatDataSource
    from .items import ParallelItems
    from .iterators import CallableDataSource, IteratorDataSource
    from .member_plans import ChoiceBatch
    from .padding import pad
    from .plan import IndexPlan, Plan, RandomPick, Traits
    from .results import batch_map_concat, batch_map_mean
    from .rows import ArrayLike

__all__ = [
    "AbstractDataSource",
    "ArrayDataSource",
    "ArrayLike",
    "Batch",
    "BatchIterator",
    "CallableDataSource",
    "ChoiceBatch",
    "ChoiceDataSource",
    "CompositeDataSource",
    "ConcatDataSource",
    "IndexPlan",
    "IteratorDataSource",
    "MapDataSource",
    "ParallelItems",
    "Pick",
    "Plan",
    "RandomAccessDataSource",
    "RandomMapDataSource",
    "RandomPick",
    "Traits",
    "batch_map_concat",
    "batch_map_mean",
    "coerce_data_source",
    "pad",
]

# Programs for batchup 0.2 call these.
_length_of_batch = _tree.length
_trim_batch = _tree.trim

__getattr__, __dir__ = on_use(
    __name__,
    {
        "arrays": ["ArrayDataSource", "RandomAccessDataSource"],
        "base": ["AbstractDataSource", "MapDataSource", "RandomMapDataSource"],
        "batches": ["BatchIterator"],
        "choice": ["ChoiceDataSource"],
        "coerce": ["coerce_data_source"],
        "composite": ["CompositeDataSource"],
        "concat": ["ConcatDataSource"],
        "items": ["ParallelItems"],
        "iterators": ["CallableDataSource", "IteratorDataSource"],
        "member_plans": ["ChoiceBatch"],
        "padding": ["pad"],
        "plan": ["IndexPlan", "Plan", "RandomPick", "Traits"],
        "results": ["batch_map_concat", "batch_map_mean"],
        "rows": ["ArrayLike"],
    },
)
