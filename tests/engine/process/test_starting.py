"""How worker processes are started."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from batchup import WorkerProcessPool
from batchup.engine.cores import cores
from batchup.engine.process.starting import THREADS

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def pool(two_processes):
    return two_processes


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


def test_libraries_have_their_share_of_threads(monkeypatch):
    """As many as there are cores, divided by the workers."""
    import joblib

    found = [library for library in COUNTS if importlib.util.find_spec(library)]
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    with WorkerProcessPool(joblib.cpu_count()) as many:
        counts = list(many.work_stream((COUNTS[library],) for library in found))

    assert dict.fromkeys(found, 1) == dict(zip(found, counts, strict=True))


def test_what_is_set_in_the_environment_counts_instead(monkeypatch):
    """It is what the libraries find there; of what is not set, they find their share."""
    for name in THREADS[1:]:
        monkeypatch.setenv(name, "2")
    monkeypatch.delenv(THREADS[0], raising=False)
    with WorkerProcessPool(1) as pool:
        found = next(pool.work_stream([(lambda: {name: os.environ[name] for name in THREADS},)]))

    assert {**dict.fromkeys(THREADS, "2"), THREADS[0]: str(cores())} == found


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
