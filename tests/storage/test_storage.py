"""What the array-likes over files do beside the contract: special data, caches, handles, and bad input."""

import os
import pickle

import numpy as np
import pytest

from batchup import ArrayDataSource, Loader, WorkerProcessPool
from batchup.storage import ArrowColumn, Concatenated, HDF5Array, ImageFolder, SparseRows, Windows, ZarrArray
from batchup.storage.cache import ChunkCache, Share

N = 100
X = np.arange(3 * N).reshape(N, 3)


@pytest.fixture
def h5py():
    return pytest.importorskip("h5py")


@pytest.fixture
def zarr():
    return pytest.importorskip("zarr", "3")


@pytest.fixture
def write_h5(h5py, tmp_path):
    """Makes an HDF5 file with the data set x, and returns its path."""

    def write(data=X, **how):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file.create_dataset("x", data=data, **how)
        return tmp_path / "x.h5"

    return write


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
    "big-endian": X.astype(">i4"),
    "half": X.astype("f2"),
    "booleans": X % 2 == 0,
    "complex": X * 1j,
    "compound": np.array([(1, 2.0, b"a"), (3, 4.0, b"bc")] * 50, [("i", "i1"), ("f", "f8"), ("s", "S2")]),
    "fixed strings": np.array([b"a", b"bc"] * 50),
    "one axis": np.arange(N),
    "empty samples": np.zeros((N, 0)),
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
        made = file.create_dataset("x", shape=(N, 3), dtype="f4", fillvalue=7, **{"chunks": (8, 3), **how})
        made[20:40] = 1

    assert same(tmp_path / "x.h5")


def test_data_that_was_never_written_holds_the_fill_value(h5py, tmp_path):
    """Contiguous data without a place in the file."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", shape=(N, 3), dtype="f4", fillvalue=7)

    assert same(tmp_path / "x.h5")


@pytest.mark.parametrize("how", [{}, {"chunks": (8, 3)}, {"chunks": (8, 3), "compression": "gzip"}], ids=str)
def test_a_file_with_a_user_block(h5py, tmp_path, how):
    """Everything is further back by its size."""
    with h5py.File(tmp_path / "x.h5", "w", userblock_size=1024) as file:
        file.create_dataset("x", data=X, **how)

    assert same(tmp_path / "x.h5")


def test_a_virtual_data_set_is_read(h5py, tmp_path, write_h5):
    """Its values are in another file."""
    layout = h5py.VirtualLayout(X.shape, X.dtype)
    layout[:] = h5py.VirtualSource(write_h5(), "x", X.shape)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_virtual_dataset("x", layout)

    assert same(tmp_path / "v.h5")


def test_chunks_of_columns_are_not_read_whole(write_h5):
    """Where a chunk has all rows, and is larger than the cache, a batch reads its own rows."""
    data = np.arange(40_000).reshape(20_000, 2).astype("f8")
    path = write_h5(data.repeat(50, 1), chunks=(20_000, 1), compression="gzip")
    array = HDF5Array(path, "x", cache=1000)

    assert np.array_equal(data[[7, 3, 7]].repeat(50, 1), array[[7, 3, 7]])
    assert 0 == array.cache_stats().nbytes


def test_a_batch_reads_each_chunk_once_and_the_cache_keeps_it(write_h5):
    """Hits and misses are counted by the chunk."""
    array = HDF5Array(write_h5(chunks=(10, 3), compression="gzip"), "x", cache=10_000)
    array[np.array([0, 25, 1, 29, 3])]

    assert (0, 2) == array.cache_stats()[:2]

    array[np.array([5, 95])]

    assert (1, 3) == array.cache_stats()[:2]
    assert 3 * 10 * X[0].nbytes == array.cache_stats().nbytes


def test_the_cache_holds_no_more_than_its_limit(write_h5):
    """The chunks that were used longest ago go first."""
    limit = 2 * 10 * X[0].nbytes
    array = HDF5Array(write_h5(chunks=(10, 3), compression="gzip"), "x", cache=limit)
    for first in (0, 10, 0, 20, 0, 10):
        array[np.array([first])]

    assert (2, 4, limit, limit) == array.cache_stats()


def test_what_is_closed_or_gone_leaves_nothing_in_the_shared_cache(write_h5):
    """The memory is free again."""
    array = HDF5Array(write_h5(chunks=(10, 3), compression="gzip"), "x")
    before = array.cache_stats().nbytes
    array[:]
    assert array.cache_stats().nbytes > before
    array.close()

    assert before == array.cache_stats().nbytes


def test_an_array_that_is_collected_while_the_cache_is_in_use_does_not_wait(write_h5):
    """Garbage is collected at any time, also in the thread that is at the cache; its chunks go with the next one."""
    cache = ChunkCache(100)
    share = Share(cache, lambda _: 10)
    share.read(0, str)
    with cache._lock:
        del share

    assert 10 == cache.weight
    cache.put((-1, 0), "another", 1)
    assert 1 == cache.weight


def test_nothing_is_opened_before_it_is_needed_and_nothing_stays_open(write_h5):
    """A file is opened on first use, and closed with the object."""
    path = write_h5()
    open_here = lambda: [fd for fd in os.listdir("/proc/self/fd") if _target(fd) == str(path)]  # noqa: E731
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this system does not say which files are open")
    array = HDF5Array(path, "x")

    assert [] == open_here()
    array[[0]]
    assert open_here()
    del array
    assert [] == open_here()


def _target(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


@pytest.mark.parametrize("make", [lambda p: HDF5Array(p, "x"), ZarrArray, lambda p: ArrowColumn(p, "x"), SparseRows])
def test_a_file_that_is_not_there_is_an_error_at_once(tmp_path, make):
    """When the object is made, not in a worker."""
    with pytest.raises(FileNotFoundError, match="nowhere"):
        make(tmp_path / "nowhere")


@pytest.mark.parametrize("make", [lambda p: HDF5Array(p, "x"), lambda p: ArrowColumn(p, "x"), SparseRows])
def test_a_file_of_another_format_is_an_error(tmp_path, h5py, make):
    """It says which file, and what it should be."""
    pytest.importorskip("pyarrow")
    pytest.importorskip("scipy")
    (tmp_path / "x.txt").write_text("not data " * 100)

    with pytest.raises(OSError, match=r"x\.txt.*(HDF5|parquet)"):
        len(make(tmp_path / "x.txt"))


def test_a_data_set_that_is_not_there_is_an_error(write_h5):
    """It says which there are."""
    with pytest.raises(KeyError, match="no data set 'y'; it has x"):
        len(HDF5Array(write_h5(), "y"))
    with pytest.raises(TypeError, match="should be a data set, but it is a group; it holds /x"):
        len(HDF5Array(write_h5(), "/"))


def test_a_zarr_group_is_an_error(zarr, tmp_path):
    """It says which arrays there are; so does the error for one that is not there."""
    zarr.create_array(tmp_path / "x.zarr", name="x", data=X)

    with pytest.raises(TypeError, match="should be an array, but it is a group; it holds 'x'"):
        len(ZarrArray(tmp_path / "x.zarr"))
    with pytest.raises(FileNotFoundError, match="'y', but there is none; it holds 'x'"):
        len(ZarrArray(tmp_path / "x.zarr", "y"))


def test_a_file_that_has_changed_is_an_error(write_h5):
    """Its size or its time; also in a process that opens it later."""
    path = write_h5()
    array = HDF5Array(path, "x")
    array[[0]]
    sent = pickle.dumps(array)
    os.utime(path, ns=(0, 0))

    with pytest.raises(OSError, match="has changed since this array was made"):
        array[[0]]
    with pytest.raises(OSError, match="has changed since this array was made"):
        pickle.loads(sent)[[0]]


@pytest.mark.timeout(60)
def test_a_file_that_is_cut_off_does_not_end_a_worker(write_h5):
    """Its pages are mapped there: it is an error of the batch, and the worker lives."""
    path = write_h5(np.zeros((4096, 64)))
    source = ArrayDataSource([HDF5Array(path, "x")])
    with WorkerProcessPool(1) as pool:
        batches = pool.parallel_data_source(source, batch_buffer_size=1).batch_iterator(16)
        next(batches)
        os.truncate(path, 5000)

        with pytest.raises(OSError, match="has changed"):
            for _ in batches:
                pass


def test_a_damaged_chunk_names_its_samples_and_can_be_skipped(h5py, write_h5):
    """The other samples of the epoch arrive."""
    path = write_h5(chunks=(10, 3), compression="gzip")
    with h5py.File(path, "r") as file:
        place = file["x"].id.get_chunk_info(3)
    with open(path, "r+b") as file:
        file.seek(place.byte_offset)
        file.write(bytes(place.size))
    source = ArrayDataSource([HDF5Array(path, "x")])

    with pytest.raises(Exception, match="Error -3") as caught:
        source.samples_by_indices_nomapping(np.array([5, 31, 38]))
    assert any("samples 31, 38 of" in note and "rows 30 to 39" in note for note in caught.value.__notes__)

    loader = Loader(source, 20, on_error="skip", max_skipped=10)
    with pytest.warns(UserWarning, match="left out"):
        assert 90 == sum(len(batch) for (batch,) in loader)


def test_a_zarr_chunk_that_is_cut_off_names_its_samples(zarr, tmp_path):
    """Mapped or compressed."""
    zarr.create_array(tmp_path / "x.zarr", name="x", data=X, chunks=(10, 3), compressors=None)
    os.truncate(tmp_path / "x.zarr" / "x" / "c" / "2" / "0", 100)
    array = ZarrArray(tmp_path / "x.zarr", "x")

    assert np.array_equal(X[:20], array[:20])
    with pytest.raises(ValueError, match="should have 240 bytes, but it has 100") as caught:
        array[[3, 27]]
    assert any("samples 27 of" in note for note in caught.value.__notes__)


def test_a_filter_that_h5py_does_not_have_is_named(h5py, tmp_path, monkeypatch):
    """With what would bring it."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=X, chunks=(10, 3), compression="lzf")
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda number: number != 32000)

    with pytest.raises(OSError, match=r"'/x' of .* is stored with the filter 32000 \(lzf\).*hdf5plugin"):
        len(HDF5Array(tmp_path / "x.h5", "x"))


def test_references_are_refused(h5py, tmp_path):
    """No batch can be made of them."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=[file.ref], dtype=h5py.ref_dtype)

    with pytest.raises(TypeError, match="'/x' of .* holds references"):
        len(HDF5Array(tmp_path / "x.h5", "x"))


def test_a_nested_column_is_named(tmp_path):
    """An array cannot be made of structs, or of lists of many lengths."""
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"boxes": [[1, 2], [3]], "x": [1, 2]}), tmp_path / "x.parquet")

    with pytest.raises(TypeError, match="column 'boxes' should hold numbers.*list<"):
        len(ArrowColumn(tmp_path / "x.parquet", "boxes"))
    with pytest.raises(KeyError, match="no column 'y'; it has boxes, x"):
        len(ArrowColumn(tmp_path / "x.parquet", "y"))
    assert [2, 1] == ArrowColumn(tmp_path / "x.parquet", "x")[[1, 0]].tolist()


@pytest.mark.parametrize("form", ["parquet", "feather"])
def test_nulls_and_strings_of_a_column(tmp_path, form):
    """Nulls are NaN, NaT and None, and refused among integers; strings are objects."""
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"f": [1.5, None], "s": ["a", None], "i": [1, None], "t": pa.array([0, None], pa.timestamp("ms"))})
    module = pytest.importorskip(f"pyarrow.{form}")
    (module.write_table if form == "parquet" else module.write_feather)(table, str(tmp_path / "x"))

    assert np.isnan(ArrowColumn(tmp_path / "x", "f")[1])
    assert ["a", None] == ArrowColumn(tmp_path / "x", "s")[:].tolist()
    assert np.isnat(ArrowColumn(tmp_path / "x", "t")[[1, 0]]).tolist() == [True, False]
    with pytest.raises(ValueError, match="column 'i' should have no nulls"):
        ArrowColumn(tmp_path / "x", "i")[[0, 1]]


def test_a_sparse_matrix_by_column_is_refused(h5py, tmp_path):
    """And says how to store it."""
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csc_matrix(np.eye(3))
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        for name in ("data", "indices", "indptr"):
            file[f"X/{name}"] = getattr(matrix, name)
        file["X"].attrs.update({"encoding-type": "csc_matrix", "shape": (3, 3)})
        file["raw"] = np.eye(3)

    with pytest.raises(TypeError, match=r"stored by row \(CSR\), but it is a csc_matrix.*tocsr"):
        len(SparseRows(tmp_path / "x.h5ad"))
    with pytest.raises(TypeError, match=r"no sparse matrix, but an array; HDF5Array\(path, 'raw'\)"):
        len(SparseRows(tmp_path / "x.h5ad", "raw"))
    with pytest.raises(KeyError, match="no group 'layers'; it has X, raw"):
        len(SparseRows(tmp_path / "x.h5ad", "layers"))


def test_rows_of_a_sparse_file_are_a_csr_matrix(h5py, tmp_path, pool):
    """In pools, too, and also in several files."""
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.random(30, 7, 0.3, "csr", random_state=0)
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        for name in ("data", "indices", "indptr"):
            file[f"X/{name}"] = getattr(matrix, name)
        file["X"].attrs.update({"encoding-type": "csr_matrix", "shape": matrix.shape})
    rows = SparseRows(tmp_path / "x.h5ad")
    order = np.random.RandomState(3).permutation(30)
    found = list(pool.parallel_data_source(ArrayDataSource([rows])).batch_iterator(8, np.random.RandomState(3)))

    assert np.array_equal(matrix.toarray()[order], sparse.vstack([batch for (batch,) in found]).toarray())
    assert np.array_equal(matrix.toarray()[[3, 2, 3]], Concatenated([rows, rows])[[33, 2, 3]].toarray())


def test_an_image_folder_says_what_is_in_it(tmp_path):
    """Paths in order, labels and classes; images of many sizes come as a list."""
    image = pytest.importorskip("PIL.Image")
    for i, name in enumerate(["dog/1.png", "cat/a/2.JPG", "cat/1.png", "cat/readme.txt"]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("txt"):
            (tmp_path / name).write_text("hello")
        else:
            image.new("RGB", (4 + i, 3)).save(tmp_path / name)
    images = ImageFolder(tmp_path)

    assert ["cat", "dog"] == images.classes
    assert [0, 0, 1] == images.labels.tolist()
    assert ["cat/1.png", "cat/a/2.JPG", "dog/1.png"] == [os.path.relpath(path, tmp_path) for path in images.paths]
    assert [(3, 4, 3), (3, 6, 3)] == [each.shape for each in images[[2, 0]]]
    assert (2, 2) == ImageFolder(tmp_path, size=(2, 2), mode="L")[0].shape


def test_a_damaged_image_is_named(tmp_path):
    """With its number and path."""
    pytest.importorskip("PIL")
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_text("no image")

    with pytest.raises(OSError, match="cannot identify") as caught:
        ImageFolder(tmp_path)[[0]]
    assert any("sample 0" in note and "1.png" in note for note in caught.value.__notes__)


def test_a_folder_without_classes_is_an_error(tmp_path):
    """It says what should be there."""
    (tmp_path / "1.png").write_text("an image beside the classes")

    with pytest.raises(FileNotFoundError, match="sub-folder with images for each class"):
        ImageFolder(tmp_path)


def test_arrays_of_unequal_samples_are_not_concatenated():
    """It says which."""
    with pytest.raises(ValueError, match=r"arrays\[0\] are \(3,\) int64, those of arrays\[1\] \(2,\) int64"):
        Concatenated([X, X[:, :2]])
    with pytest.raises(ValueError, match="at least one"):
        Concatenated([])


def test_lists_are_concatenated_as_lists():
    """Samples that make no array stay in a list."""
    assert ["d", "a", "b"] == Concatenated([["a", "b"], ["c", "d"]])[[3, 0, 1]]


def test_columns_of_pandas_are_taken_by_place():
    """Whatever their labels are."""
    pandas = pytest.importorskip("pandas")
    column = pandas.Series([1, 2, 3], index=[2, 0, 1])

    assert [1, 3, 1] == Concatenated([column, column])[[0, 2, 3]].tolist()
    assert [[1, 2], [2, 3]] == Windows(column, length=2)[:].tolist()


def test_windows_that_are_too_long_are_refused():
    """It says how long the longest series is."""
    with pytest.raises(ValueError, match="at most 4, the length of the longest series, not 5"):
        Windows([np.arange(4), np.arange(3)], length=5)


def test_nothing_is_written_to_the_files(write_h5, zarr, tmp_path):
    """An epoch leaves files as they were, also those without permission to write."""
    path = write_h5(chunks=(10, 3), compression="gzip")
    zarr.create_array(tmp_path / "x.zarr", name="x", data=X)
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    for each in files:
        each.chmod(0o444)
    before = [(each.read_bytes(), each.stat().st_mtime_ns) for each in files]
    list(ArrayDataSource([HDF5Array(path, "x"), ZarrArray(tmp_path / "x.zarr", "x")]).batch_iterator(7, shuffle=7))

    assert before == [(each.read_bytes(), each.stat().st_mtime_ns) for each in files]
    assert sorted(files) == sorted(each for each in tmp_path.rglob("*") if each.is_file())


@pytest.mark.parametrize(
    ("make", "missing"),
    [(lambda p: HDF5Array(p, "x"), "h5py"), (ZarrArray, "zarr"), (lambda p: ArrowColumn(p, "x"), "pyarrow")],
)
def test_a_library_that_is_not_installed_is_named(tmp_path, monkeypatch, make, missing):
    """With the extra that brings it."""
    (tmp_path / "x").write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, missing, None)

    with pytest.raises(ModuleNotFoundError, match=rf"needs {missing}.*batchup\[(hdf5|zarr|arrow)\]"):
        len(make(tmp_path / "x"))
