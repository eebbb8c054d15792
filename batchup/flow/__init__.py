"""Batch objects and lazy pipelines.

A `Batch` has the ids of some items and their data, in named components. Its actions are the steps of a `Pipeline`. A
pipeline declares what to do with the batches of a `Dataset`; running the pipeline does it.

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

from .data.baseset import Baseset
from .data.batch import Batch
from .data.dataset import Dataset
from .data.files_index import FilesIndex
from .data.index import DatasetIndex
from .data.record import Record
from .expr.expressions import NamedExpression, eval_expr, save_data_to
from .expr.named import PP, B, C, D, F, I, L, M, P, R, V, W
from .extras.formats import PerFile, Table, register_format
from .extras.images import ImagesBatch
from .extras.models import SklearnModel, TorchModel, as_model
from .extras.samplers import ConstantSampler, HistoSampler, NumpySampler, Sampler, ScipySampler
from .items.actions import action, apply_parallel, inbatch_parallel
from .items.apply import any_action_failed
from .items.parallel import close_workers
from .items.seeds import make_rng
from .pipeline.pipeline import Pipeline
from .pipeline.run import EmptyBatchSequence
from .pipeline.steps import SkipBatchException, StopPipeline

__all__ = [
    "PP",
    "B",
    "Baseset",
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
    "NamedExpression",
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
    "eval_expr",
    "inbatch_parallel",
    "make_rng",
    "register_format",
    "save_data_to",
]
