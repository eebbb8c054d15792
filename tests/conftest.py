"""What every test has: pools to run over, and a census that nothing is left behind."""

from __future__ import annotations

import fnmatch
import functools
import gc
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # they cost each process that imports NumPy a tenth of a second

import numpy as np
import psutil
import pytest

from batchup import WorkerProcessPool, WorkerThreadPool
from batchup.engine.process.pool import ProcessPool

gc.disable()  # until all tests are collected: it would go through what they import, again and again

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell: programs would not hear Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

np.seterr(all=os.environ.get("NUMPY_ERRORS"))  # `make test-strict` sets it to "raise"

# No example has a deadline: the machine may be busy. `make test` tries others each time, `.ci/run` more of them, and
# `make test-fast` a few, the same each time.
hypothesis.settings.register_profile("whole", deadline=None, max_examples=50)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=200)
hypothesis.settings.register_profile("fast", deadline=None, max_examples=10, derandomize=True, database=None)
hypothesis.settings.load_profile("whole")

TESTS = Path(__file__).parent

# What `make test-fast` leaves out: whole files, by their path in this folder, and cases that start processes, by the
# names of their parameters or of their class. A single slow test is marked where it stands.
SLOW_FILES = [
    "batch_iter/test_item_rng.py",
    "engine/process/*",
    "flow/test_example.py",
    "flow/test_programs.py",
    "interop/*",
    "loader/test_ctrl_c.py",
    "loader/test_picture.py",
    "loader/test_random_transforms.py",
    "promises/*",
    "test_docs.py",
    "test_examples.py",
    "test_laws.py",
    "testing/test_contracts.py",
    "testing/test_determinism.py",
]
SLOW_CASES = re.compile(r"[Pp]rocess|torch|noise|\bmpc\b|[Ll]oky|[Dd]ask|scikit_learn|TestRay|TestMPI")


@functools.cache
def in_slow_file(path: Path) -> bool:
    inner = path.relative_to(TESTS).as_posix() if path.is_relative_to(TESTS) else ""
    return any(fnmatch.fnmatch(inner, pattern) for pattern in SLOW_FILES)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow."""
    for item in items:
        name = item.nodeid.rpartition(".py::")[2]
        if in_slow_file(item.path) or (item.path.is_relative_to(TESTS) and SLOW_CASES.search(name)):
            item.add_marker(pytest.mark.slow)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import the slow files where nothing of them is wanted."""
    return True if config.option.markexpr == "not slow" and in_slow_file(collection_path) else None


def freeze() -> None:
    """Leave out what is there now when garbage is collected later: to go through it takes half a second each time."""
    gc.collect()
    gc.freeze()


def pytest_collection_finish() -> None:
    freeze()
    gc.enable()


@pytest.fixture(scope="module", autouse=True)
def libraries_are_frozen() -> Iterator[None]:
    """Those that a test module has imported while its tests ran."""
    before = len(sys.modules)
    yield
    if len(sys.modules) > before + 100:
        freeze()


@pytest.fixture
def slow_files() -> list[str]:
    return SLOW_FILES


def ends(process: psutil.Process) -> bool:
    """Whether it should end with its pool: resource trackers of Python and loky, and MPI, end with the program."""
    try:
        return not any(name in " ".join(process.cmdline()) for name in ("resource_tracker", "mpiexec", "hydra_pmi"))
    except psutil.Error:
        return False


def census() -> dict[str, set[object]]:
    """What this process has open: children, threads of ours, shared memory, descriptors."""
    gc.collect()
    return {
        "processes": {(each.pid, each.name()) for each in psutil.Process().children(recursive=True) if ends(each)},
        "threads": {thread.name for thread in threading.enumerate() if thread.name.startswith("batchup")},
        "shared memory": {name for name in _names_in("/dev/shm", tempfile.gettempdir()) if "batchup" in name},
        "memory files": {fd for fd in _descriptors() if "memfd:batchup" in _target(fd)},
    }


def _names_in(*folders: str) -> list[str]:
    return [name for folder in folders if os.path.isdir(folder) for name in os.listdir(folder)]


def _descriptors() -> list[str]:
    return os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []


def _target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def leftovers(before: dict[str, set[object]], seconds: float = 30.0) -> dict[str, set[object]]:
    """What is there now and was not `before`; what is on its way out has some seconds for it."""
    until = time.monotonic() + seconds
    while True:
        now = census()
        more = {kind: now[kind] - before[kind] for kind in now if now[kind] - before[kind]}
        if not more or time.monotonic() > until:
            return more
        time.sleep(0.02)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """After the last test: no process, thread, shared memory or memory file that was not there before the first."""
    before = census()
    yield
    if "launcher" in sys.modules:
        sys.modules["launcher"].close_all()
    if "batchup.flow" in sys.modules:
        sys.modules["batchup.flow"].close_workers()  # those that batches share stay until somebody says so
    assert {} == leftovers(before)


class KeptProcesses(ProcessPool):
    """Worker processes that tests share. They are there until the last test, whoever closes them before."""

    def close(self) -> None:
        pass

    def come_to_rest(self) -> None:
        """Let nothing wait for them; what they are at has some seconds to end."""
        waiting, until = self._schedule.waiting, time.monotonic() + 30
        while waiting and time.monotonic() < until:
            self.glance()
            time.sleep(0.001)
        assert {} == waiting

    def end(self) -> None:
        super().close()


@pytest.fixture(scope="session")
def _kept() -> Iterator[dict[int, WorkerProcessPool]]:
    made: dict[int, WorkerProcessPool] = {}
    yield made
    for pool in made.values():
        pool.engine.end()


@pytest.fixture(scope="module")
def kept_processes(_kept: dict[int, WorkerProcessPool]) -> Iterator[Callable[[int], WorkerProcessPool]]:
    """A pool of so many worker processes, the same one for all modules; each module leaves it at rest."""

    def kept(n: int) -> WorkerProcessPool:
        if n not in _kept:
            _kept[n] = WorkerProcessPool.__new__(WorkerProcessPool)
            _kept[n]._engine = KeptProcesses(n)
        return _kept[n]

    yield kept
    for pool in _kept.values():
        pool.engine.come_to_rest()


@pytest.fixture
def resting_processes(kept_processes: Callable[[int], WorkerProcessPool]) -> Iterator[Callable[[int], Any]]:
    """As `kept_processes`, which this test leaves at rest."""
    used: list[Any] = []

    def kept(n: int) -> WorkerProcessPool:
        used.append(kept_processes(n))
        return used[-1]

    yield kept
    for pool in used:
        pool.engine.come_to_rest()


@pytest.fixture(scope="module")
def two_processes(kept_processes: Callable[[int], WorkerProcessPool]) -> WorkerProcessPool:
    """Two worker processes that all modules share."""
    return kept_processes(2)


@pytest.fixture(scope="module", params=["threads", "processes"])
def pool(request: pytest.FixtureRequest) -> Iterator[WorkerThreadPool | WorkerProcessPool]:
    """A pool of two workers of each kind."""
    if request.param == "processes":
        yield request.getfixturevalue("two_processes")
        return
    with WorkerThreadPool(2) as made:
        yield made
