"""Data sets of HDF5 files, of all kinds and layouts, and bad ones."""

import sys
import zlib

import numpy as np
import pytest

from batchup.storage import HDF5Array
from batchup.testing import ArrayLikeContract

N = 23
X = np.random.default_rng(0).integers(0, 100, (N, 3, 4)).astype("i4")


class Stored(ArrayLikeContract):
    """The contract, for a file that is written for each test; the pools serve all tests."""

    how = {}

    @pytest.fixture(autouse=True)
    def file(self, tmp_path):
        self.folder = tmp_path
        self.write(tmp_path)

    def test_pools_give_the_same_batches(self, pool):
        """A shuffled epoch in threads or processes is the one without, batch for batch."""
        self.same_in(pool)


class HDF5(Stored):
    def write(self, folder):
        h5py = pytest.importorskip("h5py")
        with h5py.File(folder / "x.h5", "w") as file:
            file.create_dataset("group/x", data=X, **self.how)

    def expected(self):
        return X

    def make(self):
        return HDF5Array(self.folder / "x.h5", "group/x")


class TestContiguous(HDF5):
    pass


class TestChunked(HDF5):
    how = {"chunks": (5, 3, 4)}


class TestChunksOfSomeColumns(HDF5):
    how = {"chunks": (5, 2, 3)}


class TestGzip(HDF5):
    how = {"chunks": (5, 3, 4), "compression": "gzip", "shuffle": True}


class TestGzipOfSomeColumns(HDF5):
    how = {"chunks": (5, 2, 3), "compression": "gzip"}


class TestFiltersOfTheLibrary(HDF5):
    how = {"chunks": (5, 3, 4), "compression": "lzf", "fletcher32": True}


class TestScaleOffset(HDF5):
    how = {"chunks": (5, 3, 4), "scaleoffset": 0}


class TestAnOpenDataSet(HDF5):
    how = {"chunks": (5, 3, 4)}

    def make(self):
        import h5py

        return HDF5Array.of(h5py.File(self.folder / "x.h5", "r")["group/x"])


ROWS = np.arange(300).reshape(100, 3)


def same(path, name="x"):
    """Whether batches in several orders are what h5py reads."""
    import h5py

    with h5py.File(path, "r") as file:
        expected = file[name][()]
    array = HDF5Array(path, name)
    picks = [np.arange(len(expected)), np.random.default_rng(0).integers(0, len(expected), 50), np.array([0])]
    assert array.dtype == expected.dtype
    return all(np.array_equal(expected[pick], array[pick]) for pick in picks)


DATA = {
    "big-endian": ROWS.astype(">i4"),
    "half": ROWS.astype("f2"),
    "booleans": ROWS % 2 == 0,
    "complex": ROWS * 1j,
    "compound": np.array([(1, 2.0, b"a"), (3, 4.0, b"bc")] * 50, [("i", "i1"), ("f", "f8"), ("s", "S2")]),
    "fixed strings": np.array([b"a", b"bc"] * 50),
    "one axis": np.arange(len(ROWS)),
    "empty samples": np.zeros((len(ROWS), 0)),
}


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
@pytest.mark.parametrize(
    "how", [{}, {"chunks": True}, {"chunks": True, "compression": "gzip", "shuffle": True}], ids=str
)
def test_values_of_all_kinds_are_those_in_the_file(write_h5, data, how):
    """Of any type and byte order, mapped and decompressed."""
    if 0 in data.shape:
        how = {}

    assert same(write_h5(data, **how))


@pytest.mark.parametrize("how", [{}, {"compression": "gzip"}, {"chunks": (7, 2)}], ids=str)
def test_chunks_that_were_never_written_hold_the_fill_value(h5py, tmp_path, how):
    """They are nowhere in the file."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        made = file.create_dataset("x", shape=(len(ROWS), 3), dtype="f4", fillvalue=7, **{"chunks": (8, 3), **how})
        made[20:40] = 1

    assert same(tmp_path / "x.h5")


def test_data_that_was_never_written_holds_the_fill_value(h5py, tmp_path):
    """Contiguous data without a place in the file."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", shape=(len(ROWS), 3), dtype="f4", fillvalue=7)

    assert same(tmp_path / "x.h5")


@pytest.mark.parametrize("how", [{}, {"chunks": (8, 3)}, {"chunks": (8, 3), "compression": "gzip"}], ids=str)
def test_a_file_with_a_user_block(h5py, tmp_path, how):
    """Everything is further back by its size."""
    with h5py.File(tmp_path / "x.h5", "w", userblock_size=1024) as file:
        file.create_dataset("x", data=ROWS, **how)

    assert same(tmp_path / "x.h5")


def test_a_virtual_data_set_is_read(h5py, tmp_path, write_h5):
    """Its values are in another file."""
    layout = h5py.VirtualLayout(ROWS.shape, ROWS.dtype)
    layout[:] = h5py.VirtualSource(write_h5(), "x", ROWS.shape)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_virtual_dataset("x", layout)

    assert same(tmp_path / "v.h5")


def test_a_data_set_that_is_not_there_is_an_error(write_h5):
    """It says which there are."""
    with pytest.raises(KeyError, match="no data set 'y'; it has x"):
        len(HDF5Array(write_h5(), "y"))
    with pytest.raises(TypeError, match="should be a data set, but it is a group; it holds /x"):
        len(HDF5Array(write_h5(), "/"))


def test_a_filter_that_h5py_does_not_have_is_named(h5py, tmp_path, monkeypatch):
    """With what would bring it."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=ROWS, chunks=(10, 3), compression="lzf")
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda number: number != 32000)

    with pytest.raises(OSError, match=r"'/x' of .* is stored with the filter 32000 \(lzf\).*hdf5plugin"):
        len(HDF5Array(tmp_path / "x.h5", "x"))


def test_references_are_refused(h5py, tmp_path):
    """No batch can be made of them."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=[file.ref], dtype=h5py.ref_dtype)

    with pytest.raises(TypeError, match="'/x' of .* holds references"):
        len(HDF5Array(tmp_path / "x.h5", "x"))


@pytest.mark.parametrize("shuffle", [False, True])
def test_gzip_with_and_without_zlib_ng(tmp_path, monkeypatch, shuffle):
    """It only saves time."""
    h5py = pytest.importorskip("h5py")
    x = np.random.default_rng(0).integers(0, 9, (40, 3))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=x, chunks=(7, 3), compression="gzip", shuffle=shuffle)
    found = []
    for module in ({}, {"zlib_ng": None, "zlib_ng.zlib_ng": None}):
        for name in module:
            monkeypatch.setitem(sys.modules, name, None)
        with HDF5Array(tmp_path / "x.h5", "x") as array:
            found.append(array[np.arange(39, -1, -3)])

    assert x[::-3].tolist() == found[0].tolist() == found[1].tolist()


@pytest.mark.parametrize("without", [{}, {"zlib_ng": None, "zlib_ng.zlib_ng": None}], ids=["zlib-ng", "zlib"])
@pytest.mark.parametrize("chunk", [b"\xff" * 9, zlib.compress(b"too short")], ids=["no gzip", "too short"])
def test_a_damaged_chunk_with_gzip(tmp_path, monkeypatch, without, chunk):
    """The error names the rows and the data set, with zlib-ng or without. Other chunks can be read."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=np.arange(40), chunks=(10,), compression="gzip")
        place = file["x"].id.get_chunk_info(1).byte_offset
    with open(tmp_path / "x.h5", "r+b") as raw:
        raw.seek(place)
        raw.write(chunk)
    for name in without:
        monkeypatch.setitem(sys.modules, name, None)

    with HDF5Array(tmp_path / "x.h5", "x") as array:
        assert [0, 25] == array[[0, 25]].tolist()
        with pytest.raises(OSError, match=r"rows 10 to 19 of .*x\.h5 /x are damaged: "):
            array[[3, 12]]
