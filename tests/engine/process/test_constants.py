"""What all workers share: the object itself where it is loaded, and known for what it was made from."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from batchup.engine.process import constants, pickling


@pytest.fixture(autouse=True)
def no_constant_stays():
    """What this process has loaded as if it were a worker."""
    yield
    constants._constants.clear()


def test_a_constant_becomes_its_object_where_it_is_loaded():
    """Once: later references give the same object, until it is forgotten."""
    X = np.arange(1000)
    constant = constants.Constant({"X": X, "paths": ["a", "b"]})
    loaded, again = pickle.loads(constant.reference), pickle.loads(constant.reference)

    np.testing.assert_equal(loaded, {"X": X, "paths": ["a", "b"]})
    assert loaded is again
    assert not loaded["X"].flags.writeable
    constants.forget(constant.serial)
    assert loaded is not pickle.loads(constant.reference)
    constants.forget(constant.serial)
    constant.close()


def changes_of(X):
    return {
        "nothing": lambda: None,
        "one value": lambda: X.__setitem__((5, 3), 7),
        "the last value": lambda: X.__setitem__((-1, -1), 7),
    }


@pytest.mark.parametrize("change", ["nothing", "one value", "the last value"])
def test_a_constant_knows_what_it_was_made_from(change):
    """A single value that is changed in place is seen."""
    X = np.zeros((3000, 100))
    constant = constants.Constant([X, "label"])
    changes_of(X)[change]()

    assert (change == "nothing") == constant.holds([X, "label"])
    assert not constant.holds([X, "other"])
    assert not constant.holds([X[:-1], "label"])
    constant.close()
    assert not constant.holds([X, "label"])


def test_arrays_over_bytes_are_not_compared(monkeypatch):
    """They cannot change: they are held instead, and looked up by where they are; all others are compared."""
    X = np.frombuffer(bytes(2_400_000)).reshape(3000, 100)
    Y = np.zeros(1000)
    Y.flags.writeable = False
    constant = constants.Constant([X, Y])
    compared = []

    def equal(a, b):
        compared.append(len(a))
        return True

    constant.holds([X, Y])
    monkeypatch.setattr(constants, "equal", equal)

    assert constant.holds([X, Y])
    assert X.nbytes not in compared
    assert Y.nbytes in compared
    assert constant.holds([np.frombuffer(bytes(2_400_000)).reshape(3000, 100), Y])
    assert X.nbytes in compared
    constant.close()


@pytest.mark.parametrize("through", ["an earlier view", "the array, writeable for a while"])
def test_what_is_marked_as_not_writeable_can_change(through):
    """And is compared, therefore."""
    X = np.zeros((3000, 100))
    view = X[:]
    X.flags.writeable = False
    constant = constants.Constant([X])
    if through == "an earlier view":
        view[-1, -1] = 1
    else:
        X.flags.writeable = True
        X[-1, -1] = 1
        X.flags.writeable = False

    assert not constant.holds([X])
    constant.close()


@pytest.mark.parametrize(
    "part",
    [
        lambda m: m,
        lambda m: m[100:200],
        lambda m: m[::-3, 1:],
        lambda m: np.asarray(m)[5:],
        lambda m: m.reshape(-1)[7:],
    ],
    ids=["whole", "rows", "strided", "ndarray", "flat"],
)
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_memory_map_travels_as_its_path(tmp_path, part, mode):
    """Any view of it; what is written to the file later is seen."""
    np.save(tmp_path / "X.npy", np.arange(100_000.0).reshape(1000, 100))
    mapped = np.load(tmp_path / "X.npy", mmap_mode=mode)
    constant = constants.Constant({"X": part(mapped)})
    loaded = pickle.loads(constant.reference)["X"]

    assert constant.nbytes < 5000
    np.testing.assert_array_equal(loaded, part(mapped))
    assert not loaded.flags.writeable
    if mode == "r+":
        mapped[:] = -1
        assert -1 == loaded.flat[0]
    constants.forget(constant.serial)
    constant.close()


@pytest.mark.parametrize("offset", [0, 808, 1 << 16, 80_008])
def test_a_memory_map_may_begin_anywhere_in_its_file(tmp_path, offset):
    """In its first pages or in later ones."""
    np.arange(20_000.0).tofile(tmp_path / "X")
    mapped = np.memmap(tmp_path / "X", np.float64, "r", offset, 1000)
    constant = constants.Constant(mapped[3:])
    loaded = pickle.loads(constant.reference)

    assert constant.nbytes < 5000
    np.testing.assert_array_equal(loaded, np.arange(1000.0)[3:] + offset // 8)
    constants.forget(constant.serial)
    constant.close()


def test_a_private_memory_map_is_copied(tmp_path):
    """What was written to it is in no file."""
    np.save(tmp_path / "X.npy", np.zeros(1000))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="c")
    mapped[3] = 5
    constant = constants.Constant(mapped)

    assert 5 == pickle.loads(constant.reference)[3]
    constants.forget(constant.serial)
    constant.close()


@pytest.mark.parametrize(
    "made",
    [
        lambda m: np.ma.masked_array(m, mask=np.arange(1000) % 2 == 0),
        lambda m: m.reshape(10, 100).view(np.matrix),
        lambda m: m.view([("a", "f4"), ("b", "f4")]).view(np.recarray),
    ],
    ids=["masked", "matrix", "records"],
)
def test_a_memory_map_within_another_array_keeps_its_class(tmp_path, made):
    """A masked array is more than its data: its mask came from no file."""
    np.save(tmp_path / "X.npy", np.arange(1000.0))
    array = made(np.load(tmp_path / "X.npy", mmap_mode="r"))
    constant = constants.Constant(array)
    loaded = pickle.loads(constant.reference)

    assert (type(array), array.tolist()) == (type(loaded), loaded.tolist())
    constants.forget(constant.serial)
    constant.close()


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="the system does not say what is mapped")
@pytest.mark.parametrize("change", ["replaced", "moved", "deleted"])
def test_a_memory_map_whose_path_is_not_its_own_any_more_is_copied(tmp_path, change):
    """The file that is mapped is what counts, whatever has come to be at its path."""
    path, other = tmp_path / "X.npy", tmp_path / "other.npy"
    np.save(path, np.zeros(1000))
    mapped = np.load(path, mmap_mode="r")
    if change == "replaced":
        np.save(other, np.ones(1000))
        os.replace(other, path)
    elif change == "moved":
        os.replace(path, other)
        np.save(path, np.ones(1000))
    else:
        os.remove(path)
    constant = constants.Constant(mapped)

    assert (pickle.loads(constant.reference) == 0).all()
    assert len(pickling.dumps(mapped)[0]) < 500
    constant.close()


def test_a_memory_map_of_a_new_file_at_the_same_path_is_another(tmp_path):
    """It is sent again, or workers would go on with the file that was there before."""
    path, other = tmp_path / "X.npy", tmp_path / "other.npy"
    np.save(path, np.zeros(1000))
    constant = constants.Constant(np.load(path, mmap_mode="r"))
    loaded = pickle.loads(constant.reference)
    np.save(other, np.ones(1000))
    os.replace(other, path)

    assert (loaded == 0).all()
    assert not constant.holds(np.load(path, mmap_mode="r"))
    constant.close()


def test_a_file_that_is_replaced_before_it_is_mapped_is_an_error(tmp_path):
    """A worker that is started later does not mix two files into one epoch."""
    np.save(tmp_path / "X.npy", np.zeros(1000))
    constant = constants.Constant(np.load(tmp_path / "X.npy", mmap_mode="r"))
    np.save(tmp_path / "other.npy", np.ones(1000))
    os.replace(tmp_path / "other.npy", tmp_path / "X.npy")

    with pytest.raises(FileNotFoundError, match=r"X\.npy was replaced while a loop over it ran"):
        pickle.loads(constant.reference)
    constant.close()


def test_records_are_sent_by_name():
    """Nothing else may have imported the module that their class says it is from."""
    program = (
        "import numpy as np\n"
        "from batchup import ArrayDataSource, WorkerProcessPool\n"
        "X = np.array([(1, 2.0), (3, 4.0)], dtype=[('a', 'i4'), ('b', 'f8')]).view(np.recarray)\n"
        "with WorkerProcessPool(1) as pool:\n"
        "    [(records,)] = pool.parallel_data_source(ArrayDataSource([X])).batch_iterator(2)\n"
        "assert [1, 3] == records.a.tolist() and type(records) is np.recarray\n"
    )

    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_constant_within_a_constant_stays():
    """Whoever holds the outer one holds the inner one too, whose memory would else be given to another."""
    outer = constants.Constant({"inner": constants.Constant(np.full(1000, 1))})
    gc.collect()
    others = [constants.Constant(np.full(1000, k)) for k in (2, 3)]

    assert (pickle.loads(outer.reference)["inner"] == 1).all()
    del others


@pytest.mark.parametrize("kind", ["memoryview of an array", "memoryview of bytes"])
def test_a_read_only_view_of_other_memory_is_compared(kind):
    """It can change all the same."""
    memory = np.zeros(10_000) if kind == "memoryview of an array" else bytearray(80_000)
    X = np.frombuffer(memoryview(memory).toreadonly(), np.float64)
    constant = constants.Constant([X])
    memory[-1] = 1

    assert not constant.holds([X])
    constant.close()
