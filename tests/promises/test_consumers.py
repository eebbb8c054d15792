"""What consumers do: they leave, keep what they get, and are many."""

import contextlib
import os
import threading

import numpy as np
import pytest
from programs import quiet, run

from batchup import ArrayDataSource, Loader, SubsetSampler, WorkerThreadPool

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")

POOLS = ["WorkerThreadPool", "WorkerProcessPool"]
WAYS = {
    "break": """
        for batch in par.batch_iterator(10):
            break
    """,
    "del": """
        batches = par.batch_iterator(10)
        next(batches)
        del batches
    """,
    "close": """
        batches = par.batch_iterator(10)
        next(batches)
        batches.close()
        assert next(batches, None) is None
    """,
    "error": """
        try:
            for batch in par.batch_iterator(10):
                raise RuntimeError("in the loop")
        except RuntimeError:
            pass
    """,
}


LEAVING = "".join(f"def leave_by_{name}(par):\n{body}\n" for name, body in WAYS.items())
LEAVING += f"ways = [{', '.join(f'leave_by_{name}' for name in WAYS)}]\n"


@pytest.mark.parametrize("kind", POOLS)
def test_waiting_picks_are_cancelled_at_once(tmp_path, kind):
    """The consumer leaves its loop: the batch under way is the last one, the 18 behind it are never begun."""
    ended = run(
        LEAVING
        + f"""
def gated(x, name):
    k = x[0, 0] // 40
    note("begun " + name, k)
    if k:
        wait_until((here / ("open " + name)).exists)
    return (x,)

with {kind}(1) as pool:
    for i, way in enumerate(ways * 20):  # tasks this short are done before one looks around
        name = str(i)
        par = pool.parallel_data_source(ArrayDataSource([X]).map(lambda x, name=name: gated(x, name)), 20)
        way(par)
        note("open " + name)
        if batches_of(pool.parallel_data_source(ArrayDataSource([X]))) != batches_of(ArrayDataSource([X])):
            print(way.__name__, "other batches")
        if not set(noted("begun " + name)) <= {{"0", "1"}}:
            print(way.__name__, noted("begun " + name))
""",
        tmp_path,
    )

    assert quiet("") == ended


@pytest.mark.parametrize("kind", POOLS)
def test_hundreds_of_iterators_leave_nothing(tmp_path, kind):
    """However the consumer leaves: no descriptor, thread, child or memory more, here or in the workers."""
    ended = run(
        LEAVING
        + f"""
def descriptors(pid):
    return len(os.listdir(f"/proc/{{pid}}/fd")) if os.path.isdir("/proc/self/fd") else 0

def census():
    gc.collect()
    everyone = [os.getpid(), *workers()]
    return {{
        "descriptors": sum(map(descriptors, everyone)),
        "threads": sum(psutil.Process(pid).num_threads() for pid in everyone),
        "processes": len(everyone),
        "shared memory": pool.engine.stats()["shared_bytes"],
        "objects": len(gc.get_objects()),
    }}

large = np.arange(250 * 1000.0).reshape(250, 1000)  # through shared memory; the other through the pipe
with {kind}(2) as pool:
    def go(n):
        for i in range(n):
            par = pool.parallel_data_source(ArrayDataSource([large if i % 2 else X]), 4)
            ways[i % 4](par)
        del par
        for _ in range(2):
            assert batches_of(pool.parallel_data_source(ArrayDataSource([X]), 4)) == batches_of(ArrayDataSource([X]))

    go(60)
    before = census()
    go(200)
    after = census()
    some = {{"descriptors": 16, "threads": 0, "processes": 0, "shared memory": 16 * 81920, "objects": 50}}
    print({{kind: (before[kind], n) for kind, n in after.items() if n > before[kind] + some[kind]}})
""",
        tmp_path,
    )

    assert quiet("{}\n") == ended


@pytest.mark.parametrize("columns", [4, 1000])
@pytest.mark.parametrize("kind", POOLS)
def test_kept_batches_are_the_consumers_own(tmp_path, kind, columns):
    """200 are kept with a buffer of 3, and -1 is written into each: none changes, and neither does the source."""
    ended = run(
        f"""
X = np.arange(2000 * {columns}).reshape(2000, {columns})
with {kind}(2) as pool:
    par = pool.parallel_data_source(ArrayDataSource([X]), 3)
    kept, wrong = [], []
    for k, (x,) in enumerate(par.batch_iterator(10)):
        if not (x == X[10 * k : 10 * k + 10]).all():
            wrong.append(k)
        x[:] = -1
        kept.append(x)
    print(len(kept), wrong, all((x == -1).all() for x in kept), int(X.min()))
    for k, x in enumerate(kept):
        x[:] = k
    again = list(par.batch_iterator(10))
    print(all((x == k).all() for k, x in enumerate(kept)))
    print(all((x == X[10 * k : 10 * k + 10]).all() for k, (x,) in enumerate(again)))
print(all((x == k).all() for k, x in enumerate(kept)))  # the pool is closed
""",
        tmp_path,
    )

    assert quiet("200 [] True 0\nTrue\nTrue\nTrue\n") == ended


@pytest.mark.parametrize("kind", POOLS)
def test_many_iterators_in_many_threads(tmp_path, kind):
    """Six threads with three iterators each on one pool, in random turns: each gets what it would get alone."""
    ended = run(
        f"""
Y = np.arange(250 * 500).reshape(250, 500)

def loops(t, wrong):
    turns = random.Random(t)
    mine = []
    for i in range(3):
        source, size, seed = ArrayDataSource([(Y if i % 2 else X) + t]), turns.randint(3, 40), 10 * t + i
        expected = batches_of(source, size, shuffle=seed)
        mine.append((pool.parallel_data_source(source, 1 + i * 3).batch_iterator(size, shuffle=seed), expected))
    while mine:
        turn = turns.randrange(len(mine))
        batches, expected = mine[turn]
        batch = next(batches, None)
        if batch is None:
            wrong += expected
            del mine[turn]
        elif not expected or batch[0].tolist() != expected.pop(0):
            wrong.append((t, turn))

with {kind}(2) as pool:
    wrong = []
    threads = [threading.Thread(target=loops, args=(t, wrong)) for t in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(wrong)
""",
        tmp_path,
    )

    assert quiet("[]\n") == ended


@pytest.mark.parametrize("kind", ["WorkerThreadPool", "no pool", "loader"])
def test_one_iterator_in_two_threads_is_refused(kind):
    """As of a generator: a batch might come twice, and another never."""
    begun, go_on = threading.Event(), threading.Event()

    def plan(batch_size, rng=None):
        yield np.arange(2)
        begun.set()
        go_on.wait(10)
        yield np.arange(2, 4)

    sampler = SubsetSampler([0, 1, 2, 3])
    sampler.in_order_indices_batch_iterator = plan
    ds = ArrayDataSource([np.arange(4)], sampler=sampler)
    with contextlib.ExitStack() as stack:
        if kind == "WorkerThreadPool":
            pool = stack.enter_context(WorkerThreadPool(1))
            ds = pool.parallel_data_source(ds, 1)
        batches = iter(Loader(ds, 2)) if kind == "loader" else ds.batch_iterator(2)
        got = []
        thread = threading.Thread(target=lambda: got.extend(batches))
        thread.start()
        begun.wait(10)
        with pytest.raises(ValueError, match="another thread is asking this iterator"):
            next(batches)
        go_on.set()
        thread.join(10)

    assert [[0, 1], [2, 3]] == [x.tolist() for (x,) in got]
