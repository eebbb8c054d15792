"""Executors of others are pools like ours: they keep the contract of pools, and get shared objects once."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import pickle
import re
import shutil
import threading
import time
import warnings
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

import batchup
from batchup import ArrayDataSource, Loader, WorkerPool, WorkerProcessPool
from batchup.engine import executors
from batchup.engine.executors import KEPT, ExecutorPool, SharedObject
from batchup.engine.process.platforms import VARIABLE
from batchup.engine.stream import WorkStream
from batchup.errors import BatchTimeoutError, PoolClosedError, WorkerDiedError
from batchup.testing import PoolContract, check_determinism, plain

pytestmark = pytest.mark.usefixtures("by_value")
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
    from dask import config

    with (
        config.set({"distributed.worker.profile.enabled": False}),  # it takes a tenth of a core all the time
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def ray():
    """Where Ray is installed: a cluster on this host."""
    module = pytest.importorskip("ray")
    path = str(Path(batchup.__file__).parents[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("PYTHONPATH", os.pathsep.join([path, os.environ.get("PYTHONPATH", "")]))
        module.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield module
        module.shutdown()


@pytest.fixture(scope="module")
def mpi():
    """Where mpi4py and an MPI are installed. Without its launcher, MPI would end this process."""
    if shutil.which("mpiexec") is None:
        pytest.skip("there is no mpiexec")
    futures = pytest.importorskip("mpi4py.futures")
    with futures.MPIPoolExecutor(2) as executor:
        yield executor


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


@pytest.mark.filterwarnings("ignore")
class TestRay(ExecutorContract):
    name = "ray"


@pytest.mark.filterwarnings("ignore")
class TestMPI(ExecutorContract):
    name = "mpi"


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("processes", "loky", "dask", "ray", "mpi")]


def jittered(x, rng):
    return (x + rng.random(len(x)) + np.random.random(len(x)) * 0,)


@pytest.mark.parametrize("name", ["threads", *SLOW])
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_batches_are_the_same_on_all_pools(request, monkeypatch, two_processes):
    """With random transforms; and each goes on from where each other one has stopped."""
    names = ["threads", "processes", "loky", "dask"] + [
        name for name, module in (("ray", "ray"), ("mpi", "mpi4py")) if find_spec(module) and has_launcher(name)
    ]
    given = [request.getfixturevalue(name) for name in names]
    monkeypatch.setenv(VARIABLE, "portable")
    with WorkerProcessPool(1) as portable:
        monkeypatch.delenv(VARIABLE)
        ds = ArrayDataSource([np.arange(40.0)]).random_map(jittered)

        check_determinism(ds, 8, n_batches=2, epochs=1, depth=2, pools=["threads", two_processes, portable, *given])


def has_launcher(name):
    return name != "mpi" or shutil.which("mpiexec") is not None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["dask", "ray"])
def test_a_cluster_replaces_workers_that_are_killed(name, request, tmp_path):
    """The batches are all there, in order."""

    def deadly(x):
        flag = tmp_path / f"{x[0]:.0f}"
        if x[0] == 8 and not flag.exists():
            flag.touch()
            os._exit(3)
        return (x,)

    ds = ArrayDataSource([np.arange(40.0)])
    with Loader(ds.map(deadly), 4, pool=request.getfixturevalue(name), depth=4) as loader:
        found = [plain(batch) for batch in loader]

    assert [plain(batch) for batch in ds.batch_iterator(4)] == found


@pytest.mark.slow
def test_an_executor_that_lost_a_worker_says_so():
    """It cannot be mended; the error says what can."""
    with ProcessPoolExecutor(1, mp_context=SPAWN) as executor, WorkerPool.over(executor) as pool:
        stream = pool.work_stream([(os._exit, (3,)), (abs, (1,))])
        for _ in range(2):
            with pytest.raises(WorkerDiedError, match="WorkerProcessPool"):
                next(stream)


def test_an_executor_that_is_shut_down_takes_no_work():
    """The loop gets a PoolClosedError."""
    executor = ThreadPoolExecutor(1)
    executor.shutdown()

    with pytest.raises(PoolClosedError, match="the ThreadPoolExecutor was shut down"):
        list(WorkerPool.over(executor).work_stream([(abs, (1,))]))


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_an_executor_that_is_shut_down_while_a_loop_runs_is_named(kind):
    """Its tasks that had not begun are cancelled: an error that says who did it, and not the end of the loop."""
    executor = ThreadPoolExecutor(1) if kind == "threads" else ProcessPoolExecutor(1, mp_context=SPAWN)
    stream = WorkerPool.over(executor).work_stream(((time.sleep, (0.01,)) for _ in range(50)), 50)
    next(stream)
    executor.shutdown(cancel_futures=True)
    found = outcomes(stream)

    assert {True} == set(found) - {None}
    with pytest.raises(PoolClosedError, match=f"the {type(executor).__name__} was shut down"):
        next(WorkerPool.over(executor).work_stream([(abs, (1,))]))


def outcomes(stream):
    found = []
    for _ in range(49):
        try:
            found.append(next(stream))
        except PoolClosedError as error:
            found.append("shut down" in str(error))
    return found


class GivesNoFuture:
    def __init__(self, result):
        self.result = result

    def submit(self, fn, *args):
        return self.result


@pytest.mark.parametrize(("result", "kind"), [(None, "None"), (8, "an int")])
def test_what_gives_no_futures_is_refused(result, kind):
    """By the name of its class, and what it gave."""
    pool = WorkerPool.over(GivesNoFuture(result))

    message = rf"submit\(\) of a GivesNoFuture should return a concurrent.futures.Future, not {kind}"
    with pytest.raises(TypeError, match=message):
        next(pool.work_stream([(abs, (1,))]))


class InOrder:
    """Runs tasks at once, pickled, as if on another host, which has or lacks something."""

    def __init__(self, change=lambda: None):
        self.change = change

    def submit(self, fn, *args):
        future = Future()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("socket.gethostname", lambda: "far")
            self.change()
            try:
                future.set_result(pickle.loads(pickle.dumps(fn(*args))))
            except Exception as error:
                future.set_exception(error)
        return future


@pytest.mark.parametrize("name", ["batchup", "NumPy"])
def test_other_versions_are_refused(monkeypatch, name):
    """With the host and both versions."""
    here = executors._versions()
    pool = WorkerPool.over(InOrder(lambda: monkeypatch.setattr(executors, "_versions", lambda: here | {name: "0.1"})))

    message = f"the program has {name} {here[name]}, and a worker on host far has {name} 0.1: install the same"
    with pytest.raises(RuntimeError, match=message):
        next(pool.work_stream([(abs, (1,))]))


class Unpickled:
    """Raises an error where it is unpickled."""

    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        return raised, (self.error,)


def raised(error):
    raise error


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (ModuleNotFoundError("No module named 'zarr'", name="zarr"), "far.*lacks the module 'zarr'"),
        (FileNotFoundError(2, "No such file", "/data/x.npy"), "far.*does not have this file: give paths"),
    ],
)
def test_what_another_host_lacks_is_named(error, hint):
    """With the host, whether the source cannot be loaded there, or fails when it is used."""
    pool = WorkerPool.over(InOrder())
    for task in [(len, (Unpickled(error),)), (raised, (error,))]:
        with pytest.raises(type(error)) as caught:
            next(pool.work_stream([task]))
        assert re.search(hint, " ".join(caught.value.__notes__))


def test_workers_without_batchup_are_named():
    """With their host, if the executor can still be asked."""

    class Lacks(InOrder):
        def submit(self, fn, *args):
            future = Future()
            if fn is eval:
                future.set_result((True, "far"))
            else:
                future.set_exception(ModuleNotFoundError("No module named 'batchup'", name="batchup"))
            return future

    with pytest.raises(ModuleNotFoundError) as caught:
        next(WorkerPool.over(Lacks()).work_stream([(abs, (1,))]))
    assert any("workers on host far lack the module 'batchup'" in note for note in caught.value.__notes__)


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
    with WorkerPool.over(threads) as pool:
        assert "<WorkerPool over ThreadPoolExecutor of 2 workers>" == repr(pool)
    assert "<WorkerPool over ThreadPoolExecutor of 2 workers, closed>" == repr(pool)


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


class Loses:
    """A cluster whose workers die, and what was put with them. Its futures are cancelled, or are never done."""

    name = "losing cluster"

    def __init__(self, times, tells):
        self.times, self.tells = times, tells
        self.lost = set()

    def submit(self, fn, *args):
        future = Future()
        if self.times:
            self.times -= 1
            self.lost.update(args[3:])
            if self.tells:
                future.cancel()
        else:
            future.set_result(fn(*args[:3], *map(self.puts.get, args[3:])))
        return future

    puts: ClassVar = {}

    def put(self, pickled):
        self.puts[len(self.puts)] = pickled
        return len(self.puts) - 1

    def has(self, stand_in):
        return stand_in not in self.lost


@pytest.mark.parametrize("tells", [True, False])
def test_what_is_lost_with_a_worker_is_sent_again(monkeypatch, tells):
    """A few times; then the error says that workers died."""
    monkeypatch.setattr(executors, "LOOK", 0.01)
    found = []
    for times in (2, 9):
        pool = executors.ExecutorPool(SimpleNamespace(submit=max), 1)
        pool.cluster = Loses(times, tells)
        found.append(pool.submit(sum, pool.share([1, 2])).exception())

    assert found[0] is None
    assert isinstance(found[1], WorkerDiedError)
    assert "died 4 times" in str(found[1])


@pytest.fixture
def logged():
    """What is logged."""
    records, handler = [], logging.Handler()
    handler.emit = records.append
    logging.getLogger().addHandler(handler)
    yield records
    logging.getLogger().removeHandler(handler)


@pytest.mark.slow
def test_a_task_of_dask_can_be_cancelled_in_any_thread(dask, logged):
    """Also in that of Dask, where the garbage collector may run. There are no warnings, and nothing is logged."""
    pool, done = WorkerPool.over(dask), threading.Event()
    replies = [pool.engine.submit(time.sleep, 0.1) for _ in range(8)]

    def cancel():
        for reply in replies[:4]:
            reply.cancel()
        done.set()

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        dask.loop.add_callback(cancel)
        assert done.wait(30)
        for reply in replies[4:]:
            reply.cancel()
        assert [3] * 4 == list(pool.work_stream([(abs, (-3,))] * 4))
        gc.collect()

    assert [True] * 8 == [isinstance(reply.exception(30), CancelledError) for reply in replies]
    assert [] == [each for each in warned if "never awaited" in str(each.message)]
    assert [] == [each.getMessage() for each in logged if "Exception in callback" in each.getMessage()]
