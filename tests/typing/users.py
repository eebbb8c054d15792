"""Programs as users annotate them. They are not run: `make check` has mypy read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self, assert_type

import numpy as np
import numpy.typing as npt

from batchup import (
    Loader,
    WorkerProcessPool,
    WorkerThreadPool,
    WorkStream,
    batch_map_concat,
    batch_map_mean,
    coerce_data_source,
    num_batches,
)
from batchup.data_source import (
    AbstractDataSource,
    ArrayDataSource,
    Batch,
    ChoiceDataSource,
    CompositeDataSource,
    MapDataSource,
    Pick,
    RandomMapDataSource,
)
from batchup.flow import B, C, Dataset, DatasetIndex, Pipeline, R, V, action
from batchup.flow import Batch as FlowBatch
from batchup.loader import LoaderStats, Skipped
from batchup.sampling import StandardSampler, SubsetSampler, WeightedSampler, WeightedSubsetSampler
from batchup.work_pool import ParallelDataSource

Images = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

X: Images = np.zeros((8, 2), np.float32)
y: Labels = np.zeros(8, np.int64)


def double(images: Images, labels: Labels) -> tuple[Images, Labels]:
    return images * 2, labels


def noisy(images: Images, labels: Labels, rng: np.random.Generator) -> tuple[Images, Labels]:
    return images + rng.normal(size=images.shape).astype(np.float32), labels


def train(images: Images, labels: Labels) -> None: ...


def sources() -> None:
    source = ArrayDataSource([X, y], repeats=-1, include_indices=True)
    assert_type(source, ArrayDataSource)
    assert_type(source.map(double), MapDataSource)
    assert_type(source.map(lambda images, labels: (images, labels)), MapDataSource)
    assert_type(source.random_map(noisy, seed=3), RandomMapDataSource)
    assert_type(source.map(double).random_map(noisy).map(double), MapDataSource)
    assert_type(source.num_samples(), int | float | None)
    assert_type(source.is_random_access, bool)
    assert_type(coerce_data_source(X), AbstractDataSource)
    both: AbstractDataSource = CompositeDataSource([source, ChoiceDataSource([source, source], stratified=True)])
    picks: Iterator[Pick] = both.batch_indices_iterator(4, shuffle=np.random.default_rng(0))
    batch: Batch = both.samples_by_indices_nomapping(next(picks))
    train(*batch)


def loops() -> None:
    source = ArrayDataSource([X, y])
    assert_type(source.batch_iterator(4, shuffle=np.random.RandomState(12345)), Iterator[Batch])
    for images, labels in source.batch_iterator(4, shuffle=7):
        train(images, labels)
    loader = Loader(source, 4, shuffle=7, pool="threads", depth=8, last="drop", shard=(0, 2), on_error="skip")
    for images, labels in loader:
        train(images, labels)
    assert_type(iter(loader), Iterator[Batch])
    assert_type(loader.steps(100), Iterator[Batch])
    assert_type(len(loader), int)
    assert_type(loader.stats(), LoaderStats)
    assert_type(loader.explain(), str)
    assert_type(loader.skipped, list[Skipped])
    with Loader(source, 4, pool=WorkerThreadPool(2)) as inside:
        assert_type(inside, Loader)


def resuming() -> None:
    loader = Loader([X, y], 4)
    state = loader.state_dict()
    assert_type(state, dict[str, Any])
    loader.load_state_dict(state)


def pools() -> None:
    with WorkerThreadPool(2) as threads, WorkerProcessPool(processes=2) as processes:
        assert_type(threads, WorkerThreadPool)
        assert_type(processes, WorkerProcessPool)
        parallel = processes.parallel_data_source(ArrayDataSource([X, y]), batch_buffer_size=4)
        assert_type(parallel, ParallelDataSource)
        for images, labels in parallel.batch_iterator(4, shuffle=np.random.RandomState(0)):
            train(images, labels)
        stream = threads.work_stream(((pow, (2, n)) for n in range(9)), task_buffer_size=4)
        assert_type(stream, WorkStream)
        total: int = sum(stream.retrieve_iter())
        print(total)


def samplers() -> None:
    indices = np.arange(0, 8, 2)
    assert_type(num_batches(8, 3), int)
    for sampler in (StandardSampler(8), SubsetSampler(indices), SubsetSampler([0, 2]), WeightedSampler([1.0] * 8)):
        source = ArrayDataSource([X, y], sampler=sampler)
        assert_type(source.batch_iterator(4), Iterator[Batch])
    assert_type(SubsetSampler(indices).map_indices(indices), npt.NDArray[np.intp])
    assert_type(StandardSampler(8).in_order_indices_batch_iterator(3), Iterator[npt.NDArray[np.intp]])
    assert_type(WeightedSampler.class_balancing_sampler(y), WeightedSampler)
    assert_type(WeightedSampler.class_balancing_sample_weights(y, n_classes=3), npt.NDArray[np.float64])
    assert_type(WeightedSubsetSampler.class_balancing_sampler(y, indices), WeightedSubsetSampler)
    assert_type(WeightedSampler([1.0]).num_indices_generated(), int | float)


def results() -> None:
    source = ArrayDataSource([X, y])
    batches = source.batch_iterator(4)
    assert_type(batch_map_concat(double, batches), tuple[npt.NDArray[Any], ...] | None)
    assert_type(source.batch_map_concat(double, 4, shuffle=7), tuple[npt.NDArray[Any], ...] | None)
    assert_type(batch_map_mean(double, batches, sum_axis=0), tuple[Any, ...] | None)
    assert_type(source.batch_map_mean(double, batch_size=4, sum_axis=(0, 1)), tuple[Any, ...] | None)


class Scans(FlowBatch):
    components = "images", "labels"
    images: npt.NDArray[Any]

    @action
    def scale(self, by: float) -> Self:
        self.images = self.images * by
        return self


def pipelines() -> None:
    dataset = Dataset(8, Scans, preloaded=(np.zeros((8, 4)), np.arange(8)), name="scans")
    dataset.split([0.5, 0.25], shuffle=7)
    dataset.cv_split(n_splits=4)
    assert_type(dataset.create_subset([1, 2]), Dataset)
    assert_type(dataset.p, Pipeline)
    assert_type(dataset.indices, npt.NDArray[Any])
    assert_type(DatasetIndex(["a", "b"]).create_subset(np.array(["b"])), DatasetIndex)

    template = Pipeline().init_variable("means", []).scale(by=R("uniform", 1, 2))
    template = template.update(V("means", mode="a"), B.images.mean()).call(len, B.labels, save_to=[B.n, V("n")])
    template.before.init_variable("n", 0).print("begin")
    assert_type(template << dataset << {"batch_size": 4}, Pipeline)
    pipeline: Pipeline = template << dataset.CV(C("fold")).train << {"fold": 1, "batch_size": 4}
    assert_type((pipeline + Pipeline().rebatch(C("batch_size"))) * 2 @ 0.5, Pipeline)
    assert_type(pipeline.run(C("batch_size"), shuffle=7, n_epochs=1, prefetch=2), Pipeline)
    for batch in pipeline.gen_batch(4, drop_last=True):
        assert_type(batch.scale(2.0).images, Any)

    batch = Scans([1, 2], preloaded=dataset.preloaded)
    assert_type(batch.scale(2.0), Scans)
    assert_type(batch.load(src=np.zeros((8, 4)), dst="images"), Scans)
    assert_type(Scans.from_data([1], (np.zeros((8, 4)), np.arange(8))), Scans)
