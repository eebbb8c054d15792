"""Workers that die cost time, and nothing else."""

import os

import pytest
from programs import quiet, run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")

FATAL = """
ways = [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, None]

def end_this_process(way):
    if way is None:
        os._exit(3)
    os.kill(os.getpid(), way)
    threading.Event().wait()
"""


@pytest.mark.parametrize("n", [1, 2])
def test_a_worker_that_dies_at_work_costs_time_only(tmp_path, n):
    """Each batch kills its worker once, by a signal or by an exit: all arrive in order, none that was done again."""
    batches = 4
    ended = run(
        FATAL
        + f"""
def deadly(x):
    k = x[0, 0] // 40
    note("begun", k)
    if noted("begun").count(str(k)) == 1:
        end_this_process(ways[(k + {n}) % len(ways)])
    note("done", k)
    return (x,)

source = ArrayDataSource([X[:{10 * batches}]])
with WorkerProcessPool({n}) as pool:
    found = batches_of(pool.parallel_data_source(source.map(deadly), 6))
    print(found == batches_of(source))
    print(sorted(map(int, noted("begun"))) == sorted([*range({batches}), *range({batches})]))
    print(sorted(map(int, noted("done"))) == list(range({batches})))
    print(pool.engine.stats()["restarts"])
""",
        tmp_path,
    )

    assert quiet(f"True\nTrue\nTrue\n{batches}\n") == ended


@pytest.mark.parametrize("n", [1, 2])
def test_a_worker_may_be_killed_at_any_batch(tmp_path, n):
    """Killed from outside, whatever it does just then: each epoch is exact. Other batches are tried each time."""
    ended = run(
        f"""
ways = [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV]
expected = batches_of(ArrayDataSource([X]), shuffle=7)
wrong = []
with WorkerProcessPool({n}) as pool:
    par = pool.parallel_data_source(ArrayDataSource([X]).map(lambda x: (x + 0,)), 4)
    for at in [0, *random.sample(range(1, 24), 3), 24]:
        found = []
        for k, (x,) in enumerate(par.batch_iterator(10, shuffle=7)):
            if k == at:
                os.kill(random.choice(workers()), ways[(at + {n}) % 3])
            found.append(x.tolist())
        if found != expected:
            wrong.append(at)
print(wrong)
""",
        tmp_path,
    )

    assert quiet("[]\n") == ended


def test_workers_killed_while_idle_are_replaced(tmp_path):
    """The next epoch does not notice, whatever killed them."""
    ended = run(
        """
expected = batches_of(ArrayDataSource([X]))
with WorkerProcessPool(2) as pool:
    par = pool.parallel_data_source(ArrayDataSource([X]), 4)
    for ways in [(signal.SIGKILL, signal.SIGTERM), (signal.SIGSEGV, signal.SIGKILL)]:
        print(batches_of(par) == expected)
        victims = workers()
        for pid, way in zip(victims, ways):
            os.kill(pid, way)
        wait_until(lambda: not set(victims) & set(workers()))
    print(batches_of(par) == expected)
""",
        tmp_path,
    )

    assert quiet("True\n" * 3) == ended


def test_two_iterators_survive_together(tmp_path):
    """Workers that die serve two loops, and both are exact."""
    ended = run(
        """
one, two = ArrayDataSource([X]), ArrayDataSource([X * 100])
with WorkerProcessPool(2) as pool:
    both = [pool.parallel_data_source(ds, 5).batch_iterator(10, shuffle=3) for ds in (one, two)]
    found = [], []
    for k in range(25):
        for i in (0, 1):
            found[i].append(next(both[i])[0].tolist())
        if k % 9 == 2:
            os.kill(workers()[k % 2], signal.SIGKILL)
    print(found[0] == batches_of(one, shuffle=3), found[1] == batches_of(two, shuffle=3))
    print([next(batches, None) for batches in both])
""",
        tmp_path,
    )

    assert quiet("True True\n[None, None]\n") == ended


def test_a_batch_that_kills_every_time_is_named(tmp_path):
    """Three attempts; the batches before it come first; the error has the batch and its samples; all else goes on."""
    ended = run(
        """
def deadly(x):
    k = x[0, 0] // 40
    note("begun", k)
    if k == 10:
        os._exit(7)
    return (x,)

with WorkerProcessPool(2) as pool:
    batches = pool.parallel_data_source(ArrayDataSource([X]).map(deadly), 4).batch_iterator(10)
    expected = batches_of(ArrayDataSource([X]))
    print([next(batches)[0].tolist() for _ in range(10)] == expected[:10])
    try:
        next(batches)
    except WorkerDiedError as error:
        print(error.batch_number, error.indices.tolist(), error.attempts, error.exit_codes)
        print(error.__notes__)
    print(noted("begun").count("10"))
    print([x.tolist() for x, in batches] == expected[11:])
    print(batches_of(pool.parallel_data_source(ArrayDataSource([X]))) == expected)
""",
        tmp_path,
    )

    assert (
        quiet(
            """
            True
            10 [100, 101, 102, 103, 104, 105, 106, 107, 108, 109] 3 (7, 7, 7)
            ['while fetching batch 10 (samples 100, 101, 102, 103, 104, 105, 106, 107, …)']
            3
            True
            True
            """
        )
        == ended
    )


def test_deaths_do_not_accuse_a_slow_batch(tmp_path):
    """Five and more workers die while one innocent batch is worked on: it arrives, at its first attempt."""
    ended = run(
        """
def one_innocent(x):
    if x[0, 0]:
        note("deaths")
        os._exit(7)
    note("innocent")
    wait_until(lambda: len(noted("deaths")) >= 5)
    return (x,)

with WorkerProcessPool(2) as pool:
    batches = pool.parallel_data_source(ArrayDataSource([X[:40]]).map(one_innocent), 4).batch_iterator(10)
    print(next(batches)[0].tolist() == X[:10].tolist())
    for _ in range(3):
        try:
            next(batches)
        except WorkerDiedError as error:
            print(error.batch_number, error.attempts)
    print(next(batches, None), len(noted("innocent")), len(noted("deaths")))
""",
        tmp_path,
    )

    assert quiet("True\n1 3\n2 3\n3 3\nNone 1 9\n") == ended


def test_a_worker_that_grows_is_left_alone(tmp_path):
    """One that keeps 24 MB a batch, and has grown by half a gigabyte, loses nothing and is not replaced."""
    ended = run(
        """
class Keeps:
    def __init__(self):
        self.kept = []

    def __len__(self):
        return 20

    def __getitem__(self, indices):
        self.kept.append(np.ones(24_000_000, np.uint8))
        return np.array([[i, len(self.kept)] for i in indices])

with WorkerProcessPool(1) as pool:
    stream = pool.parallel_data_source(ArrayDataSource([Keeps()]), 4).batch_iterator(1)
    print([x.tolist() for x, in stream] == [[[i, i + 1]] for i in range(20)])
    print(psutil.Process(workers()[0]).memory_info().rss > 480_000_000, stream.stats().restarts)
""",
        tmp_path,
    )

    assert quiet("True\nTrue 0\n") == ended
