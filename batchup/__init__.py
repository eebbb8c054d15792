"""Mini-batches for training: fast, reproducible, without a framework.

>>> import numpy as np
>>> from batchup import ArrayDataSource
>>> ds = ArrayDataSource([np.arange(4), np.array([0, 1, 1, 0])])
>>> for X, y in ds.batch_iterator(2, shuffle=np.random.RandomState(12345)):
...     print(X, y)
[0 3] [0 0]
[1 2] [1 1]
"""

from typing import TYPE_CHECKING

from .engine.on_use import on_use
from .version import __version__ as __version__

if TYPE_CHECKING:
    from .data_source import (
        AbstractDataSource,
        ArrayDataSource,
        CallableDataSource,
        ChoiceBatch,
        ChoiceDataSource,
        CompositeDataSource,
        ConcatDataSource,
        IteratorDataSource,
        MapDataSource,
        ParallelItems,
        RandomAccessDataSource,
        batch_map_concat,
        batch_map_mean,
        coerce_data_source,
        pad,
    )
    from .engine.arena import empty
    from .loader import Loader
    from .sampling import (
        AbstractSampler,
        BlockSampler,
        BucketSampler,
        ClassCountSampler,
        LazyShuffleSampler,
        StandardSampler,
        SubsetSampler,
        WeightedSampler,
        WeightedSubsetSampler,
        num_batches,
    )
    from .work_pool import ParallelDataSource, WorkerPool, WorkerProcessPool, WorkerThreadPool, WorkStream

__all__ = [
    "AbstractDataSource",
    "AbstractSampler",
    "ArrayDataSource",
    "BlockSampler",
    "BucketSampler",
    "CallableDataSource",
    "ChoiceBatch",
    "ChoiceDataSource",
    "ClassCountSampler",
    "CompositeDataSource",
    "ConcatDataSource",
    "IteratorDataSource",
    "LazyShuffleSampler",
    "Loader",
    "MapDataSource",
    "ParallelDataSource",
    "ParallelItems",
    "RandomAccessDataSource",
    "StandardSampler",
    "SubsetSampler",
    "WeightedSampler",
    "WeightedSubsetSampler",
    "WorkStream",
    "WorkerPool",
    "WorkerProcessPool",
    "WorkerThreadPool",
    "batch_map_concat",
    "batch_map_mean",
    "coerce_data_source",
    "empty",
    "num_batches",
    "pad",
]

__getattr__, __dir__ = on_use(
    __name__,
    {
        "data_source": [
            "AbstractDataSource",
            "ArrayDataSource",
            "CallableDataSource",
            "ChoiceBatch",
            "ChoiceDataSource",
            "CompositeDataSource",
            "ConcatDataSource",
            "IteratorDataSource",
            "MapDataSource",
            "ParallelItems",
            "RandomAccessDataSource",
            "batch_map_concat",
            "batch_map_mean",
            "coerce_data_source",
            "pad",
        ],
        "engine.arena": ["empty"],
        "loader": ["Loader"],
        "sampling": [
            "AbstractSampler",
            "BlockSampler",
            "BucketSampler",
            "ClassCountSampler",
            "LazyShuffleSampler",
            "StandardSampler",
            "SubsetSampler",
            "WeightedSampler",
            "WeightedSubsetSampler",
            "num_batches",
        ],
        "work_pool": ["ParallelDataSource", "WorkerPool", "WorkerProcessPool", "WorkerThreadPool", "WorkStream"],
    },
    ["data_source", "engine", "errors", "loader", "sampling", "storage", "work_pool"],
)
