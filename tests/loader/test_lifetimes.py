"""A batch lives as long as the program holds it, and what a loader has open, as long as the loader."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import time
import warnings
import weakref

import numpy as np
import pytest

from batchup import ArrayDataSource, CallableDataSource, Loader
from batchup.work_pool import WorkerThreadPool

pytestmark = pytest.mark.timeout(60)


def gone(ref, seconds=30.0):
    """Whether the object goes without the garbage collector; a worker thread may still be on its way out of a task."""
    until = time.monotonic() + seconds
    while ref() is not None and time.monotonic() < until:
        time.sleep(0.001)
    return ref() is None


@pytest.fixture(params=["serial", "threads", "processes"])
def any_pool(request):
    if request.param == "threads":
        with WorkerThreadPool(2) as pool:
            yield pool
    else:
        yield None if request.param == "serial" else request.getfixturevalue("two_processes")


@pytest.fixture(autouse=True)
def no_collector():
    """So that what goes does so because nobody holds it."""
    gc.disable()
    yield
    gc.enable()


def with_noise(x, rng):
    return x, rng.random(x.shape)


def failing(x, noise):
    if 21 in x[:, 0]:
        raise ValueError("bad")
    return x, noise


def last_one_goes(loop):
    """Whether each of the first three batches goes when the program lets go of it, before it asks for the next."""
    found = []
    for _ in range(3):
        batch = next(loop)
        refs = [weakref.ref(array) for array in batch]
        del batch
        found += [gone(ref) for ref in refs]
    return found


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_loop_holds_no_batch(any_pool, on_error):
    """Neither the loop, nor the loader, nor its workers: between two batches there is none but those ahead."""
    X = np.arange(10_000.0).reshape(100, 100)
    source = ArrayDataSource([X]).random_map(with_noise)
    if on_error == "skip":
        source = source.map(failing)
    loader = Loader(source, 10, pool=any_pool, depth=1, on_error=on_error, last="pad")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert [True] * 9 == last_one_goes(iter(loader))


def test_a_loop_over_what_comes_one_by_one_holds_no_batch():
    """Nor does it make one ahead."""
    loader = Loader(CallableDataSource(lambda n: ((np.arange(n),) for _ in range(5))), 3)

    assert [True] * 3 == last_one_goes(iter(loader))


def test_plain_iterators_hold_no_batch(any_pool):
    """Those of a source, and of a parallel one."""
    source = ArrayDataSource([np.arange(10_000.0).reshape(100, 100)])
    if any_pool is not None:
        source = any_pool.parallel_data_source(source, 1)

    assert [True] * 3 == last_one_goes(source.batch_iterator(10))


def test_an_error_that_was_caught_holds_no_batch():
    """The loop does not keep what was raised."""

    def fn(x):
        refs.append(weakref.ref(x))
        raise ValueError("bad")

    refs = []
    loop = iter(Loader(ArrayDataSource([np.arange(10.0)]).map(fn), 5))
    for _ in range(2):
        with pytest.raises(ValueError, match="bad"):
            next(loop)

    gc.collect(0)  # pytest's own record of the error is a cycle, and all that is new is in the first generation
    assert [True, True] == [gone(ref) for ref in refs]


def test_a_loader_that_nobody_holds_goes():
    """With its threads, in the midst of an epoch."""
    before = threading.enumerate()
    loader = Loader(ArrayDataSource([np.arange(100)]), 1, pool=2)
    loop = iter(loader)
    next(loop)
    started = [thread for thread in threading.enumerate() if thread not in before]
    ref = weakref.ref(loader)
    del loader, loop
    for thread in started:
        thread.join(5)

    assert ref() is None
    assert [] == [thread.name for thread in started if thread.is_alive()]


def test_a_loop_goes_on_without_its_loader():
    """Nobody else has to hold it: `for x in Loader(...)`."""
    assert 100 == sum(1 for _ in Loader(ArrayDataSource([np.arange(100)]), 1, shuffle=5, pool=2))


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_loader_stands_for_one_run(copied):
    """A copy would share its loops and its workers, or be without."""
    with pytest.raises(TypeError, match="a Loader cannot be pickled or copied.* state_dict"):
        copied(Loader([np.arange(3)], 2))
