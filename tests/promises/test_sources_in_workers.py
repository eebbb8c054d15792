"""What goes to worker processes and back."""

import importlib.util
import os

import pytest
from programs import quiet, run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")


def test_most_things_can_be_pickled(tmp_path):
    """Lambdas, closures, local classes and what a program defines itself work, and come back as what they are."""
    ended = run(
        """
import collections, functools

class OfMain:
    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, indices):
        return self.x[indices]

    def doubled(self, x):
        return (2 * x,)

Pair = collections.namedtuple("Pair", "a b")

class Units(np.ndarray):
    pass

class Callable:
    def __call__(self, x):
        return (x + 3,)

def local_class():
    class Local(OfMain):
        pass
    return Local(np.arange(50))

def closure(n):
    return lambda x: (x + n,)

def power(n, x):
    return (x ** n,)

def recursive(x, n=3):
    return recursive(x + 1, n - 1) if n else (x,)

x = np.arange(50)
plain = ArrayDataSource([x])
matrix = {
    "lambda": plain.map(lambda x: (x + 1,)),
    "closure": plain.map(closure(5)),
    "local class": ArrayDataSource([local_class()]),
    "class of main": ArrayDataSource([OfMain(x)]),
    "partial": plain.map(functools.partial(power, 2)),
    "bound method": plain.map(OfMain(x).doubled),
    "named tuple": plain.map(lambda x: Pair(x, [1, 2])),
    "subclass of ndarray": ArrayDataSource([x.view(Units)]),
    "callable": plain.map(Callable()),
    "recursive": plain.map(recursive),
    "objects": plain.map(lambda x: (np.array([{"a": 1}, None], object), "text")),
    "list of strings": ArrayDataSource([[str(n) for n in range(50)]]),
    "instances of main": plain.map(lambda x: (Pair(OfMain(x).x[0], 1),)),
}

def seen(batch):
    return [(type(part), str(getattr(part, "dtype", "")), str(part)) for part in batch], type(batch)

with WorkerProcessPool(1) as pool:
    for name, source in matrix.items():
        serial = [seen(batch) for batch in source.batch_iterator(10)]
        found = [seen(batch) for batch in pool.parallel_data_source(source).batch_iterator(10)]
        if found != serial:
            print(name, found[0], serial[0])
print("done")
""",
        tmp_path,
    )

    assert quiet("done\n") == ended


def test_what_cannot_be_pickled_is_named_at_the_call(tmp_path):
    """A `DataSourcePicklingError`, from `batch_iterator`, with the attribute; the pool goes on."""
    ended = run(
        """
class Holds:
    def __init__(self, thing):
        self.deep = {"thing": thing}

    def __len__(self):
        return 50

    def __getitem__(self, indices):
        return indices

file = open(__file__, "rb")
things = {"lock": threading.Lock(), "file": file, "generator": (n for n in range(3)), "frame": sys._getframe()}
with WorkerProcessPool(1) as pool:
    for name, thing in things.items():
        par = pool.parallel_data_source(ArrayDataSource([Holds(thing)]))
        try:
            par.batch_iterator(10)
        except DataSourcePicklingError as error:
            words = ["data[0].deep['thing']", "cannot pickle"]
            print(name, isinstance(error, TypeError), *[word in str(error) for word in words])
    try:
        pool.parallel_data_source(ArrayDataSource([X]).map(lambda x: (file, x))).batch_iterator(10)
    except DataSourcePicklingError as error:
        print("in a map", str(error).startswith("file "))
    print(batches_of(pool.parallel_data_source(ArrayDataSource([X]))) == batches_of(ArrayDataSource([X])))
file.close()
""",
        tmp_path,
    )

    assert (
        quiet(
            """
            lock True True True
            file True True True
            generator True True True
            frame True True True
            in a map True
            True
            """
        )
        == ended
    )


def test_results_and_errors_that_do_not_cross_are_told(tmp_path):
    """They cost their batch, and no worker: what cannot be pickled, or be loaded again, is an error with the text."""
    ended = run(
        """
class Two(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")

class WithLock(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()

class Speechless(Exception):
    def __init__(self):
        self.lock = threading.Lock()

    def __str__(self):
        raise ValueError("no text")

class Exits:
    def __reduce__(self):
        raise SystemExit("while pickling")

class ErrorThatExits(Exception):
    def __reduce__(self):
        raise SystemExit("while pickling")

def explode():
    raise ValueError("not here")

class Unloadable:
    def __reduce__(self):
        return explode, ()

class UnloadableError(Exception):
    def __reduce__(self):
        return explode, ()

def raising(error):
    raise error

def two():
    raise Two(1, 2)

tasks = {
    "a lock": threading.Lock,
    "a generator": lambda: (n for n in range(3)),
    "two arguments": two,
    "an error with a lock": lambda: raising(WithLock("locked")),
    "no text": lambda: raising(Speechless()),
    "exits when pickled": Exits,
    "an error that exits when pickled": lambda: raising(ErrorThatExits("exits")),
    "cannot be loaded": Unloadable,
    "an error that cannot be loaded": lambda: raising(UnloadableError("unloadable")),
}
with WorkerProcessPool(1) as pool:
    stream = pool.work_stream((fn,) for fn in tasks.values())
    for name in tasks:
        try:
            print(name, next(stream))
        except Exception as error:
            print(f"{name}: {type(error).__name__}, {getattr(error, 'type_name', '')}, {error}")
    print(next(stream, None), stream.stats().restarts)
""",
        tmp_path,
    )

    assert (0, "", 0) == (ended.returncode, ended.stderr, ended.left)
    said = ended.stdout.splitlines()
    assert 10 == len(said)
    assert "cannot pickle" in said[0]
    assert "cannot pickle" in said[1]
    assert "two arguments: WorkerError, Two, Two: 1 and 2" == said[2]
    assert "an error with a lock: WorkerError, WithLock, WithLock: locked" == said[3]
    assert said[4].startswith("no text: WorkerError, Speechless, Speechless: ")
    assert "exits when pickled: WorkerError, SystemExit, SystemExit: while pickling" == said[5]
    assert "an error that exits when pickled: WorkerError, ErrorThatExits, ErrorThatExits: exits" == said[6]
    assert said[7].startswith("cannot be loaded: WorkerError, ")
    assert said[7].endswith("not here")
    assert "an error that cannot be loaded: WorkerError, UnloadableError, UnloadableError: unloadable" == said[8]
    assert "None 0" == said[9]


def test_no_batch_is_stale(tmp_path):
    """60 sources one after the other, some dropped in mid-epoch, and one changed in place: each gives its own."""
    ended = run(
        """
with WorkerProcessPool(2) as pool:
    wrong = []
    for n in range(60):
        par = pool.parallel_data_source(ArrayDataSource([np.full(40, n)]).map(lambda x, n=n: (x * 1000 + n,)), 4)
        batches = par.batch_iterator(10)
        found = [next(batches)[0].tolist() for _ in range(2 if n % 3 else 4)]
        if found != [[1001 * n] * 10] * len(found):
            wrong.append(n)
        del par, batches
    print(wrong)

    class Counting:
        factor = 1

        def __init__(self):
            self.rows = [[n] for n in range(50)]

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, indices):
            return np.array([self.rows[i] for i in indices]) * self.factor

    data, Y = Counting(), np.arange(50)
    source = ArrayDataSource([data, Y])
    par = pool.parallel_data_source(source, 4)
    both = lambda source: [(x.tolist(), y.tolist()) for x, y in source.batch_iterator(10)]
    print(both(par) == both(source))
    data.rows[7][0] = -5
    print(both(par) == both(source))
    Y[33] = 77
    print(both(par) == both(source))
    data.factor = 3
    print(both(par) == both(source))
""",
        tmp_path,
    )

    assert quiet("[]\nTrue\nTrue\nTrue\nTrue\n") == ended


def test_workers_forget_what_was_dropped(tmp_path):
    """20 sources of 5 MB, one after the other: neither the workers nor the shared memory grow with them."""
    ended = run(
        """
def looked_at(x):
    return (x.sum(axis=1), )

with WorkerProcessPool(2) as pool:
    rss, shared = [], []
    for n in range(20):
        par = pool.parallel_data_source(ArrayDataSource([np.full((500, 1250), float(n))]).map(looked_at), 4)
        batches = par.batch_iterator(50)
        assert [x.tolist() for x, in batches] == [[1250.0 * n] * 50] * 10
        rss.append(sum(psutil.Process(pid).memory_info().rss for pid in workers()))
        shared.append(batches.stats().shared_bytes)
        del par, batches
    print(max(rss) - rss[3] < 50_000_000 or (rss[3], max(rss)))
    print(max(shared) < 30_000_000 or max(shared))
""",
        tmp_path,
    )

    assert quiet("True\nTrue\n") == ended


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_writes_in_place_stay_in_their_worker(tmp_path):
    """NumPy refuses them; what PyTorch writes, into an array or a map of a file, changes neither the source nor the
    file, nor what other workers see."""
    ended = run(
        """
def halved(x):
    import torch, warnings
    warnings.simplefilter("ignore")  # PyTorch says that the array is not writable
    torch.from_numpy(x.data).sub_(0.5)
    return float(x.data.sum()), os.getpid()

class Holder:
    def __init__(self, data):
        self.data = data

def refused(x):
    try:
        x.data[0] = 7
    except ValueError:
        return True

np.save(here / "x.npy", np.ones(1000))
with WorkerProcessPool(2) as pool:
    for data in np.ones(1000), np.load(here / "x.npy", mmap_mode="r"):
        x = pool.shared_constant(Holder(data))
        print(list(pool.work_stream([(refused, (x,))])))
        found = {}
        for total, pid in pool.work_stream([(halved, (x,))] * 6, 1):
            found.setdefault(pid, []).append(total)
        print(all(totals == [1000 - 500 * (n + 1) for n in range(len(totals))] for totals in found.values()))
        print(data.sum(), np.load(here / "x.npy").sum())
""",
        tmp_path,
    )

    assert quiet(2 * "[True]\nTrue\n1000.0 1000.0\n") == ended
