"""Make one batch, in a worker process or in the loop itself."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import torch
import torch.utils.data
from torch.utils.data._utils import collate as of_torch
from torch.utils.data._utils import worker as torch_worker

from ...engine import arena
from ...engine.global_rng import globals_kept, seed_globals
from ...engine.process import worker
from ...errors import noted
from .packing import can_be_packed, packed

__all__ = ["ENDED", "IterableFetch", "MapFetch", "TakeFetch", "Task", "takes"]

ENDED: tuple[Any, ...] = ()  # in place of a result: the iterator of a worker has no more
Result: TypeAlias = tuple[Any, int, int, int, tuple[float, ...], tuple[()]]  # as a `FetchJob` of the loader gives it


class Task(NamedTuple):
    """Which batch to make.

    Attributes
    ----------
    pick : list, index or int
        The indices of the samples; of an iterable dataset, the number of the batch among those of its worker.
    epoch, step : int
    seed : int
        The seed of the epoch, as PyTorch draws it.
    rank : int
    run : int
        The number of the loop, so that two loops at a time do not share an iterator.
    worker : int
        The worker whose iterator is used, for an iterable dataset.
    """

    pick: Any
    epoch: int
    step: int
    seed: int
    rank: int = 0
    run: int = 0
    worker: int = 0


class Fetch:
    """The base class of fetches. Abstract.

    Parameters
    ----------
    dataset : Dataset
    collate_fn : callable
    workers : int
        The number of worker processes; 0 if the loop itself makes the batches.
    worker_init_fn : callable or None
    """

    writes_privately = True  # a dataset may change what it holds, in its own process

    def __init__(
        self, dataset: Any, collate_fn: Callable[[Any], Any], workers: int, worker_init_fn: Callable[[int], Any] | None
    ) -> None:
        self.dataset, self.collate_fn = dataset, collate_fn
        self.workers, self.worker_init_fn = workers, worker_init_fn
        self._begun = False

    def __call__(self, *task: Any) -> Any:
        of = Task(*task)
        if self.workers:
            self._begin(of)
            return self._result(of)
        with globals_kept():  # the generators of the program itself stay as they were
            return self._result(of)

    def _samples(self, task: Task) -> Any:
        """The samples to collate, or `ENDED`. The global generators have been seeded for this batch."""
        raise NotImplementedError

    def _result(self, task: Task) -> Any:
        begun = time.perf_counter()
        samples = self._samples(task)
        if samples is ENDED:
            return ENDED
        read = time.perf_counter()
        try:
            batch = self.collate_fn(samples)
        except Exception as error:
            noted(error, f"in {getattr(self.collate_fn, '__name__', 'collate_fn')}")
            raise
        batch = packed(batch) if self.workers else batch
        return batch, task.epoch, task.step, threading.get_native_id(), (begun, read, time.perf_counter()), ()

    def _begin(self, task: Task) -> None:
        """Make this process a worker of PyTorch, so that `get_worker_info` returns its number."""
        info: Any = torch_worker._worker_info
        if self._begun and info.seed == task.seed + info.id and info.dataset is self.dataset:
            return
        place = task.worker if isinstance(self, IterableFetch) else worker.place or 0
        seed = task.seed + place
        info = torch_worker.WorkerInfo(id=place, num_workers=self.workers, seed=seed, dataset=self.dataset)
        torch_worker._worker_info = info
        if not self._begun:
            torch.set_num_threads(1)
            of_torch.default_collate_fn_map[torch.Tensor] = stacked_tensors
            self._init(info)
            self._begun = True

    def _init(self, info: Any) -> None:
        seed_globals(info.seed)
        torch.manual_seed(info.seed)
        if self.worker_init_fn is not None:
            try:
                self.worker_init_fn(info.id)
            except Exception as error:
                noted(error, f"in worker_init_fn({info.id})")
                raise


class MapFetch(Fetch):
    """For map-style datasets, with ``__getitem__`` or ``__getitems__``.

    Parameters
    ----------
    batched : bool
        Whether a pick is a list of indices. Otherwise it is a single index, and nothing is collated.
    """

    def __init__(self, dataset: Any, collate_fn: Any, workers: int, worker_init_fn: Any, batched: bool) -> None:
        super().__init__(dataset, collate_fn, workers, worker_init_fn)
        self.batched = batched

    def _samples(self, task: Task) -> Any:
        seed_globals(task.seed, task.step, task.rank)
        if not self.batched:
            return self._samples_at([task.pick])[0]
        if getattr(self.dataset, "__getitems__", None):
            return self.dataset.__getitems__(task.pick)
        return self._samples_at(task.pick)

    def _samples_at(self, pick: Any) -> list[Any]:
        samples, index = [], None
        try:
            for index in pick:
                samples.append(self.dataset[index])
        except Exception as error:
            noted(error, f"in {type(self.dataset).__name__}[{index!r}]")
            raise
        return samples


class IterableFetch(Fetch):
    """For iterable datasets. Each worker has an iterator of its own.

    A batch is known by its worker and its number there. So any process can make it: it starts the iterator of that
    worker, and advances it up to that batch.

    Parameters
    ----------
    batch_size : int or None
        None gives single samples.
    drop_last : bool
    """

    def __init__(
        self,
        dataset: Any,
        collate_fn: Any,
        workers: int,
        worker_init_fn: Any,
        batch_size: int | None,
        drop_last: bool,
    ) -> None:
        super().__init__(dataset, collate_fn, workers, worker_init_fn)
        self.batch_size, self.drop_last = batch_size, drop_last
        self._runs: dict[int, _Reading] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_runs": {}}

    def _samples(self, task: Task) -> Any:
        reading = self._runs.get(task.run)
        if reading is None or reading.number > task.pick:
            reading = self._runs[task.run] = _Reading(iter(self.dataset))
            for old in list(self._runs)[:-MOST_RUNS]:
                del self._runs[old]
        while reading.number < task.pick and not reading.ended:
            self._next(reading, task)
        return self._next(reading, task)

    def _next(self, reading: _Reading, task: Task) -> Any:
        if reading.ended:
            return ENDED
        seed_globals(task.seed, reading.number, task.worker, task.rank)
        reading.number += 1
        if self.batch_size is None:
            samples = list(itertools.islice(reading.samples, 1))
            return samples[0] if samples else reading.end()
        samples = list(itertools.islice(reading.samples, self.batch_size))
        if len(samples) < self.batch_size:
            reading.end()
        return ENDED if not samples or (self.drop_last and reading.ended) else samples


MOST_RUNS = 4  # iterators that a worker keeps; others are started again when they are needed


class _Reading:
    """How far the iterator of one loop is."""

    def __init__(self, samples: Iterator[Any]) -> None:
        self.samples = samples
        self.number = 0  # of the next batch
        self.ended = False

    def end(self) -> tuple[Any, ...]:
        """There are no more samples; drop the iterator."""
        self.samples, self.ended = iter(()), True
        return ENDED


class TakeFetch:
    """For a ``TensorDataset`` with PyTorch's own `collate_fn`: one `take` for each tensor.

    Parameters
    ----------
    tensors : sequence of tensors
    subset : sequence of int or None
        The indices of a ``Subset``.
    """

    def __init__(self, tensors: Any, subset: Any = None) -> None:
        self.tensors, self.subset = tuple(tensors), subset
        self.sample_bytes = sum(tensor[:1].nbytes for tensor in self.tensors)

    def __call__(self, *task: Any) -> Result:
        begun = time.perf_counter()
        pick, epoch, step = task[:3]
        indices = pick if type(pick) is torch.Tensor else self._indices(pick)
        if indices is None:
            batch = torch.utils.data.default_collate([tuple(tensor[i] for tensor in self.tensors) for i in pick])
        else:
            batch = [tensor.index_select(0, indices) for tensor in self.tensors]
        return batch, epoch, step, threading.get_native_id(), (begun, time.perf_counter()), ()

    def _indices(self, pick: Any) -> Any:
        """A pick as a tensor of indices of 0 or more; None if it has other indices."""
        indices = torch.tensor(pick if self.subset is None else [self.subset[i] for i in pick])
        if indices.dtype is not torch.int64 or indices.ndim != 1:
            return None
        return torch.where(indices < 0, indices + len(self.tensors[0]), indices) if indices.min() < 0 else indices


def takes(dataset: Any, collate_fn: Any) -> TakeFetch | None:
    """The `TakeFetch` of a dataset, if that gives the same batches as collating single samples; None otherwise."""
    if collate_fn is not torch.utils.data.default_collate or of_torch.default_collate_fn_map.get(torch.Tensor) not in (
        of_torch.collate_tensor_fn,
        stacked_tensors,
    ):
        return None
    subset = None
    if type(dataset) is torch.utils.data.Subset:
        dataset, subset = dataset.dataset, dataset.indices
    if type(dataset) is not torch.utils.data.TensorDataset or not all(map(can_be_packed, dataset.tensors)):
        return None
    return TakeFetch(dataset.tensors, subset)


def stacked_tensors(batch: Any, *, collate_fn_map: Any = None) -> Any:
    """The tensors of a batch, stacked. In a worker the result is in the shared memory in which it is sent."""
    first = batch[0]
    alike = can_be_packed(first) and all(
        can_be_packed(each) and each.dtype == first.dtype and each.shape == first.shape for each in batch
    )
    if not alike or first.dtype not in NUMPY_TYPES:
        return torch.stack(batch, 0) if first.layout is torch.strided else of_torch.collate_tensor_fn(batch)
    out = torch.from_numpy(arena.empty((len(batch), *first.shape), NUMPY_TYPES[first.dtype]))
    return torch.stack(batch, 0, out=out)


NUMPY_TYPES = {
    getattr(torch, name): name
    for name in (
        *("bool", "uint8", "int8", "int16", "int32", "int64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
}
