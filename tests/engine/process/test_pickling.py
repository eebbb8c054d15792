"""What is sent between processes: whole, aligned, and refused by name where it cannot be."""

from __future__ import annotations

import importlib.util
import marshal
import pickle
import sys
import threading
from typing import NamedTuple

import numpy as np
import pytest

from batchup import ChoiceBatch
from batchup.engine import arena
from batchup.engine.process import pickling, shared_memory
from batchup.errors import DataSourcePicklingError
from batchup.testing import plain


class Pair(NamedTuple):
    a: int
    b: int


@pytest.mark.parametrize(
    "obj",
    [
        (np.arange(5), {"y": np.ones((2, 3), "f4")}),
        [np.array(3), np.zeros(0), "text", None, 1.5, np.float32(2)],
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array([{"an": "object"}], dtype=object),
        np.zeros(3, dtype=[("a", "i4"), ("b", "f8")]),
        np.arange(10)[::2],
        ChoiceBatch(np.arange(3), 1),
        Pair(1, 2),
    ],
    ids=lambda obj: type(obj).__name__,
)
@pytest.mark.parametrize("dumps", [pickling.dumps, pickling.result_dumps])
def test_what_is_sent_arrives(dumps, obj):
    """The same values, types and shapes, from a header and buffers laid out in one piece of memory."""
    header, buffers = dumps(obj)
    ranges = shared_memory.laid_out(buffers)
    memory = bytearray(shared_memory.total_size(ranges))
    for (offset, n), buffer in zip(ranges, buffers, strict=True):
        memory[offset : offset + n] = buffer
    loaded = pickle.loads(header, buffers=[memoryview(memory)[offset : offset + n] for offset, n in ranges])

    np.testing.assert_equal(loaded, obj)
    assert type(obj) is type(loaded)
    assert all(0 == offset % arena.ALIGNMENT for offset, _ in ranges)


def test_arrays_of_any_size_leave_the_header_small():
    """The data is in the buffers, not in the pickle."""
    header, buffers = pickling.dumps((np.zeros(1_000_000), np.zeros(3)))

    assert len(header) < 1000
    assert [8_000_000, 24] == [buffer.nbytes for buffer in buffers]


def test_the_culprit_is_named():
    """Down to the attribute or item that cannot be pickled."""

    class Holder:
        def __init__(self):
            self.parts = {"lock": [1, threading.Lock()]}

    with pytest.raises(DataSourcePicklingError, match=r"Holder\.parts\['lock'\]\[1\]|parts\['lock'\]\[1\]"):
        pickling.dumps(Holder())


@pytest.mark.parametrize(
    "args",
    [
        (),
        (np.arange(5),),
        (np.arange(5)[::2], 3, None, 2**100, 0.5, True),
        ((np.arange(3), (np.arange(0), 1)), -1),
        (np.arange(5, dtype=np.int32), "text", [1, (2,)]),
        (ChoiceBatch(np.arange(3), 1),),
        tuple(range(100)),
    ],
    ids=repr,
)
def test_arguments_arrive_as_they_were(args):
    """Of whatever kind, with their types, and apart from those that were sent."""
    sent = marshal.loads(marshal.dumps(pickling.arguments_dumps(args, {})))
    arrived, kwargs = pickling.arguments_loads(sent)

    assert plain(args) == plain(arrived)
    assert [type(a) for a in args] == [type(a) for a in arrived]
    assert {} == kwargs


@pytest.mark.parametrize(
    "result",
    [
        (np.arange(6, dtype=np.float32).reshape(2, 3), np.array(["a"])),
        ((np.arange(4), (np.ones((2, 2), ">f8"),)), 3, 7.5, (1.0, 2.0), None, ()),
        (np.array(5), np.zeros((0, 3))),
        {"x": np.arange(3)},
        [np.arange(3), "y"],
        (np.arange(10).reshape(2, 5).T, True),
        tuple(range(100)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("where", ["in memory", "in buffers"])
def test_results_arrive_as_they_were(result, where):
    """Of whatever kind, in shared memory or through the pipe."""
    header, views = pickling.result_dumps(result)
    header = marshal.loads(marshal.dumps(header))
    if where == "in memory":
        ranges = shared_memory.laid_out(views)
        memory = np.zeros(shared_memory.total_size(ranges) + 1, np.uint8)
        for (offset, n), view in zip(ranges, views, strict=True):
            memory[offset : offset + n] = view
        arrived = pickling.result_in(memory, header, ranges)
    else:
        arrived = pickling.result_loads(header, [bytearray(view) for view in views])

    assert plain(result) == plain(arrived)


def test_an_open_file_is_refused(tmp_path):
    """Text or not: each worker would read a copy of its own."""
    path = tmp_path / "notes.txt"
    path.write_text("abc")
    for mode in ("r", "rb", "w"):
        with open(path, mode) as file, pytest.raises(DataSourcePicklingError, match="keep what it is made from"):
            pickling.dumps({"file": file})


@pytest.mark.parametrize(
    "within", [lambda x: [x], lambda x: {"x": x}, lambda x: ({"x": [x, "y"]},)], ids=["list", "dict", "both"]
)
def test_what_comes_back_can_be_written_to(within):
    """Also what is read-only in the worker: a sample of data that all workers share."""
    x = np.arange(5).astype("f4").view([("a", "f4")])
    x.flags.writeable = False
    header, buffers = pickling.result_dumps(within(x))
    [loaded] = _arrays_in(pickling.result_loads(header, [bytearray(each) for each in buffers]))
    loaded["a"] += 1

    assert [1, 2, 3, 4, 5] == loaded["a"].tolist()


def _arrays_in(x):
    if isinstance(x, np.ndarray):
        yield x
    elif isinstance(x, (dict, list, tuple)):
        for part in x.values() if isinstance(x, dict) else x:
            yield from _arrays_in(part)


def test_arrays_of_any_dtype_arrive():
    """Also of those that have no buffer: numbers of other packages, dates, and records with such fields."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    of_others = [name for name in dir(ml_dtypes) if name.startswith(("float", "bfloat", "int", "uint"))]
    dtypes = [getattr(ml_dtypes, name) for name in of_others] + ["M8[s]", "m8[ms]", "f2", "g", "G", "?", "S3", "U2"]
    arrays = [np.ones(6, "i1").astype(dtype).reshape(2, 3) for dtype in dtypes]
    arrays.append(np.zeros(4, [("a", ml_dtypes.float8_e5m2), ("b", "f8")]))
    assert len(of_others) > 5
    for array in arrays:
        for obj in (array,), (array.T, 1), {"x": array}, (array[::-1],):
            for dumps in pickling.result_dumps, pickling.dumps:
                header, views = dumps(obj)
                (loaded, *_) = each = pickling.result_loads(header, [bytearray(view) for view in views])
                loaded = each["x"] if isinstance(each, dict) else loaded
                sent = obj["x"] if isinstance(obj, dict) else obj[0]

                assert sent.dtype == loaded.dtype
                assert sent.shape == loaded.shape
                assert sent.tobytes() == loaded.tobytes()


def test_a_module_of_an_editable_install_travels_by_name(tmp_path, monkeypatch):
    """Its finder is a class in `sys.meta_path`, which workers have, too; without one the function is sent whole."""
    (tmp_path / "editable.py").write_text("def double(x):\n    return 2 * x\n")

    class Finder:
        @classmethod
        def find_spec(cls, name, path=None, target=None):
            return (
                importlib.util.spec_from_file_location(name, tmp_path / "editable.py") if name == "editable" else None
            )

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    by_name = pickling.dumps(importlib.import_module("editable").double)[0]
    monkeypatch.delitem(sys.modules, "editable")
    double = importlib.import_module("editable").double
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if finder is not Finder])
    whole = pickling.dumps(double)[0]
    pickling.cloudpickle.unregister_pickle_by_value(sys.modules["editable"])
    monkeypatch.delitem(sys.modules, "editable")

    assert (False, True) == (b"_make_function" in by_name, b"_make_function" in whole)
