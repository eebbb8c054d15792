"""What is sent between processes: whole, aligned, and refused by name where it cannot be."""

from __future__ import annotations

import errno
import gc
import marshal
import os
import pickle
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from batchup import ChoiceBatch
from batchup.engine import share
from batchup.errors import DataSourcePicklingError, SharedMemoryError
from batchup.testing import plain


@pytest.fixture(autouse=True)
def no_constant_stays():
    """What this process has loaded as if it were a worker."""
    yield
    share._constants.clear()


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
@pytest.mark.parametrize("dumps", [share.dumps, share.result_dumps])
def test_what_is_sent_arrives(dumps, obj):
    """The same values, types and shapes, from a header and buffers laid out in one piece of memory."""
    header, buffers = dumps(obj)
    spans = share.laid_out(buffers)
    memory = bytearray(share.total_size(spans))
    for (offset, n), buffer in zip(spans, buffers, strict=True):
        memory[offset : offset + n] = buffer
    loaded = pickle.loads(header, buffers=[memoryview(memory)[offset : offset + n] for offset, n in spans])

    np.testing.assert_equal(loaded, obj)
    assert type(obj) is type(loaded)
    assert all(0 == offset % share.ALIGNMENT for offset, _ in spans)


def test_arrays_of_any_size_leave_the_header_small():
    """The data is in the buffers, not in the pickle."""
    header, buffers = share.dumps((np.zeros(1_000_000), np.zeros(3)))

    assert len(header) < 1000
    assert [8_000_000, 24] == [buffer.nbytes for buffer in buffers]


def test_the_culprit_is_named():
    """Down to the attribute or item that cannot be pickled."""

    class Holder:
        def __init__(self):
            self.parts = {"lock": [1, threading.Lock()]}

    with pytest.raises(DataSourcePicklingError, match=r"Holder\.parts\['lock'\]\[1\]|parts\['lock'\]\[1\]"):
        share.dumps(Holder())


def test_no_memory_left_is_an_error_of_ours(monkeypatch):
    """At once, not a signal when the memory is touched; and no descriptor is left."""

    def full(fd, offset, size):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("os.posix_fallocate", full)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(SharedMemoryError, match="4096 bytes of shared memory cannot be had: .*no space"):
        share.Segment(4096)
    assert before == set(os.listdir("/proc/self/fd"))


def test_a_segment_is_seen_by_whoever_maps_its_path():
    """One writes, the other reads; closing keeps what is mapped."""
    segment = share.Segment(4096)
    ours = segment.map()
    theirs = share.Segment.mapped(segment.path, 4096)
    segment.close()
    segment.close()
    ours[:5] = b"hello"

    assert b"hello" == bytes(theirs[:5])


def test_mapped_memory_needs_no_descriptor():
    """A hundred pieces, mapped and closed, and not one descriptor more; gone with the last array in them."""

    def counts():
        maps = Path("/proc/self/maps").read_text().count("memfd:batchup")
        return len(os.listdir("/proc/self/fd")), maps

    gc.collect()
    fds, maps = counts()
    memories = []
    for _ in range(100):
        segment = share.Segment(4096)
        memories.append(np.frombuffer(segment.map(), np.uint8))
        segment.close()

    assert (fds, maps + 100) == counts()
    del memories
    assert (fds, maps) == counts()


def test_without_memory_files_a_temporary_file_serves(monkeypatch, tmp_path):
    """On systems that are not Linux; it is gone with the segment."""
    monkeypatch.delattr("os.memfd_create")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    segment = share.Segment(4096)
    segment.map()[:5] = b"hello"

    assert b"hello" == bytes(share.Segment.mapped(segment.path, 4096)[:5])
    segment.close()
    assert [] == list(tmp_path.iterdir())


def test_a_constant_becomes_its_object_where_it_is_loaded():
    """Once: later references give the same object, until it is forgotten."""
    X = np.arange(1000)
    constant = share.Constant({"X": X, "paths": ["a", "b"]})
    loaded, again = pickle.loads(constant.reference), pickle.loads(constant.reference)

    np.testing.assert_equal(loaded, {"X": X, "paths": ["a", "b"]})
    assert loaded is again
    assert not loaded["X"].flags.writeable
    share.forget(constant.serial)
    assert loaded is not pickle.loads(constant.reference)
    share.forget(constant.serial)
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
    constant = share.Constant([X, "label"])
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
    constant = share.Constant([X, Y])
    compared = []

    class Libc:
        def memcmp(self, a, b, n):
            compared.append(n)
            return 0

    constant.holds([X, Y])
    monkeypatch.setattr(share, "_libc", Libc)

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
    constant = share.Constant([X])
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
    constant = share.Constant({"X": part(mapped)})
    loaded = pickle.loads(constant.reference)["X"]

    assert constant.nbytes < 5000
    np.testing.assert_array_equal(loaded, part(mapped))
    assert not loaded.flags.writeable
    if mode == "r+":
        mapped[:] = -1
        assert -1 == loaded.flat[0]
    share.forget(constant.serial)
    constant.close()


def test_a_private_memory_map_is_copied(tmp_path):
    """What was written to it is in no file."""
    np.save(tmp_path / "X.npy", np.zeros(1000))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="c")
    mapped[3] = 5
    constant = share.Constant(mapped)

    assert 5 == pickle.loads(constant.reference)[3]
    share.forget(constant.serial)
    constant.close()


def test_a_constant_within_a_constant_stays():
    """Whoever holds the outer one holds the inner one too, whose memory would else be given to another."""
    outer = share.Constant({"inner": share.Constant(np.full(1000, 1))})
    gc.collect()
    others = [share.Constant(np.full(1000, k)) for k in (2, 3)]

    assert (pickle.loads(outer.reference)["inner"] == 1).all()
    del others


@pytest.mark.parametrize("kind", ["memoryview of an array", "memoryview of bytes"])
def test_a_read_only_view_of_other_memory_is_compared(kind):
    """It can change all the same."""
    memory = np.zeros(10_000) if kind == "memoryview of an array" else bytearray(80_000)
    X = np.frombuffer(memoryview(memory).toreadonly(), np.float64)
    constant = share.Constant([X])
    memory[-1] = 1

    assert not constant.holds([X])
    constant.close()


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
    sent = marshal.loads(marshal.dumps(share.arguments_dumps(args, {})))
    arrived, kwargs = share.arguments_loads(sent)

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
    header, views = share.result_dumps(result)
    header = marshal.loads(marshal.dumps(header))
    if where == "in memory":
        spans = share.laid_out(views)
        memory = np.zeros(share.total_size(spans) + 1, np.uint8)
        for (offset, n), view in zip(spans, views, strict=True):
            memory[offset : offset + n] = view
        arrived = share.result_in(memory, header, spans)
    else:
        arrived = share.result_loads(header, [bytearray(view) for view in views])

    assert plain(result) == plain(arrived)
