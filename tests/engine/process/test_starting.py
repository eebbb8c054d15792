"""How worker processes are started."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from batchup import WorkerProcessPool
from batchup.engine.process import starting
from batchup.engine.process.starting import THREADS

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def pool():
    with WorkerProcessPool(2) as made:
        yield made


def test_numbers_of_threads_are_shared_out(pool):
    """Workers together use no more threads for linear algebra than there are cores."""
    import joblib

    threads = max(1, joblib.cpu_count() // 2)
    assert [os.environ.get("OMP_NUM_THREADS", str(threads))] == list(
        pool.work_stream([(lambda: os.environ["OMP_NUM_THREADS"],)])
    )


COUNTS = {  # how many threads a library uses, by its module
    "torch": lambda: __import__("torch").get_num_threads(),
    "cv2": lambda: __import__("cv2").getNumThreads(),
    "numba": lambda: __import__("numba").get_num_threads(),
    "polars": lambda: __import__("polars").thread_pool_size(),
}


@pytest.mark.parametrize("given", [None, "2"])
def test_libraries_have_their_share_of_threads(given, monkeypatch):
    """As many as there are cores, divided by the workers; what is set in the environment counts instead."""
    import joblib

    found = [library for library in COUNTS if importlib.util.find_spec(library)]
    for name in THREADS:
        if given:
            monkeypatch.setenv(name, given)
        else:
            monkeypatch.delenv(name, raising=False)
    with WorkerProcessPool(joblib.cpu_count()) as many:
        counts = list(many.work_stream((COUNTS[library],) for library in found))

    expected = min(2, joblib.cpu_count()) if given else 1
    assert dict.fromkeys(found, expected) == dict(zip(found, counts, strict=True))


def test_on_windows_handles_are_inherited(monkeypatch):
    """Those of the pipes alone, while the process is started; in the worker they become descriptors again."""
    inheritable = []
    fake = SimpleNamespace(
        get_osfhandle=lambda fd: 1000 + fd, open_osfhandle=lambda handle, flags: (handle - 1000, flags)
    )
    monkeypatch.setitem(sys.modules, "msvcrt", fake)
    monkeypatch.setattr(subprocess, "STARTUPINFO", SimpleNamespace, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 512, raising=False)
    monkeypatch.setattr(os, "set_handle_inheritable", lambda *args: inheritable.append(args), raising=False)
    with starting._passed([3, 4]) as (names, keywords):
        assert [(1003, True), (1004, True)] == inheritable

    assert [1003, 1004] == names
    assert {"handle_list": [1003, 1004]} == keywords["startupinfo"].lpAttributeList
    assert 512 == keywords["creationflags"]
    assert [(1003, False), (1004, False)] == inheritable[2:]
    assert 3 == starting.descriptor_of("1003", os.O_RDONLY)[0]
    assert [(1003, False)] == inheritable[4:]


def test_the_program_of_a_worker_gets_its_path_and_its_arguments(tmp_path):
    """The path may have spaces, and is all that is searched."""
    folder = tmp_path / "with spaces"
    folder.mkdir()
    (folder / "said.py").write_text("import sys\n\ndef main(*args):\n    print(args, sys.path)\n")
    code = "from batchup.engine.process import starting; import os; fd = os.dup(1); " + (
        f"starting.start_process('said.main', [fd], [5, 'x y'], dict(os.environ), [{str(folder)!r}]).wait(); print(fd)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    said, fd = done.stdout.splitlines()

    assert f"('{fd}', '5', 'x y') ['{folder}']" == said


def test_a_pipe_is_not_taken_for_a_standard_stream():
    """Where a program has closed its own, a pipe would get their numbers, and be replaced in the worker."""
    code = """
import os
from batchup.engine.process.starting import new_pipe

os.close(0), os.close(1)
before = set(os.listdir("/dev/fd"))
out, into = new_pipe()
os.write(into, b"through")
print(min(out, into) > 2, os.read(out, 10), len(set(os.listdir("/dev/fd")) - before), file=__import__("sys").stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)

    assert "True b'through' 2\n" == done.stderr
