"""The statistics of a loader: numbers that add up, a verdict, and its length for progress bars."""

from __future__ import annotations

import dataclasses
import io
import warnings

import numpy as np
import pytest

from batchup import ArrayDataSource, CallableDataSource, Loader
from batchup.engine.cores import cores
from batchup.engine.trace import verdict
from batchup.work_pool import WorkerProcessPool, WorkerThreadPool

pytestmark = pytest.mark.timeout(120)


def arrays(n=20):
    return ArrayDataSource([np.arange(n)])


def crop(x):
    return (x[:1],)


def with_noise(x, rng):
    return x, rng.random(len(x))


@pytest.fixture(scope="module", params=["serial", "threads", "processes"])
def any_pool(request):
    if request.param == "serial":
        yield None
    else:
        with {"threads": WorkerThreadPool, "processes": WorkerProcessPool}[request.param](2) as pool:
            yield pool


def test_numbers_of_a_run_add_up(any_pool):
    """Batches, times, and the part that each stage took."""
    loader = Loader(arrays().map(crop).random_map(with_noise), 2, shuffle=5, pool=any_pool)
    for _ in range(3):
        list(loader)
    stats = loader.stats()

    assert (30, 0, 0, 2 if any_pool else 0) == (stats.batches, stats.skipped, stats.restarts, stats.workers)
    assert ["the fetch of ArrayDataSource", "crop", "with_noise"] == [stage.name for stage in stats.stages]
    assert pytest.approx(stats.busy) == sum(stage.seconds for stage in stats.stages)
    assert 0 < stats.waited <= stats.seconds
    assert all(stage.seconds > 0 for stage in stats.stages)


def test_without_a_pool_the_loop_waits_for_all_work():
    """It is done in its own thread, while it asks."""
    loader = Loader(arrays(), 2)
    list(loader)
    stats = loader.stats()

    assert stats.busy <= stats.waited <= stats.seconds


def test_stats_are_of_one_moment():
    """They do not change when the run goes on, or by anybody's hand."""
    loader = Loader(arrays(), 2)
    before = loader.stats()
    list(loader)

    assert (0, 10) == (before.batches, loader.stats().batches)
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.batches = 7


def test_batches_that_are_fetched_alone_do_not_count():
    """`batch` is no part of the run."""
    loader = Loader(arrays(), 2)
    loader.batch(0, 0)

    assert 0 == loader.stats().batches


def test_a_batch_that_was_left_out_does_not_count():
    """Its samples do."""

    def fn(x):
        if 0 in x or 1 in x:
            raise ValueError("bad")
        return (x,)

    loader = Loader(arrays().map(fn), 2, on_error="skip")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        list(loader)

    assert (9, 2) == (loader.stats().batches, loader.stats().skipped)


def test_stages_of_what_comes_one_after_the_other():
    """They cannot be told apart."""
    loader = Loader(CallableDataSource(lambda n: iter([(np.arange(2),)])).map(crop), 2)
    list(loader)

    assert ["the batches of MapDataSource"] == [stage.name for stage in loader.stats().stages]


def test_a_class_made_from_a_map_is_one_stage():
    """It may fetch in a way of its own, which is what is timed."""

    class Doubled(type(arrays().map(crop))):
        def samples_by_indices_nomapping(self, indices):
            (x,) = super().samples_by_indices_nomapping(indices)
            return (x * 2,)

    loader = Loader(Doubled(arrays(), crop), 2)

    assert [0, 4] == [x.tolist()[0] for (x,) in loader][:2]
    assert ["the fetch of Doubled"] == [stage.name for stage in loader.stats().stages]


def test_explain_is_the_verdict_on_what_was_measured(any_pool):
    """For as many workers as there are, of their kind."""
    loader = Loader(arrays(), 2, pool=any_pool)
    assert "no batch was delivered yet" == loader.explain()
    list(loader)

    kind = "processes" if isinstance(any_pool, WorkerProcessPool) else "threads"
    assert verdict(loader._run.trace, 2 if any_pool else 0, kind, cores()) == loader.explain()


# Progress bars.


@pytest.mark.parametrize(("source", "total"), [(arrays(), 10), (arrays(20).map(crop), 10)])
def test_a_progress_bar_knows_the_end(source, total):
    """`tqdm(loader)` counts batches, of as many as there are."""
    tqdm = pytest.importorskip("tqdm")
    bar = tqdm.tqdm(Loader(source, 2), file=io.StringIO())

    assert (total, total) == (bar.total, sum(1 for _ in bar))


def test_a_progress_bar_without_an_end_counts():
    """For a source that does not say how much it has."""
    tqdm = pytest.importorskip("tqdm")
    bar = tqdm.tqdm(Loader(CallableDataSource(lambda n: iter([(np.arange(2),)] * 3)), 2), file=io.StringIO())

    assert (None, 3) == (bar.total, sum(1 for _ in bar))
