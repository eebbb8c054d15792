"""Worker processes for all systems: the promises of pools hold without shared memory, signals and names."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import batchup
from batchup import ArrayDataSource, WorkerProcessPool, WorkStream
from batchup.engine.process.platforms import VARIABLE
from batchup.engine.process.portable import PortableGroup
from batchup.errors import BatchTimeoutError, WorkerDiedError
from batchup.testing import PoolContract, plain

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("by_value")]


@pytest.fixture(autouse=True)
def _portable(monkeypatch):
    monkeypatch.setenv(VARIABLE, "portable")


@pytest.fixture(scope="module")
def pool():
    """Two workers that the tests share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, "portable")
        made = WorkerProcessPool(2)
    with made:
        assert isinstance(made.engine._group, PortableGroup)
        yield made


class TestPortableProcesses(PoolContract):
    def make(self):
        return WorkerProcessPool(1)

    @pytest.fixture
    def pool(self, pool):
        return pool


def pids_of(pool: WorkerProcessPool) -> set[int]:
    """The worker processes, all of them having begun to work."""
    return {reply.result() for reply in [pool.engine.submit(os.getpid) for _ in range(4)]}


def restarts(pool: WorkerProcessPool) -> int:
    return pool.engine.stats()["restarts"]


def wait_for_ever():
    threading.Event().wait()


def test_killed_workers_cost_nothing_but_time(pool):
    """Every batch arrives, in order, once."""
    ds = ArrayDataSource([np.arange(4000).reshape(200, 20)])
    expected = [plain(batch) for batch in ds.batch_iterator(10, shuffle=7)]
    found, before = [], restarts(pool)
    for i, batch in enumerate(pool.parallel_data_source(ds, 6).batch_iterator(10, shuffle=7)):
        if i in (0, 3, 9):
            psutil.Process(pids_of(pool).pop()).kill()
        found.append(plain(batch))

    assert expected == found
    assert 3 == restarts(pool) - before


def test_only_the_task_that_kills_its_worker_is_to_blame(tmp_path):
    """It is named after three attempts; the tasks before and behind it, and a slow one beside it, arrive."""
    slow_may_end = tmp_path / "end"

    def task(n):
        if n == 0:
            while not slow_may_end.exists():
                time.sleep(0.005)
        if n == 3:
            with open(tmp_path / "deaths", "a") as file:
                file.write("x")
            os._exit(7)
        if n == 5:
            slow_may_end.touch()
        return n

    with WorkerProcessPool(2) as pool:
        stream = pool.work_stream(((task, (n,)) for n in range(8)), 8)
        assert [0, 1, 2] == [next(stream) for _ in range(3)]
        with pytest.raises(WorkerDiedError, match="exit codes 7, 7, 7") as died:
            next(stream)

        assert [4, 5, 6, 7] == list(stream)
    assert (3, "xxx") == (died.value.attempts, (tmp_path / "deaths").read_text())


def test_a_task_that_takes_too_long_is_given_up(pool):
    """Its worker is replaced, and the pool goes on."""
    pids_of(pool)
    before = restarts(pool)
    stream = WorkStream(pool.engine, [(wait_for_ever,), (pow, (2, 3))], timeout=0.5)

    with pytest.raises(BatchTimeoutError):
        next(stream)
    stream.close()
    assert [8] == list(pool.work_stream([(pow, (2, 3))]))
    assert 1 == restarts(pool) - before


def test_what_is_shared_is_sent_to_each_worker_once(tmp_path):
    """And again to one that replaces another. Constants within constants come along."""

    class Counted:
        def __init__(self, inner):
            self.inner = inner

        def __setstate__(self, state):
            self.__dict__.update(state)
            with open(tmp_path / "loads", "a") as file:
                file.write(f"{os.getpid()}\n")

        def __call__(self, n):
            return int(self.inner[n])

    with WorkerProcessPool(2) as pool:
        inner = pool.shared_constant(np.arange(100_000))
        shared = pool.shared_constant(Counted(inner))
        assert list(range(50)) == list(pool.work_stream(((shared, (n,)) for n in range(50)), 4))
        before = (tmp_path / "loads").read_text().split()
        victim = psutil.Process(pids_of(pool).pop())
        victim.kill()
        psutil.wait_procs([victim], 30)
        assert list(range(50)) == list(pool.work_stream(((shared, (n,)) for n in range(50)), 4))
        after = (tmp_path / "loads").read_text().split()

    assert len(before) == len(set(before)) <= 2
    assert len(after) == len(set(after)) <= 3


def test_what_is_not_used_any_more_is_freed(pool):
    """In the workers too, with the next task."""
    shared = pool.shared_constant(np.arange(1000))
    serial = shared.serial
    assert [499500] * 4 == list(pool.work_stream((np.sum, (shared,)) for _ in range(4)))
    assert any(serial in worker._known for worker in pool.engine._group.workers)
    del shared
    gc.collect()

    def held(n):
        from batchup.engine.process import constants

        return serial in constants._constants or serial in constants._received

    assert [False] * 4 == list(pool.work_stream((held, (n,)) for n in range(4)))
    assert not any(serial in worker._known for worker in pool.engine._group.workers)


def test_arrays_are_the_consumers_own(pool):
    """Large and small ones are writable, and those that are shared are read-only in workers."""
    shared = pool.shared_constant(np.zeros(10))
    large, small, flag = pool.work_stream(
        [(np.zeros, (1 << 20,)), (np.zeros, (3,)), (lambda x: x.flags.writeable, (shared,))]
    )
    large[:], small[:] = 1, 1

    assert (1 << 20, 3, False) == (large.sum(), small.sum(), flag)


def test_a_worker_that_does_not_read_holds_nobody_up(pool):
    """Submitting returns at once, however much waits for it."""
    worker, _ = pool.engine._group.workers
    pids_of(pool)
    psutil.Process(worker.process.pid).suspend()
    replies = [pool.engine.submit(len, b"x" * (1 << 22)) for _ in range(6)]
    psutil.Process(worker.process.pid).resume()

    assert [1 << 22] * 6 == [reply.result() for reply in replies]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_the_end_of_a_worker_is_seen_though_a_process_of_its_holds_its_pipe(tmp_path):
    """A process that was forked in a worker may outlive it."""

    def forks(n):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        (tmp_path / "child").write_text(str(child))
        os._exit(5)

    with WorkerProcessPool(1, retries=0) as pool:
        with pytest.raises(WorkerDiedError, match="a worker process died at this task .exit code 5"):
            next(pool.work_stream([(forks, (0,))]))
        assert [8] == list(pool.work_stream([(pow, (2, 3))]))
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are not listed here")
def test_a_pool_that_is_closed_leaves_nothing():
    """No descriptor, thread or process; busy or idle, and collected too."""
    gc.collect()
    descriptors, threads = set(os.listdir("/proc/self/fd")), set(threading.enumerate())
    pool = WorkerProcessPool(2)
    pids = pids_of(pool)
    blocked = pool.work_stream([(wait_for_ever,)] * 2)
    pool.close()
    del blocked
    other = WorkerProcessPool(1)
    pids |= pids_of(other)
    del other, pool
    gc.collect()

    assert descriptors == set(os.listdir("/proc/self/fd"))
    assert set() == set(threading.enumerate()) - threads
    assert [] == [pid for pid in pids if psutil.pid_exists(pid)]


CUSTOMIZED = '''
"""As near to Windows as a process can be here: what is not there is gone before anything of batchup is imported."""

import ctypes, mmap, os, select, signal, sys, threading, subprocess, pathlib, tempfile, multiprocessing, types
import numpy, joblib, cloudpickle

subprocess.signal = types.SimpleNamespace(**vars(signal))  # it kills by a signal here, and otherwise on Windows

ROOM = (  # what CPython has on POSIX systems only, as far as anything of ours might use it
    (os, "memfd_create pidfd_open register_at_fork sched_getaffinity sched_setaffinity posix_fallocate pwrite pread "
         "geteuid getuid fork set_blocking readv writev mkfifo setsid killpg getpgid sysconf statvfs uname O_CLOEXEC"),
    (signal, "pthread_sigmask pthread_kill set_wakeup_fd SIGKILL SIGSTOP SIGCONT SIGUSR1 SIGCHLD SIGALRM setitimer "
             "alarm sigwait"),
    (mmap, "MAP_PRIVATE MAP_SHARED PROT_READ PROT_WRITE MAP_ANONYMOUS"),
    (select, "poll epoll"),
)
for module, names in ROOM:
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None


def no_library(self, name, *args, **kwargs):
    raise TypeError("there is no ctypes.CDLL(None) here")


ctypes.CDLL.__init__ = no_library
real_open = open


def without_proc(path, *args, **kwargs):
    if str(path).startswith("/proc") and ("/fd" in str(path) or "/maps" in str(path)):
        raise FileNotFoundError(path)
    return real_open(path, *args, **kwargs)


import builtins

builtins.open = without_proc
sys.platform = "win32"
'''

MODULES = """
import importlib, pkgutil, sys
for name in ("torch", "tensorflow", "jax", "keras", "h5py", "zarr", "pandas", "pyarrow", "PIL", "sklearn", "lightning",
             "accelerate", "xarray", "cupy", "polars", "tables", "distributed", "numba", "cv2"):
    sys.modules[name] = None  # which look for libraries of Windows
import batchup

needs = []
for module in pkgutil.walk_packages(batchup.__path__, "batchup."):
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        needs.append(getattr(error, "name", None))
assert not {"fcntl", "resource", "msvcrt"} & set(needs), needs
print(sys.platform, "all modules")
"""

POOL = """
import os, sys
import numpy as np
from batchup import ArrayDataSource, Loader, WorkerProcessPool
from batchup.errors import WorkerDiedError

X = np.arange(1000).reshape(250, 4)
np.save("X.npy", X)


def doubled(x, rng):
    assert sys.platform == "win32"
    return 2 * x + rng.integers(1), rng.random(len(x))


def deadly(x):
    if x[0, 0] == 400 and os.path.exists("first"):
        os.remove("first")
        os._exit(3)
    return (x,)


def batches_of(source, **kwargs):
    with Loader(source, 10, shuffle=7, **kwargs) as loader:
        return [[field.tolist() for field in batch] for batch in loader]


source = ArrayDataSource([X]).random_map(doubled)
print(batches_of(source) == batches_of(source, pool="processes", workers=1))
mapped = ArrayDataSource([np.load("X.npy", mmap_mode="r")])
open("first", "w").close()
once = ArrayDataSource([X]).map(deadly)
with WorkerProcessPool(2) as pool:
    print(batches_of(mapped) == batches_of(mapped, pool=pool))
    print(batches_of(once, pool=pool) == batches_of(ArrayDataSource([X])))
with WorkerProcessPool(1, retries=0) as pool:
    try:
        list(pool.work_stream([(os._exit, (9,))]))
    except WorkerDiedError as error:
        print(error.exit_codes)
    print(type(pool.engine._group).__name__)
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("body", "said"),
    [(MODULES, "win32 all modules\n"), (POOL, "True\nTrue\nTrue\n(9,)\nPortableGroup\n")],
    ids=["imports", "pool"],
)
def test_nothing_is_needed_that_windows_lacks(tmp_path, body, said):
    """Not in the program and not in its workers; the platform of both says that it is Windows."""
    (tmp_path / "sitecustomize.py").write_text(CUSTOMIZED)
    (tmp_path / "program.py").write_text(textwrap.dedent(body))
    path = os.pathsep.join([str(tmp_path), str(Path(batchup.__file__).parents[1])])
    environment = os.environ | {"PYTHONPATH": path}
    for name in (VARIABLE, "PYTHONWARNINGS", "PYTHONDEVMODE", "COVERAGE_PROCESS_START"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=170
    )

    assert (0, said, "") == (done.returncode, done.stdout, done.stderr)
