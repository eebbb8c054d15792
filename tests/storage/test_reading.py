"""Reading by the batch: blocks once, in the order of the file."""

import os

import numpy as np
import pytest

from batchup import ArrayDataSource, Loader
from batchup.storage import ArrowColumn, Concatenated, HDF5Array, SparseRows, Windows, ZarrArray

N = 100
X = np.arange(3 * N).reshape(N, 3)


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


# Damaged chunks: each has rows 30 to 39 where no byte is as it was written.


def overwritten(path, place, n):
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(b"\xff" * n)


def hdf5(folder, **how):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("x", data=X, chunks=(10, 3), **how)
    with h5py.File(folder / "x.h5", "r") as file:
        chunk = file["x"].id.get_chunk_info(3)
    overwritten(folder / "x.h5", chunk.byte_offset, chunk.size)
    return HDF5Array(folder / "x.h5", "x")


def zarr(folder, keep=None, **how):
    pytest.importorskip("zarr", "3").create_array(folder / "x.zarr", name="x", data=X, chunks=(10, 3), **how)
    chunk = folder / "x.zarr" / "x" / "c" / "3" / "0"
    if keep is None:
        overwritten(chunk, 0, chunk.stat().st_size)
    else:
        os.truncate(chunk, keep)
    return ZarrArray(folder / "x.zarr", "x")


def parquet(folder):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"x": X[:, 0]}), folder / "x.parquet", row_group_size=10, use_dictionary=False)
    column = parquet.ParquetFile(folder / "x.parquet").metadata.row_group(3).column(0)
    overwritten(folder / "x.parquet", column.data_page_offset, column.total_compressed_size)
    return ArrowColumn(folder / "x.parquet", "x")


def sparse(folder):
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("scipy")
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("X/data", data=X.ravel(), chunks=(30,), compression="gzip")
        file["X/indices"] = np.tile(np.arange(3), N)
        file["X/indptr"] = np.arange(0, 3 * N + 1, 3)
        file["X"].attrs["shape"] = X.shape
    with h5py.File(folder / "x.h5", "r") as file:
        chunk = file["X/data"].id.get_chunk_info(3)
    overwritten(folder / "x.h5", chunk.byte_offset, chunk.size)
    return SparseRows(folder / "x.h5", "X", dense=True)


DAMAGED = {
    "HDF5, gzip": lambda folder: hdf5(folder, compression="gzip"),
    "HDF5, a filter of the library": lambda folder: hdf5(folder, compression="gzip", fletcher32=True),
    "zarr, compressed": zarr,
    "zarr, compressed, cut off": lambda folder: zarr(folder, 7),
    "zarr, mapped, cut off": lambda folder: zarr(folder, 100, compressors=None),
    "zarr, empty": lambda folder: zarr(folder, 0),
    "parquet": parquet,
    "sparse": sparse,
    "several files": lambda folder: Concatenated([hdf5(folder, compression="gzip")]),
    "windows": lambda folder: Windows(hdf5(folder, compression="gzip"), 1),
}


@pytest.mark.parametrize("make", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_chunk_names_its_samples(tmp_path, make):
    """The error is of the library, and says what was read."""
    array = make(tmp_path)
    array[np.array([29, 40])]

    with pytest.raises(Exception, match=".") as caught:
        array[np.array([5, 31, 38])]
    notes = " ".join(caught.value.__notes__)
    assert "while reading samples" in notes
    assert str(tmp_path) in notes
    assert "from its rows" in notes


@pytest.mark.parametrize("make", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.timeout(60)
def test_samples_of_a_damaged_chunk_can_be_left_out(tmp_path, pool, make):
    """All others arrive, from workers as well, and no worker dies."""
    restarts = pool.engine.stats()["restarts"]
    loader = Loader(ArrayDataSource([make(tmp_path), np.arange(N)]), 20, pool=pool, on_error="skip", max_skipped=10)
    with pytest.warns(UserWarning, match="left out"):
        found = np.concatenate([i for _, i in loader])

    assert [*range(30), *range(40, N)] == found.tolist()
    assert list(range(30, 40)) == sorted(each.sample for each in loader.skipped)
    assert restarts == pool.engine.stats()["restarts"]
