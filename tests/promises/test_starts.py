"""Where workers are started from: profilers, folders that change, modules that have no folder, and no interpreter."""

import os
import sys

import pytest
from programs import Program, needs_no_coverage, quiet, run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")


@pytest.mark.parametrize("profiler", ["cProfile -o profile", "trace --count -C counts --summary", "coverage run"])
def test_under_a_profiler(tmp_path, profiler):
    """The main module is the profiler's; functions, classes and errors of the program are its own all the same."""
    if profiler.startswith("coverage"):
        pytest.importorskip("coverage")
    path = tmp_path / "program.py"
    path.write_text(
        """
import numpy as np
from batchup import ArrayDataSource, WorkerProcessPool

class MyError(Exception):
    pass

class Mine:
    def __init__(self, x):
        self.x = x

def made(n):
    if n == 2:
        raise MyError("two")
    return Mine(n)

class Source:
    def __len__(self):
        return 4

    def __getitem__(self, indices):
        return np.array([made(n).x for n in indices])

with WorkerProcessPool(1) as pool:
    stream = pool.work_stream((made, (n,)) for n in range(4))
    for n in range(4):
        try:
            print(type(next(stream)) is Mine)
        except MyError as error:
            print("caught", error)
    loop = pool.parallel_data_source(ArrayDataSource([Source()])).batch_iterator(1)
    print(next(loop), next(loop))
    try:
        next(loop)
    except MyError as error:
        print("caught", error)
"""
    )
    program = Program([sys.executable, "-m", *profiler.split(), str(path)], tmp_path)
    try:
        ended = program.ended()
    finally:
        program.close()

    said = "True\nTrue\ncaught two\nTrue\n(array([0]),) (array([1]),)\ncaught two\n"
    assert 0 == ended.returncode
    assert ended.stdout.startswith(said)


def test_a_module_that_was_loaded_from_a_file(tmp_path):
    """Workers get its functions and classes with the task, as they cannot import it; also beside one of that name."""
    (tmp_path / "plugins").mkdir()
    for name in ("plugin", "json"):
        (tmp_path / "plugins" / f"{name}.py").write_text(
            "class Wrong(Exception):\n    pass\n\ndef f(x):\n    if x > 2:\n        raise Wrong(x)\n    return x + 1\n"
        )
    ended = run(
        """
import importlib.util, json

for name in "plugin", "json":
    spec = importlib.util.spec_from_file_location(name, here / "plugins" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    with WorkerProcessPool(1) as pool:
        stream = pool.work_stream((module.f, (n,)) for n in (1, 3))
        print(next(stream))
        try:
            next(stream)
        except module.Wrong as error:
            print("caught", error)
""",
        tmp_path,
    )

    assert quiet("2\ncaught 3\n2\ncaught 3\n") == ended


def test_folders_that_are_relative_or_gone(tmp_path):
    """Entries of `sys.path` count from where the program is when it makes the pool; one that is gone counts not."""
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "helpers.py").write_text("def f(x):\n    return x + 1\n")
    (tmp_path / "gone").mkdir()
    ended = run(
        """
os.chdir(here)
sys.path.insert(0, "below")
from helpers import f

with WorkerProcessPool(1) as pool:
    os.chdir("/")
    print(list(pool.work_stream([(f, (1,))])))
    os.kill(workers()[0], signal.SIGKILL)  # the one that replaces it, too
    print(os.path.samefile(list(pool.work_stream([(lambda: sys.path[0],)]))[0], here / "below"))
os.chdir(here / "gone")
os.rmdir(here / "gone")
sys.path[0] = ""
with WorkerProcessPool(1) as pool:
    print(list(pool.work_stream([(pow, (2, 3))])))
""",
        tmp_path,
    )

    assert quiet("[2]\nTrue\n[8]\n") == ended


def test_no_interpreter_is_an_error_at_once(tmp_path):
    """Also in a frozen program, whose executable would start it again; one that is no Python, at the first batch."""
    ended = run(
        """
import multiprocessing
from batchup.errors import WorkerDiedError

real = sys.executable
def outcome():
    try:
        with WorkerProcessPool(1) as pool:
            return list(pool.work_stream([(pow, (2, 3))]))
    except (RuntimeError, WorkerDiedError) as error:
        return type(error).__name__, "multiprocessing.set_executable" in str(error), "frozen" in str(error)

for sys.executable in None, "", "/not/there":
    multiprocessing.set_executable(sys.executable)
    print(*outcome())
sys.executable = "/bin/true"
multiprocessing.set_executable(sys.executable)
print(*outcome()[:1])
sys.executable, sys.frozen = real, True
multiprocessing.set_executable(real)
print(*outcome())
os.symlink(real, here / "python")
multiprocessing.set_executable(os.path.join(os.path.dirname(real), ".", os.path.basename(real)))
print(outcome())
""",
        tmp_path,
    )

    no = "RuntimeError True False\n"
    assert quiet(3 * no + "WorkerDiedError\nRuntimeError True True\n[8]\n") == ended


@needs_no_coverage
@pytest.mark.skipif(not hasattr(os, "memfd_create") or os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_that_has_become_another_user(tmp_path, when):
    """Its workers share memory with it, whether it made the pool before or after that; nothing is left."""
    ended = run(
        f"""
import ctypes, warnings

def change_user():
    "Become nobody, who may read all files, as the interpreter may be in a folder of root's."
    libc, read = ctypes.CDLL(None), 2
    libc.prctl(8, 1, 0, 0, 0)  # keep capabilities
    os.setgid(65534)
    os.setuid(65534)
    libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[1 << read] * 3, 0, 0, 0))
    libc.prctl(47, 2, read, 0, 0)  # hand it on to the programs that this one starts

warnings.simplefilter("ignore")  # results of a pool that root has made go through pipes
before = sorted(os.listdir("/dev/shm"))
if {when!r} == "after":
    change_user()
with WorkerProcessPool(1) as pool:
    if {when!r} == "before":
        next(pool.work_stream([(os.getpid,)]))
        change_user()
    for size in 1, 100_000:
        source = ArrayDataSource([np.arange(10 * size).reshape(10, size)])
        batches = pool.parallel_data_source(source).batch_iterator(3)
        print(sum(int(x.sum()) for (x,) in batches) == int(source.data[0].sum()))
    del batches, source
print(sorted(os.listdir("/dev/shm")) == before)
""",
        tmp_path,
    )

    assert quiet("True\nTrue\nTrue\n") == ended
