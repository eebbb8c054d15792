"""`ArrayDataSource` takes open data sets, tables, frames and sparse matrices as they are."""

import pickle
import threading

import numpy as np
import pytest

from batchup import ArrayDataSource
from batchup.errors import DataSourcePicklingError

N = 20
X = np.arange(6 * N).reshape(N, 6)
ORDER = np.random.RandomState(3).permutation(N)


def shuffled(source):
    """One epoch in the order of ORDER, joined."""
    return list(source.batch_iterator(7, shuffle=np.random.RandomState(3)))


def joined(source):
    return np.concatenate([batch for (batch,) in shuffled(source)])


@pytest.fixture
def h5(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["plain"] = X
        file.create_dataset("chunked", data=X, chunks=(6, 6))
        file.create_dataset("gzip", data=X, chunks=(6, 4), compression="gzip")
        file.create_dataset("names", data=[f"n{i}" for i in range(N)], dtype=h5py.string_dtype())
        file["one"] = 1.0
    with h5py.File(tmp_path / "x.h5", "r") as file:
        yield file


@pytest.fixture
def zarrs(tmp_path):
    zarr = pytest.importorskip("zarr", "3")
    group = zarr.open_group(tmp_path / "x.zarr", mode="w")
    group.create_array("plain", data=X, chunks=(6, 6), compressors=None)
    group.create_array("zstd", data=X, chunks=(6, 4))
    return group


@pytest.mark.parametrize("name", ["plain", "chunked", "gzip"])
def test_an_open_data_set_gives_arrays(h5, pool, name):
    """Batches of a data set of h5py's are arrays, serially and in pools."""
    source = ArrayDataSource([h5[name]])

    assert np.array_equal(X[ORDER], joined(source))
    assert np.array_equal(X[ORDER], joined(pool.parallel_data_source(source)))


def test_strings_of_variable_length_come_as_objects(h5, pool):
    """As h5py gives them: bytes."""
    source = pool.parallel_data_source(ArrayDataSource([h5["names"]]))

    assert [f"n{i}".encode() for i in ORDER] == joined(source).tolist()


@pytest.mark.parametrize("name", ["plain", "zstd"])
@pytest.mark.parametrize("mode", ["r", "a"])
def test_an_open_zarr_array_gives_arrays(zarrs, tmp_path, pool, name, mode):
    """Though it has no `len`; also one that could be written to."""
    zarr = pytest.importorskip("zarr")
    array = zarr.open_group(tmp_path / "x.zarr", mode=mode)[name]
    source = ArrayDataSource([array, array])

    for there in (source, pool.parallel_data_source(source)):
        assert all(np.array_equal(a, b) for a, b in shuffled(there))
        assert np.array_equal(X[ORDER], np.concatenate([a for a, _ in shuffled(there)]))


def test_what_is_written_to_a_zarr_array_is_in_the_next_batch(zarrs):
    """Nothing is kept of an array that can be written to."""
    source = ArrayDataSource([zarrs["zstd"]])
    before = next(source.batch_iterator(3))[0]
    zarrs["zstd"][0] = -1

    assert X[0].tolist() == before[0].tolist()
    assert [-1] * 6 == next(source.batch_iterator(3))[0][0].tolist()


def test_what_is_written_to_a_data_set_is_in_the_next_batch(tmp_path):
    """A data set that is open for writing is read as it is at that time."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["x"] = X
        source = ArrayDataSource([file["x"]])
        before = next(source.batch_iterator(3))[0]
        file["x"][0] = -1

        assert X[0].tolist() == before[0].tolist()
        assert [-1] * 6 == next(source.batch_iterator(3))[0][0].tolist()


def test_a_file_that_is_open_for_writing_does_not_go_to_processes(tmp_path, processes):
    """The error says what to do."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["x"] = X

        with pytest.raises(DataSourcePicklingError, match=r"open for writing.*h5py.File\(path, \"r\"\)"):
            list(processes.parallel_data_source(ArrayDataSource([file["x"]])).batch_iterator(4))


class Doubled:
    """An accessor as people write it, with an open data set in it."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, indices):
        return 2 * self.dataset[np.sort(indices)]


@pytest.mark.slow
def test_a_data_set_within_an_object_is_opened_again_in_workers(h5, processes):
    """Handles of h5py's do not pickle; their path and name do."""
    found = processes.parallel_data_source(ArrayDataSource([Doubled(h5["plain"])])).batch_iterator(N)

    assert [(2 * X).tolist()] == [batch.tolist() for (batch,) in found]


def test_threads_over_one_data_set_are_right(h5):
    """Several threads that read compressed data at once get what one gets."""
    source = ArrayDataSource([h5["gzip"]])
    wrong = []

    def read(seed):
        for _ in range(20):
            pick = np.random.default_rng(seed).integers(0, N, 9)
            if not np.array_equal(X[pick], source.samples_by_indices_nomapping(pick)[0]):
                wrong.append(pick)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert [] == wrong


def test_columns_of_arrow_give_arrays(pool):
    """Of numbers, dates, booleans, and lists of one length; strings and nulls come as objects, NaN and NaT."""
    pa = pytest.importorskip("pyarrow")
    columns = {
        "ints": pa.array(np.arange(N)),
        "chunked": pa.chunked_array([np.arange(8), np.arange(8, N)]),
        "flags": pa.array([bool(i % 2) for i in range(N)]),
        "lists": pa.FixedSizeListArray.from_arrays(pa.array(X.reshape(-1)), 6),
        "strings": pa.array([None, *map(str, range(1, N))]),
        "labels": pa.array([str(i % 3) for i in range(N)]).dictionary_encode(),
        "floats": pa.array([None, *np.arange(1.0, N)]),
        "dates": pa.array(np.arange(N).astype("M8[s]")),
    }
    source = ArrayDataSource(columns)
    (batch,) = pool.parallel_data_source(source).batch_iterator(N)

    assert [np.ndarray] * len(columns) == [type(each) for each in batch.values()]
    assert list(range(N)) == batch["ints"].tolist() == batch["chunked"].tolist()
    assert [bool(i % 2) for i in range(N)] == batch["flags"].tolist()
    assert np.array_equal(X, batch["lists"])
    assert [None, "1"] == batch["strings"].tolist()[:2]
    assert ["0", "1", "2"] == batch["labels"].tolist()[:3]
    assert np.isnan(batch["floats"][0])
    assert np.dtype("M8[s]") == batch["dates"].dtype


def test_batches_of_a_table_are_tables(pool):
    """Of pyarrow, by row, though it indexes by column."""
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"a": np.arange(N), "b": [str(i) for i in range(N)]})
    found = [batch for (batch,) in shuffled(pool.parallel_data_source(ArrayDataSource([table])))]

    assert all(isinstance(batch, pa.Table) for batch in found)
    assert pa.concat_tables(found).equals(table.take(ORDER))
    assert [4] == ArrayDataSource([table]).samples_by_indices_nomapping(4)[0]["a"].to_pylist()


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_batches_of_a_frame_are_frames(pool, library):
    """Of pandas and polars, by row."""
    frames = pytest.importorskip(library)
    frame = frames.DataFrame({"a": np.arange(N), "b": [str(i) for i in range(N)]})
    found = [batch for (batch,) in shuffled(pool.parallel_data_source(ArrayDataSource([frame])))]

    assert all(isinstance(batch, frames.DataFrame) for batch in found)
    assert ORDER.tolist() == frames.concat(found)["a"].to_numpy().tolist()


@pytest.mark.slow  # xarray takes long to import
def test_a_variable_of_xarray_gives_arrays(pool, tmp_path):
    """In memory, and in a file that is read as it goes."""
    xarray = pytest.importorskip("xarray")
    variable = xarray.DataArray(X, dims=("sample", "feature"))

    assert np.array_equal(X[ORDER], joined(pool.parallel_data_source(ArrayDataSource([variable]))))

    pytest.importorskip("zarr", "3")
    variable.rename("x").to_dataset().to_zarr(tmp_path / "x.zarr", consolidated=False)
    with xarray.open_zarr(tmp_path / "x.zarr", chunks=None, consolidated=False) as opened:
        source = ArrayDataSource([opened["x"]])

        assert np.array_equal(X[ORDER], joined(pool.parallel_data_source(source)))
        with pytest.raises(TypeError, match=r"data\[0\] should be one variable.*'x'"):
            ArrayDataSource([opened])


def test_batches_of_a_csr_matrix_are_csr_matrices(pool):
    """Though SciPy refuses to say its length."""
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csr_matrix(X)
    source = ArrayDataSource([matrix, np.arange(N)])
    found = shuffled(pool.parallel_data_source(source))

    assert all(sparse.issparse(batch) and batch.format == "csr" for batch, _ in found)
    assert np.array_equal(X[ORDER], sparse.vstack([batch for batch, _ in found]).toarray())
    assert "CSRRows" in repr(source)


@pytest.mark.parametrize("form", ["csc", "coo", "lil"])
def test_another_sparse_matrix_is_refused(form):
    """The error says how to make one that will do."""
    sparse = pytest.importorskip("scipy.sparse")

    with pytest.raises(TypeError, match=rf"data\['x'\] should be a CSR matrix.*{form}.*tocsr"):
        ArrayDataSource({"x": sparse.csr_matrix(X).asformat(form)})


def test_a_group_is_refused(h5, zarrs):
    """The error says which arrays there are."""
    with pytest.raises(TypeError, match=r"data\[0\] should be one data set.*'chunked'"):
        ArrayDataSource([h5])
    with pytest.raises(TypeError, match=r"data\[0\] should be one array.*'plain'"):
        ArrayDataSource([zarrs])


def test_a_single_value_is_refused(h5):
    """It has no first axis."""
    with pytest.raises(ValueError, match="'/one' of .* should have a first axis"):
        ArrayDataSource([h5["one"]])


def test_lengths_that_differ_are_refused(zarrs):
    """Also of arrays without `len`."""
    with pytest.raises(ValueError, match=r"data\[0\] has 20, data\[1\] 19"):
        ArrayDataSource([zarrs["plain"], np.arange(19)])


def test_a_lazy_frame_is_refused():
    """The error says how to make a frame of it."""
    polars = pytest.importorskip("polars")

    with pytest.raises(TypeError, match="collect"):
        ArrayDataSource([polars.DataFrame({"a": [1]}).lazy()])


def test_nulls_among_integers_are_refused():
    """An array of integers has nothing for them; the error says which column."""
    pa = pytest.importorskip("pyarrow")

    with pytest.raises(ValueError, match=r"column \"data\['age'\]\" should have no nulls.*fill_null"):
        ArrayDataSource({"age": pa.array([1, None])})


def test_a_file_travels_as_its_path(h5, tmp_path):
    """Pickled, a source over 960 bytes of data is no larger for it, and is opened where it is loaded."""
    source = ArrayDataSource([h5["plain"]])

    assert b"x.h5" in pickle.dumps(source)
    assert np.array_equal(X[ORDER], joined(pickle.loads(pickle.dumps(source))))


def test_a_file_that_was_replaced_while_it_is_open_is_read_as_it_was(h5, tmp_path):
    """Its path is that of another file by now: it is read through its handle, and does not go to processes."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "new.h5", "w") as file:
        file["plain"] = -X
    (tmp_path / "new.h5").replace(tmp_path / "x.h5")
    source = ArrayDataSource([h5["plain"]])

    assert np.array_equal(X[ORDER], joined(source))
    with pytest.raises(pickle.PicklingError, match="cannot be opened again by its path"):
        pickle.dumps(source)


def test_a_file_in_memory_gives_arrays():
    """It has no path."""
    h5py = pytest.importorskip("h5py")
    with h5py.File("nowhere", "w", driver="core", backing_store=False) as file:
        file["x"] = X

        assert np.array_equal(X[ORDER], joined(ArrayDataSource([file["x"]])))


def test_the_error_names_what_does_not_pickle_beside_a_data_set(h5, processes):
    """Not the data set, which can be sent."""
    doubled = Doubled(h5["plain"])
    doubled.lock = threading.Lock()

    with pytest.raises(DataSourcePicklingError, match=r"data\[0\]\.lock \(data\[0\] is a Doubled\) cannot be sent"):
        list(processes.parallel_data_source(ArrayDataSource([doubled])).batch_iterator(4))
