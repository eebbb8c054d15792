"""Batch objects and lazy pipelines.

A `Batch` is ids of items with their data in named components; its methods that are marked as actions are steps of a
`Pipeline`, which says what is to be done with the batches of a `Dataset`, and does it when it is run.

>>> import numpy as np
>>> from batchup.flow import B, Batch, Dataset, V, action
>>> class Rows(Batch):
...     components = "x", "y"
...     @action
...     def scale(self, by):
...         self.x = self.x * by
...         return self
>>> dataset = Dataset(6, Rows, preloaded=(np.arange(6), np.arange(6) % 2))
>>> pipeline = dataset.p.init_variable("sums", []).scale(by=10).update(V("sums", mode="a"), B.x.sum())
>>> [int(x) for x in pipeline.run(4, shuffle=7).v("sums")]
[130, 20]
"""

from .actions import action, apply_parallel, inbatch_parallel
from .apply import any_action_failed
from .batch import Batch
from .dataset import Dataset
from .distributions import HistoSampler, NumpySampler, ScipySampler
from .files_index import FilesIndex
from .formats import PerFile, Table, register_format
from .images import ImagesBatch
from .index import DatasetIndex
from .models import SklearnModel, TorchModel, as_model
from .names import PP, B, C, D, F, I, L, M, P, R, V, W
from .parallel import close_workers
from .pipeline import Pipeline
from .record import Record
from .run import EmptyBatchSequence
from .steps import SkipBatchException, StopPipeline
from .values import ConstantSampler, Sampler

__all__ = [
    "PP",
    "B",
    "Batch",
    "C",
    "ConstantSampler",
    "D",
    "Dataset",
    "DatasetIndex",
    "EmptyBatchSequence",
    "F",
    "FilesIndex",
    "HistoSampler",
    "I",
    "ImagesBatch",
    "L",
    "M",
    "NumpySampler",
    "P",
    "PerFile",
    "Pipeline",
    "R",
    "Record",
    "Sampler",
    "ScipySampler",
    "SkipBatchException",
    "SklearnModel",
    "StopPipeline",
    "Table",
    "TorchModel",
    "V",
    "W",
    "action",
    "any_action_failed",
    "apply_parallel",
    "as_model",
    "close_workers",
    "inbatch_parallel",
    "register_format",
]
