"""The cache that the worker processes of a pool share: each chunk is made once, and never mixed up with another."""

import copy
import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest

from batchup import ArrayDataSource, BlockSampler, Loader
from batchup.engine.process import pickling
from batchup.errors import SharedMemoryError
from batchup.storage import ArrowColumn, HDF5Array, SparseRows, ZarrArray, shared
from batchup.storage.cache import Rows, Share
from batchup.storage.shared import Ring, RingShare, SharedRing, opened_ring

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes are for POSIX systems")

ROWS, CHUNK = 400, 10
X = np.arange(3 * ROWS).reshape(ROWS, 3)
FORM = (4,), np.dtype("i8")


def chunk(number, value=None):
    return np.full(*FORM[:1], number if value is None else value, FORM[1])


def form(number):
    return FORM


@pytest.fixture
def ring():
    """A ring for 32 chunks of up to 64 bytes, with what says which they are."""
    made = Ring(0)
    assert 32 * 128 == made.limit
    yield made
    made._segment.close()  # pytest holds it for longer


def hdf5(folder):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("x", data=X, chunks=(CHUNK, 3), compression="gzip")
    return HDF5Array(folder / "x.h5", "x")


def hdf5_of_the_library(folder):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("x", data=X, chunks=(CHUNK, 3), compression="lzf")
    return HDF5Array(folder / "x.h5", "x")


def zarr(folder):
    pytest.importorskip("zarr", "3").create_array(folder / "x.zarr", name="x", data=X, chunks=(CHUNK, 3))
    return ZarrArray(folder / "x.zarr", "x")


def parquet(folder):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"x": X[:, 0]}), folder / "x.parquet", row_group_size=CHUNK)
    return ArrowColumn(folder / "x.parquet", "x")


@pytest.mark.slow
@pytest.mark.parametrize("make", [hdf5, hdf5_of_the_library, zarr, parquet])
@pytest.mark.timeout(60)
def test_each_chunk_is_read_once_by_all_workers_together(tmp_path, processes, make):
    """In an epoch of a shuffle by blocks; in the next epoch all are there."""
    array = make(tmp_path)
    sampler = BlockSampler(ROWS, block=CHUNK, window=8)
    loader = Loader(ArrayDataSource([array], sampler=sampler), 16, shuffle=7, pool=processes)
    serial = Loader(ArrayDataSource([array], sampler=sampler), 16, shuffle=7)
    for _ in range(2):
        for (batch,), (expected,) in zip(loader, serial, strict=True):
            assert expected.tolist() == batch.tolist()

    assert ROWS // CHUNK == loader.stats().chunk_misses


@pytest.mark.parametrize("cache", [0, 100, 1000, 3000])
@pytest.mark.timeout(60)
def test_a_cache_that_is_too_small_changes_no_batch(tmp_path, processes, cache):
    """Chunks are overwritten while others read them, and are read anew."""
    array = hdf5(tmp_path)
    small = HDF5Array(array.path, "x", cache=cache)
    loader = Loader([small], 16, shuffle=7, pool=processes, depth=8)
    with pytest.warns(UserWarning, match="read and decompressed whole"):
        batches = [batch for _ in range(5) for (batch,) in loader]

    expected = Loader([X], 16, shuffle=7)
    assert [batch.tolist() for _ in range(5) for (batch,) in expected] == [batch.tolist() for batch in batches]


def test_arrays_share_one_ring_unless_they_have_a_cache_of_their_own(tmp_path):
    """As they do in one process."""
    one = hdf5(tmp_path)
    others = [HDF5Array(one.path, "x"), HDF5Array(one.path, "x", cache=1 << 20), HDF5Array(one.path, "x", cache=0)]
    rings = []
    for array in [one, *others]:
        len(array)
        rings.append(array._ring_for_workers())

    assert rings[0] is rings[1]
    assert (64 << 20) < rings[0].limit
    assert (1 << 20) < rings[2].limit < (2 << 20)
    assert rings[3] is None


def test_data_that_is_read_by_the_row_needs_no_ring(tmp_path):
    """Nor does what nobody has opened."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = X
        file.create_dataset("chunks", data=X, chunks=(CHUNK, 3))
    arrays = [HDF5Array(tmp_path / "x.h5", "x"), HDF5Array(tmp_path / "x.h5", "chunks")]

    assert [None, None] == [array._ring_for_workers() for array in arrays]
    assert [(ROWS, 3)] * 2 == [array.shape for array in arrays]
    assert [None, None] == [array._ring_for_workers() for array in arrays]


def test_a_ring_goes_with_its_arrays(tmp_path):
    """No memory file is left."""
    array = hdf5(tmp_path)
    len(array)
    ring = array._ring_for_workers()
    path = ring.reference.path
    assert os.path.exists(path)
    del array, ring

    assert not os.path.exists(path) or "batchup" not in os.path.realpath(path)


def sent(array):
    """The array as a worker has it."""
    header, buffers = pickling.dumps(array)
    return pickle.loads(header, buffers=buffers)


def test_copies_and_plain_pickles_have_a_cache_of_their_own(tmp_path):
    """They may go anywhere."""
    array = hdf5(tmp_path)
    len(array)

    assert RingShare is type(sent(array)._reader().cache)
    for other in [copy.copy(array), copy.deepcopy(array), pickle.loads(pickle.dumps(array))]:
        assert Share is type(other._reader().cache)
        assert X[[7, 3]].tolist() == other[[7, 3]].tolist()


@pytest.mark.parametrize("error", [SharedMemoryError, OSError])
def test_workers_read_on_their_own_where_there_is_no_memory(tmp_path, monkeypatch, error):
    """A cache that cannot be made is no reason to stop."""

    def fail(*args, **kwargs):
        raise error("no memory")

    monkeypatch.setattr(shared, "Segment", fail)
    array = HDF5Array(hdf5(tmp_path).path, "x", cache=1000)
    len(array)

    assert Share is type(sent(array)._reader().cache)


@pytest.mark.parametrize("field", ["path", "size", "token"])
def test_an_array_that_comes_to_another_host_reads_on_its_own(tmp_path, field):
    """Where the memory is not there, or something else is in its place."""
    array = hdf5(tmp_path)
    len(array)
    other = sent(array)
    reference, serial = other._sent_with
    wrong = {"path": "/nowhere", "size": reference.size + 1, "token": (1, 2)}
    other._sent_with = reference._replace(**{field: wrong[field]}), serial

    assert opened_ring(other._sent_with[0]) is None
    assert X[[7, 3]].tolist() == other[[7, 3]].tolist()
    assert Share is type(other._reader().cache)


def test_parts_of_a_sparse_matrix_are_not_mixed_up(tmp_path, processes):
    """Its values, columns and starts are arrays of one file."""
    h5py, sparse = pytest.importorskip("h5py"), pytest.importorskip("scipy.sparse")
    matrix = sparse.random(ROWS, 20, 0.3, "csr", random_state=0)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name in ("data", "indices", "indptr"):
            file.create_dataset(f"X/{name}", data=getattr(matrix, name), chunks=(50,), compression="gzip")
        file["X"].attrs["shape"] = matrix.shape
    rows = SparseRows(tmp_path / "x.h5", "X", dense=True)
    expected = Loader([matrix.toarray()], 16, shuffle=7)

    for (batch,), (same,) in zip(Loader([rows], 16, shuffle=7, pool=processes), expected, strict=True):
        assert same.tolist() == batch.tolist()


def test_what_is_put_in_is_found_by_others(ring):
    """Until newer chunks are over it."""
    one, other = (RingShare(SharedRing(ring.reference), 1) for _ in range(2))
    for number in range(40):
        list(one.each([number], chunk, form))
    read_again = lambda number: chunk(number, -1)  # noqa: E731
    found = {number: int(block[0]) for number, block in other.each(list(range(40)), read_again, form)}

    assert {n: n if n >= 40 - 32 else -1 for n in range(40)} == found
    assert (32, 8) == (other.hits, other.misses)


def test_a_chunk_that_is_overwritten_while_it_is_used_comes_again(ring):
    """Whoever copies from it has copied anything, and copies once more."""
    share, other = (RingShare(SharedRing(ring.reference), serial) for serial in (1, 2))
    list(share.each([0, 1], chunk, form))
    seen = []
    for number, block in share.each([0, 1], chunk, form):
        if not seen:
            list(other.each(list(range(100, 132)), chunk, form))
        seen.append((number, int(block[0])))

    assert [(0, 0), (1, 1)] == seen[-2:]
    assert 4 == len(seen)


def test_rows_that_are_overwritten_while_they_are_gathered_are_not_given(ring, monkeypatch):
    """They are read chunk by chunk then."""
    share, other = (RingShare(SharedRing(ring.reference), serial) for serial in (1, 2))
    list(share.each([0, 1], chunk, form))
    list(share.each([0, 1], chunk, form))
    wanted = Rows([0, 1], np.array([1, 2]), np.array([1, 0, 2]), np.array([0, 3, 2]), 8)
    assert [1, 0, 1] == share.rows(wanted).view("i8").tolist()
    gather = share.ring.rows

    def slowly(*args):
        list(other.each(list(range(100, 132)), chunk, form))
        return gather(*args)

    monkeypatch.setattr(share.ring, "rows", slowly)
    assert share.rows(wanted) is None


def test_a_chunk_of_another_form_than_was_said_is_not_kept(ring):
    """Nobody could tell how to read it."""
    share = RingShare(SharedRing(ring.reference), 1)

    for _ in range(2):
        assert [1, 2] == dict(share.each([0], lambda number: np.array([1, 2]), form))[0].tolist()
    assert 2 == share.misses


def test_an_error_leaves_the_chunk_to_others(ring):
    """Each batch that needs it has its own error, and nobody waits."""
    one, other = (RingShare(SharedRing(ring.reference), 1) for _ in range(2))

    def fail(number):
        raise OSError("damaged")

    for share in (one, other):
        with pytest.raises(OSError, match="damaged"):
            list(share.each([0], fail, form))
    assert [0] * 4 == dict(one.each([0], chunk, form))[0].tolist()


CLAIMS = """
import os, sys
from batchup.storage.shared import RingReference, SharedRing

ring = SharedRing(RingReference(sys.argv[1], int(sys.argv[2]), (int(sys.argv[3]), int(sys.argv[4]))))
assert ring.claim(1 << 32, True)
print("claimed", flush=True)
sys.stdin.read()
"""


@pytest.mark.timeout(60)
def test_a_worker_that_dies_holds_up_nobody(ring):
    """While it lives, others do something else; then they make the chunk themselves."""
    path, size, token = ring.reference
    command = [sys.executable, "-c", CLAIMS, path, *map(str, [size, *token])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert "claimed\n" == process.stdout.readline()
        mine = SharedRing(ring.reference)
        assert not mine.claim(1 << 32, False)
        assert mine.claim(2 << 32, False)
        process.send_signal(signal.SIGKILL)

        assert [0] * 4 == dict(RingShare(mine, 1).each([0], chunk, form))[0].tolist()
