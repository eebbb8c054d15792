"""Memory: where it is, how much there is of it, and what happens when there is no more."""

import os
import signal

import psutil
import pytest
from programs import Ended, needs_no_coverage, private_shm, quiet, run

from batchup.engine.process.platforms import is_portable

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")
needs_shared_memory = pytest.mark.skipif(is_portable(), reason="portable worker processes have no shared memory")

WARNED = """
import warnings

warned = warnings.catch_warnings(record=True).__enter__()
warnings.simplefilter("always")
"""
LARGE = """
unit = 1 << 20
sizes = np.array([1, 5, 20, 40, 2, 40, 10, 1] * 2)

def sample(i, size):
    return np.full(int(size[0]) * unit, int(i[0]) + 1, np.uint8), [int(i[0])]

source = ArrayDataSource([np.arange(16), sizes])

def exact(batches):
    n = 0
    for n, (x, [i]) in enumerate(batches, 1):
        if i != n - 1 or len(x) != int(sizes[i]) * unit or not (x == i + 1).all():
            return i
    return n
"""
SMALLER = LARGE.replace("1 << 20", "1 << 16")  # enough for shared memory, which is what is refused


def test_a_small_dev_shm_does_not_matter(tmp_path):
    """16 MB there, and batches of 1 to 40 MB: all exact, and nothing is in there in the end."""
    before = private_shm(16)
    if before is None:
        pytest.skip("a /dev/shm of one's own is not permitted here (unshare -m)")
    ended = run(
        LARGE
        + """
with WorkerProcessPool(2) as pool:
    print(os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize >> 20)
    print(exact(pool.parallel_data_source(source.map(sample), 4).batch_iterator(1)))
    Y = np.ones((40, 1 << 20), np.uint8)
    print(sum(int(x.sum()) for x, in pool.parallel_data_source(ArrayDataSource([Y]), 2).batch_iterator(20)) >> 20)
    print(os.listdir("/dev/shm"))
""",
        tmp_path,
        before,
    )

    assert quiet("16\n16\n40\n[]\nleft:\n") == ended


@needs_shared_memory
@pytest.mark.parametrize(
    ("refuse", "n"),
    [
        ("os.posix_fallocate = none", 1),
        ("shared_memory.writable_memory = none", 1),
        ("os.memfd_create = none", 2),
        pytest.param(
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))", 1, marks=needs_no_coverage
        ),
    ],
)
def test_without_shared_memory_for_results_the_pipe_will_do(tmp_path, refuse, n):
    """A worker that gets no more of it, from the third batch on, sends its results another way: all exact, with one
    warning for a pool, in the loop, that says why."""
    ended = run(
        SMALLER
        + WARNED
        + f"""
def refusing(i, size):
    import errno, os, resource
    from batchup.engine.process import shared_memory
    def none(*args, **kwargs):
        raise OSError(errno.ENOMEM, "no more of it")
    if i[0] >= 2:
        {refuse}
    return sample(i, size)

with WorkerProcessPool({n}) as pool:
    batches = pool.parallel_data_source(source.map(refusing), 4).batch_iterator(1)
    print(exact(batches), batches.stats().restarts)
    print(exact(pool.parallel_data_source(source.map(refusing), 4).batch_iterator(1)))
    print([warning.category.__name__ for warning in warned])
    print(all("shared memory cannot be allocated" in str(w.message) or "mapped" in str(w.message) for w in warned))
    print(all(w.filename == __file__ for w in warned))
""",
        tmp_path,
    )

    assert quiet("16 0\n16\n['RuntimeWarning']\nTrue\nTrue\n") == ended


@needs_shared_memory
def test_the_warning_may_be_an_error(tmp_path):
    """Of the loop's; none of the batches is lost by it."""
    ended = run(
        SMALLER
        + """
def refusing(i, size):
    import os
    def none(*args, **kwargs):
        raise OSError("no more of it")
    os.memfd_create = none
    return sample(i, size)

with WorkerProcessPool(1) as pool:
    batches = pool.parallel_data_source(source.map(refusing), 4).batch_iterator(1)
    try:
        next(batches)
    except RuntimeWarning as warning:
        print("through pipes" in str(warning))
    print(exact(batches), batches.stats().restarts)
""",
        tmp_path,
    )

    assert quiet("True\n16 0\n") == ended


@needs_shared_memory
def test_without_shared_memory_for_a_source_there_is_an_error(tmp_path):
    """A `SharedMemoryError` at the call, with the reason; when there is memory again, the pool works."""
    ended = run(
        """
import errno

def none(*args, **kwargs):
    raise OSError(errno.ENOSPC, "no more of it")

par_of = lambda pool: pool.parallel_data_source(ArrayDataSource([np.zeros((1000, 1000))]), 4)
there, (soft, hard) = (os.pwrite, os.memfd_create), resource.getrlimit(resource.RLIMIT_FSIZE)
refusals = [
    ("os.pwrite", "no more of it", lambda: setattr(os, "pwrite", none)),
    ("os.memfd_create", "no more of it", lambda: setattr(os, "memfd_create", none)),
    ("RLIMIT_FSIZE", "too large", lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))),
]
with WorkerProcessPool(1) as pool:
    for name, said, refuse in refusals:
        refuse()
        try:
            par_of(pool).batch_iterator(100)
        except SharedMemoryError as error:
            print(name, isinstance(error, OSError), said in str(error))
        os.pwrite, os.memfd_create = there
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        print(name, len(list(par_of(pool).batch_iterator(100))))
""",
        tmp_path,
    )

    names = "os.pwrite", "os.memfd_create", "RLIMIT_FSIZE"
    assert quiet("".join(f"{name} True True\n{name} 10\n" for name in names)) == ended


@needs_shared_memory
@pytest.mark.parametrize("columns", [1000, 750], ids=["large", "several to a slot"])
def test_memory_that_the_parent_cannot_map_costs_time_only(tmp_path, columns):
    """What a worker has put there comes through the pipe: no error, no restart, one warning."""
    ended = run(
        WARNED
        + f"""
import errno
from batchup.engine.process.shared_memory import Segment

def none(*args, **kwargs):
    raise OSError(errno.ENOMEM, "no more of it")

Y = np.arange(250.0 * {columns}).reshape(250, {columns})
with WorkerProcessPool(2) as pool:
    expected = batches_of(ArrayDataSource([Y]))
    batches = pool.parallel_data_source(ArrayDataSource([Y]), 4).batch_iterator(10)
    kept = [next(batches)[0]]
    there, Segment.mapped = Segment.mapped, staticmethod(none)
    kept += [next(batches)[0] for _ in range(14)]
    Segment.mapped = staticmethod(there)
    kept += [x for x, in batches]
    print([x.tolist() for x in kept] == expected, batches.stats().restarts)
    print(batches_of(pool.parallel_data_source(ArrayDataSource([Y]))) == expected, batches.stats().slots > 0)
    print(len(warned), "no more of it" in str(warned[0].message))
""",
        tmp_path,
    )

    assert quiet("True 0\nTrue True\n1 True\n") == ended


@pytest.mark.parametrize("kind", ["WorkerThreadPool", "WorkerProcessPool"])
@pytest.mark.parametrize("depth", [1, 8])
def test_no_more_batches_than_the_buffer_holds(tmp_path, kind, depth):
    """Picks drawn, batches begun and samples read ahead of the consumer: `batch_buffer_size`, at any moment."""
    ended = run(
        f"""
from batchup.sampling import StandardSampler

class Counting(StandardSampler):
    def in_order_indices_batch_iterator(self, batch_size):
        for pick in super().in_order_indices_batch_iterator(batch_size):
            note("drawn")
            yield pick

class Data:
    def __len__(self):
        return 250

    def __getitem__(self, indices):
        note("read", len(indices))
        return indices

def read():
    return sum(map(int, noted("read")))

with {kind}(2) as pool:
    source = ArrayDataSource([Data()], sampler=Counting(250))
    batches = pool.parallel_data_source(source, {depth}).batch_iterator(10)
    found, n, ahead = [], 0, []
    while True:
        wait_until(lambda: read() >= 10 * min(25, n + {depth}))  # all that may be read ahead has been
        time.sleep(0.01)
        ahead.append((len(noted("drawn")) - n, read() // 10 - n))
        batch = next(batches, None)
        if batch is None:
            break
        found.append(batch[0].tolist())
        n += 1
    print(ahead == [(min(25 - n, {depth}),) * 2 for n in range(26)] or ahead)
    print(found == batches_of(ArrayDataSource([np.arange(250)])))
""",
        tmp_path,
    )

    assert quiet("True\nTrue\n") == ended


@needs_shared_memory
def test_shared_memory_is_used_again(tmp_path):
    """For a consumer that keeps nothing, a worker has two slots more than the buffer is deep, at most, however long."""
    ended = run(
        """
Y = np.zeros((2000, 1000))
with WorkerProcessPool(2) as pool:
    for depth in [1, 20]:
        slots = []
        for epoch in range(2):
            batches = pool.parallel_data_source(ArrayDataSource([Y]), depth).batch_iterator(10)
            for x, in batches:
                slots.append(batches.stats().slots)
        print(len(slots), 0 < max(slots) <= 2 * (depth + 2) or max(slots))
        print(batches.stats().shared_bytes < Y.nbytes + 100_000 + 2 * (depth + 2) * 90_112)
""",
        tmp_path,
    )

    assert quiet("400 True\nTrue\n" * 2) == ended


@needs_shared_memory
def test_slots_are_bounded_whatever_happens(tmp_path):
    """Two loops in turns, workers that are killed, loops that are left: as many for a worker as both buffers are deep,
    and two more."""
    ended = run(
        """
Y = np.zeros((4000, 1000))
slots, depth = [], 10
with WorkerProcessPool(2) as pool:
    par = pool.parallel_data_source(ArrayDataSource([Y]), depth)
    for n in range(2):
        one, two = par.batch_iterator(10), par.batch_iterator(10)
        for k in range(100):
            next(one), next(random.choice([one, two]))
            if k in (17, 57):
                os.kill(random.choice(workers()), signal.SIGKILL)
            slots.append(one.stats().slots)
print(0 < max(slots) <= 2 * (2 * depth + 2) or max(slots))
""",
        tmp_path,
    )

    assert quiet("True\n") == ended


def test_a_batch_of_more_than_2_gib(tmp_path):
    """Crosses like any other."""
    if psutil.virtual_memory().available < 8 << 30:
        pytest.skip("less than 8 GB of memory is available")
    ended: Ended = run(
        """
def huge(x):
    array = np.empty(2_254_857_830, np.uint8)  # 2.1 GiB
    array[[0, 1 << 31, -1]] = 1, 2, 3
    return (array,)

with WorkerProcessPool(1) as pool:
    for x, in pool.parallel_data_source(ArrayDataSource([X[:1]]).map(huge), 1).batch_iterator(1):
        print(len(x), x[[0, 1 << 31, -1]].tolist())
""",
        tmp_path,
    )
    if ended.returncode == -signal.SIGKILL:
        pytest.skip("the system had not so much memory after all")

    assert quiet("2254857830 [1, 2, 3]\n") == ended
