"""What the data, or a map, raises."""

import os

import pytest
from programs import quiet, run

POOLS = ["WorkerThreadPool", "WorkerProcessPool"]


@pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")
@pytest.mark.parametrize("where", ["data", "map"])
@pytest.mark.parametrize("kind", POOLS)
def test_an_error_comes_in_its_place(tmp_path, kind, where):
    """The batches before it come first; it says what, where and at which batch; it is not tried again; all goes on."""
    ended = run(
        f"""
import traceback

class Mine(ValueError):
    pass

def bad_at_ten(x):
    k = int(x[0]) // 10
    note("begun", k)
    if k == 10:
        raise Mine("a bad sample")
    return x

class Data:
    def __len__(self):
        return 250

    def __getitem__(self, indices):
        return bad_at_ten(indices)

numbers = np.arange(250)
in_data, in_map = ArrayDataSource([Data()]), ArrayDataSource([numbers]).map(lambda x: (bad_at_ten(x),))
expected = batches_of(ArrayDataSource([numbers]))
with {kind}(2) as pool:
    batches = pool.parallel_data_source(in_{where}, 6).batch_iterator(10)
    others = pool.parallel_data_source(ArrayDataSource([numbers]), 6).batch_iterator(10)
    found = []
    for _ in range(10):
        found.append((next(batches)[0].tolist(), next(others)[0].tolist()))
    print(found == [(each, each) for each in expected[:10]])
    try:
        next(batches)
    except Mine as error:
        print(error, error.args)
        print([line for line in error.__notes__ if "batch" in line])
        print("bad_at_ten" in "".join(traceback.format_exception(error)))
    print([x.tolist() for x, in others] == expected[10:])
    print([x.tolist() for x, in batches] == expected[11:])
    print(sorted(map(int, noted("begun"))) == list(range(25)))
    print(batches_of(pool.parallel_data_source(ArrayDataSource([numbers]))) == expected)
""",
        tmp_path,
    )

    assert (
        quiet(
            """
            True
            a bad sample ('a bad sample',)
            ['while fetching batch 10 (samples 100, 101, 102, 103, 104, 105, 106, 107, …)']
            True
            True
            True
            True
            True
            """
        )
        == ended
    )


@pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")
@pytest.mark.parametrize("where", ["data", "map"])
@pytest.mark.parametrize("kind", POOLS)
def test_no_error_shortens_an_epoch(tmp_path, kind, where):
    """What would end a loop, a generator, a thread or a program in silence is a `WorkerError` of one batch."""
    ended = run(
        f"""
class Data:
    def __init__(self, kind):
        self.kind = kind

    def __len__(self):
        return 250

    def __getitem__(self, indices):
        if 100 in indices:
            raise self.kind("enough")
        return indices

def source(kind):
    data = Data(kind)
    if {where!r} == "data":
        return ArrayDataSource([data])
    return ArrayDataSource([np.arange(250)]).map(lambda x: (data[x],))

class Quiet(BaseException):
    pass

with {kind}(2) as pool:
    for kind in [StopIteration, GeneratorExit, SystemExit, KeyboardInterrupt, StopAsyncIteration, Quiet]:
        batches, n, errors = pool.parallel_data_source(source(kind), 4).batch_iterator(10), 0, []
        while True:
            try:
                for x, in batches:
                    n += 1
                break
            except Exception as error:
                text = str(error)
                errors.append((type(error).__name__, getattr(error, "type_name", ""), error.__notes__[-1][:23], n))
        print(n, *errors, text)
    print(batches_of(pool.parallel_data_source(ArrayDataSource([X]))) == batches_of(ArrayDataSource([X])))
""",
        tmp_path,
    )

    said = ended.stdout.splitlines()
    names = ["StopIteration", "GeneratorExit", "SystemExit", "KeyboardInterrupt", "StopAsyncIteration", "Quiet"]
    for line, name in zip(said, names, strict=False):
        outer, inner = (name, "") if name == "StopAsyncIteration" else ("WorkerError", name)
        assert line.startswith(f"24 {(outer, inner, 'while fetching batch 10', 10)} ")
        assert line.endswith("enough")
    assert (0, "True", "", 0) == (ended.returncode, said[-1], ended.stderr, ended.left)
    assert len(names) + 1 == len(said)
