"""Executors of others are pools like ours: they keep the contract of pools, and get shared objects once."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from batchup import ArrayDataSource, Loader, WorkerPool
from batchup.engine.executors import KEPT, ExecutorPool, SharedObject
from batchup.engine.stream import WorkStream
from batchup.errors import BatchTimeoutError, PoolClosedError, WorkerDiedError
from batchup.testing import PoolContract, plain

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(scope="module")
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, mp_context=SPAWN) as executor:
        yield executor


@pytest.fixture(scope="module")
def loky():
    from joblib.externals.loky import ProcessPoolExecutor as Loky

    with Loky(2) as executor:
        yield executor


@pytest.fixture(scope="module")
def dask():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


class ExecutorContract(PoolContract):
    """The contract of pools, but for the workers: they are not the pool's to end."""

    @pytest.fixture(autouse=True)
    def _given(self, request):
        self.executor = request.getfixturevalue(self.name)

    def make(self):
        return WorkerPool.over(self.executor)

    def test_closing_leaves_no_worker_behind(self):
        """Closing the pool leaves the executor as it was: it takes other work."""
        with self.make() as pool:
            assert [1] == list(pool.work_stream([(abs, (-1,))]))

        again = self.make()
        assert [2] == list(again.work_stream([(abs, (-2,))]))


class TestThreadExecutor(ExecutorContract):
    name = "threads"


class TestProcessExecutor(ExecutorContract):
    name = "processes"


class TestLoky(ExecutorContract):
    name = "loky"


@pytest.mark.filterwarnings("ignore")  # of distributed and what it uses
class TestDask(ExecutorContract):
    name = "dask"


def jittered(x, rng):
    return (x + rng.random(len(x)) + np.random.random(len(x)) * 0,)


@pytest.mark.parametrize("name", ["threads", "processes", "loky", "dask"])
@pytest.mark.filterwarnings("ignore")
def test_a_loader_over_an_executor_gives_the_same_batches(name, request):
    """With random transforms, and resumed from a state that was made without it."""
    ds = ArrayDataSource([np.arange(40.0)]).random_map(jittered)
    serial = Loader(ds, 4, shuffle=7)
    expected = [plain(batch) for batch in serial.steps(15)]
    head = Loader(ds, 4, shuffle=7)
    list(head.steps(5))

    with Loader(ds, 4, shuffle=7, pool=request.getfixturevalue(name)) as loader:
        assert expected == [plain(batch) for batch in loader.steps(15)]
        loader.load_state_dict(head.state_dict())
        assert expected[5:] == [plain(batch) for batch in loader.steps(10)]


class Counted:
    """Counts, in a file, how often it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __setstate__(self, state):
        self.__dict__.update(state)
        with open(self.path, "a") as file:
            file.write(f"{os.getpid()}\n")

    def __call__(self, x):
        return x + 1


@pytest.mark.parametrize("name", ["processes", "loky"])
def test_a_shared_object_goes_to_each_worker_once(name, request, tmp_path):
    """It is unpickled once in each, not with each task."""
    path = tmp_path / "loaded"
    with WorkerPool.over(request.getfixturevalue(name)) as pool:
        shared = pool.shared_constant(Counted(path))
        results = list(pool.work_stream(((shared, (n,)) for n in range(50)), 1))

    assert list(range(1, 51)) == results
    loads = path.read_text().split()
    assert len(loads) == len(set(loads)) <= 2


def test_a_worker_keeps_the_last_few_shared_objects(processes):
    """And gets those that it has dropped again."""
    with WorkerPool.over(processes) as pool:
        shared = [pool.shared_constant(np.full(3, n)) for n in range(KEPT + 3)]
        for _ in range(2):
            assert [3 * n for n in range(KEPT + 3)] == list(pool.work_stream(((np.sum, (each,)) for each in shared), 1))


def test_a_shared_object_that_has_not_changed_is_not_sent_again(processes):
    """One that has is."""
    pool = ExecutorPool(processes)
    array = np.arange(1000)
    first = pool.share(array)

    assert isinstance(first, SharedObject)
    assert first is pool.share(array, first)
    array[0] = -1
    assert first is not pool.share(array, first)


def die():
    os._exit(3)


def test_an_executor_that_lost_a_worker_says_so():
    """It cannot be mended; the error says what can."""
    with ProcessPoolExecutor(1, mp_context=SPAWN) as executor, WorkerPool.over(executor) as pool:
        stream = pool.work_stream([(die,), (abs, (1,))])
        for _ in range(2):
            with pytest.raises(WorkerDiedError, match="WorkerProcessPool"):
                next(stream)


def test_an_executor_that_is_shut_down_takes_no_work():
    """The loop gets a PoolClosedError."""
    executor = ThreadPoolExecutor(1)
    executor.shutdown()

    with pytest.raises(PoolClosedError, match="shut down"):
        list(WorkerPool.over(executor).work_stream([(abs, (1,))]))


@pytest.mark.parametrize("thing", [5, "cluster", object()])
def test_what_is_no_executor_is_refused(thing):
    """By what it lacks."""
    with pytest.raises(TypeError, match=r"submit\(fn, \*args\)"):
        WorkerPool.over(thing)


def test_threads_of_an_executor_share_the_program(threads):
    """Nothing is pickled for them."""
    lock = threading.Lock()
    with WorkerPool.over(threads) as pool:
        assert [True] == list(pool.work_stream([(lock.acquire,)]))
    assert lock.locked()
    assert isinstance(threads, Executor)


def test_the_number_of_workers_can_be_given(threads):
    """Or is what the executor says."""
    assert (2, 5) == (WorkerPool.over(threads).engine.workers, WorkerPool.over(threads, workers=5).engine.workers)
    assert "<WorkerPool over ThreadPoolExecutor of 2 workers>" == repr(WorkerPool.over(threads))


def summed(*arrays):
    return int(sum(array.sum() for array in arrays))


def test_a_task_may_have_more_shared_objects_than_a_worker_keeps(processes):
    """Those of the task at hand are not dropped for each other."""
    with WorkerPool.over(processes) as pool:
        shared = [pool.shared_constant(np.full(2, n)) for n in range(KEPT + 2)]

        assert [2 * sum(range(KEPT + 2))] == list(pool.work_stream([(summed, tuple(shared))]))


def test_a_timeout_holds_over_threads():
    """The loop does not wait for the task that it gave up."""
    gate = threading.Event()
    with ThreadPoolExecutor(1) as executor, WorkerPool.over(executor) as pool:
        stream = WorkStream(pool.engine, [(gate.wait, (60,))], timeout=0.05)

        with pytest.raises(BatchTimeoutError):
            next(stream)
        assert not gate.is_set()
        gate.set()
