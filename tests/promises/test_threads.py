"""What several threads share stays right where the interpreter changes threads as often as it can."""

import itertools
import sys
import threading

import numpy as np
import pytest

from batchup import ArrayDataSource, Loader, WorkerThreadPool
from batchup.engine.outcome import Outcome
from batchup.engine.pools import ThreadPool
from batchup.engine.stream import WorkStream
from batchup.errors import PoolClosedError

pytestmark = pytest.mark.timeout(60)

X = np.arange(2000)
WAIT = 30  # seconds for what takes milliseconds


@pytest.fixture(autouse=True)
def often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(*functions):
    """What these functions return, or raise, when each runs in a thread of its own, all at once."""
    start, results = threading.Barrier(len(functions)), [None] * len(functions)

    def run(i):
        start.wait(WAIT)
        try:
            results[i] = functions[i]()
        except Exception as error:
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert not any(thread.is_alive() for thread in threads)
    return results


def test_a_task_is_run_or_cancelled_but_never_both():
    """Whoever claims it first has it."""
    for _ in range(300):
        outcome = Outcome()
        begun, cancelled, other = together(outcome.begin, outcome.cancel, outcome.begin)

        assert 1 == sum([begun, cancelled, other])


def test_each_task_runs_once():
    """Also where four threads hand them to one pool; each gets its own results, in order."""
    ran = [itertools.count() for _ in range(4)]

    def results_of(i, pool):
        return lambda: list(WorkStream(pool, [((lambda n: (n, next(ran[i]))), (n,)) for n in range(300)], depth=7))

    with ThreadPool(3) as pool:
        found = together(*(results_of(i, pool) for i in range(4)))

    for each in found:
        assert list(range(300)) == [n for n, _ in each] == sorted(count for _, count in each)


def test_loaders_that_share_a_pool():
    """Each gives the batches that it gives alone."""
    expected = [[x.tolist() for (x,) in Loader([X], 7, shuffle=seed)] for seed in range(4)]
    with WorkerThreadPool(3) as pool:
        loaders = [Loader(ArrayDataSource([X]), 7, shuffle=seed, pool=pool) for seed in range(4)]
        found = together(*((lambda each=each: [x.tolist() for (x,) in each]) for each in loaders))

    assert expected == found


def test_a_pool_that_is_closed_meanwhile():
    """Whoever waits for it gets results up to some place, and then an error; nobody waits for ever."""
    for _ in range(20):
        pool, some = ThreadPool(2), threading.Event()

        def taken(pool=pool, some=some):
            results = []
            try:
                for result in WorkStream(pool, ((abs, (-n,)) for n in range(10**6)), depth=5):
                    results.append(result)
                    if result == 20:
                        some.set()
            except PoolClosedError:
                return results == list(range(len(results)))

        def closed(pool=pool, some=some):
            some.wait(WAIT)
            pool.close()
            return True

        assert [True, True, True, True] == together(taken, taken, closed, closed)


def test_a_state_may_be_taken_at_any_time():
    """From another thread as well: it is that of some moment, and a loader goes on from it."""
    expected = [x.tolist() for (x,) in Loader([X], 3, shuffle=7, pool=2)]
    with Loader([X], 3, shuffle=7, pool=2) as loader:
        loop = iter(loader)
        found, states = together(
            lambda: [x.tolist() for (x,) in loop], lambda: [loader.state_dict() for _ in range(300)]
        )

    assert expected == found
    for state in states[::60]:
        if state["epoch"] == 0:
            other = Loader([X], 3, shuffle=7)
            other.load_state_dict(state)
            assert expected[state["step"] :] == [x.tolist() for (x,) in other]


def test_threads_that_read_chunks_of_one_file(tmp_path):
    """They share a cache, and what it holds."""
    h5py = pytest.importorskip("h5py")
    from batchup.storage import HDF5Array

    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=X[:200].reshape(-1, 2), chunks=(5, 2), compression="gzip")
    rows = [np.random.default_rng(seed).permutation(100)[:40] for seed in range(4)]
    with HDF5Array(tmp_path / "x.h5", "x", cache=400) as array:  # some chunks fit
        found = together(*((lambda some=some: [array[some].tolist() for _ in range(30)]) for some in rows))

    for some, batches in zip(rows, found, strict=True):
        assert [X[:200].reshape(-1, 2)[some].tolist()] * 30 == batches
