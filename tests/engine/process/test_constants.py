"""What all workers share: the object itself where it is loaded, and known for what it was made from."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys

import numpy as np
import pytest

from batchup.engine.process import constants


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
